"""The report of `nf-edge sensitivity`: costs of units, and a mixed-precision recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nf_edge.core.figures import format_bytes, format_number
from nf_edge.model import Checkpoint
from nf_edge.render.accuracy import divergence_lines, drop_cell, drop_text, kl_text
from nf_edge.render.quantization import quantization_lines
from nf_edge.render.table import Part, Table, body
from nf_edge.render.text import UNKNOWN, counted, figure_cell, truncated_text

if TYPE_CHECKING:
    from nf_edge.pipeline.mixed_precision import SearchResult, SearchTarget, SensitivityReport
    from nf_edge.pipeline.mixed_precision.costs import Cost, Sensitivity


def sensitivity_parts(report: SensitivityReport) -> list[Part]:
    sensitivity, result = report.sensitivity, report.mix
    parts: list[Part] = [_sensitivity_table(sensitivity, result), body(_sensitivity_lines(sensitivity))]
    if result is not None:
        parts += [
            body([_choice_line(result)]),
            _search_table(result),
            _uniform_table(result),
            body(_search_lines(result)),
        ]
    return parts


def _sensitivity_table(sensitivity: Sensitivity, result: SearchResult | None) -> Table:
    """The table of costs: one row per unit and precision, the largest cost first.

    Args:
        result: the result of a search, whose choices are marked; None: no marks.
    """
    rows = [(unit.name, *_cost_cells(cost)) for unit, cost in sensitivity.worst_first]
    columns: tuple[str, ...] = ("unit", "weights", "KL, nats", "SNR, output", "saves", "KL / kB")
    if result is not None and result.best.uniform is None:
        chosen = result.best.chosen
        marks = ["yes" if chosen[unit.name] == cost.dtype else "" for unit, cost in sensitivity.worst_first]
        rows = [(*row, mark) for row, mark in zip(rows, marks, strict=True)]
        rows += [(unit, "float32", *[""] * 4, "yes") for unit, dtype in chosen.items() if dtype == "float32"]
        columns = (*columns, "chosen")
    return Table("Cost of quantizing one unit alone", columns, tuple(rows), (2, 3, 4, 5))


def _cost_cells(cost: Cost) -> tuple[str, ...]:
    error = "" if cost.kl_error is None else f" ± {cost.kl_error:.1g}"
    return (
        cost.dtype,
        format_number(cost.kl, ".3g", error),
        figure_cell(cost.output_snr),
        format_bytes(cost.saved),
        UNKNOWN if cost.kl_per_kb is None else f"{cost.kl_per_kb:.3g}",
    )


def _sensitivity_lines(sensitivity: Sensitivity) -> list[str]:
    truncated = truncated_text(sensitivity.truncated)
    return [
        f"in PyTorch, on {sensitivity.rows:,} rows of {sensitivity.data}{truncated}; all other units stay "
        "float32",
        f"the model file with all units in float32: {format_bytes(sensitivity.float_bytes)} (predicted)",
    ]


def target_text(target: SearchTarget) -> str:
    if target.of == "size":
        return f"a model file of at most {format_bytes(target.most)}"
    if target.of == "kl":
        return f"a KL divergence of at most {target.most:g} nats"
    return f"a drop of at most {target.most:g} points"


def _choice_line(result: SearchResult) -> str:
    """The line that says how the search chose the precisions of its best recipe."""
    if result.best.uniform is not None:
        only = "one precision for all modules, because no mixture that was tried was better"
        return f"chosen: {result.best.uniform}, {only}"
    until = "while the file fits" if result.target.of == "size" else "until the answers meet the target"
    return (
        f"chosen: from the smallest file on, the units that gain the most nats per byte get more bits {until}"
    )


def _search_table(result: SearchResult) -> Table:
    """A table of the predicted figures of the best recipe, and of the measured figures of its artifact."""
    best = result.best
    rows = [
        ("model file", format_bytes(best.predicted_bytes), "", format_bytes(best.bytes)),
        (
            "KL, nats",
            "" if best.summed is None else f"{best.summed:.4g}",
            format_number(best.simulated.kl, ".4g") if best.simulated else "",
            format_number(best.measured.kl, ".4g"),
        ),
        (
            "drop, points",
            "",
            *(drop_cell(each) if each else "" for each in (best.simulated, best.measured)),
        ),
    ]
    columns = ("", "sum over units", "all units, in PyTorch", "measured, from the file")
    return Table("Predicted and measured", columns, tuple(rows), (1, 2, 3))


def _uniform_table(result: SearchResult) -> Table:
    """A table of measured figures: recipes with one precision for all modules, and the best mixture."""
    best = [result.best] if result.best.uniform is None else []
    rows = [
        (
            made.uniform or "the best mixture",
            format_bytes(made.bytes),
            format_number(made.measured.kl, ".4g"),
            drop_cell(made.measured),
            "meets it" if made.meets(result.target) else "",
        )
        for made in (*result.uniform, *best)
    ]
    rows += [(each.uniform, "", "", "", each.reason) for each in result.not_made]
    columns = ("recipe", "model file", "KL, nats", "drop, points", target_text(result.target))
    return Table("One precision for all modules", columns, tuple(rows), (1, 2, 3))


def _search_lines(result: SearchResult) -> list[str]:
    """Lines with the recipe's precisions, the change of the predictions, and whether the target is met."""
    layer_reports = [layer_report.to_json() for layer_report in result.best.layer_reports]
    measured = result.best.measured
    outcome = "MEETS" if result.met else "CANNOT MEET"
    return [
        *quantization_lines(layer_reports, None),
        *divergence_lines(measured.divergence, reference="checkpoint's answers"),
        drop_text(measured),
        f"{outcome} {target_text(result.target)} ({counted(result.made, 'artifact')} made)",
    ]


def recipe_comments(result: SearchResult, sensitivity: Sensitivity, checkpoint: Checkpoint) -> list[str]:
    """The lines of the comments at the top of the written recipe file."""
    best = result.best
    return [
        f"Written by nf-edge sensitivity, for {target_text(result.target)} of {checkpoint.name}",
        f"(SHA-256 of its weights {checkpoint.identity.weights_sha256}).",
        f"Measured: {format_bytes(best.bytes)}; KL {kl_text(best.measured.divergence)};",
        f"{drop_text(best.measured)}, on {sensitivity.rows:,} rows of {sensitivity.data}",
        f"(SHA-256 {sensitivity.data_sha256}).",
    ]
