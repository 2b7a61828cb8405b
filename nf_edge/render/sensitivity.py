"""Sensitivity, and a mixed-precision recipe, as tables and lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nf_edge.core.figures import format_bytes, shown
from nf_edge.measure.accuracy.compare import Comparison
from nf_edge.model import Checkpoint
from nf_edge.render import Table, flips_text, kl_text, quantization_lines

if TYPE_CHECKING:
    from nf_edge.pipeline.mixed_precision.search import SearchResult, SearchTarget, SensitivityReport
    from nf_edge.pipeline.mixed_precision.sensitivity import Cost, Sensitivity


def sensitivity_table(weighed: Sensitivity, mix: SearchResult | None = None) -> Table:
    """One unit quantized to one precision a row, the worst first; what a recipe has of them is marked."""
    rows = [(unit.name, *_cells(cost)) for unit, cost in weighed.worst_first]
    columns: tuple[str, ...] = ("unit", "weights", "KL, nats", "SNR, output", "saves", "KL / kB")
    if mix is not None and mix.best.uniform is None:
        chosen = mix.best.chosen
        marks = ["yes" if chosen[unit.name] == cost.dtype else "" for unit, cost in weighed.worst_first]
        rows = [(*row, mark) for row, mark in zip(rows, marks, strict=True)]
        rows += [(unit, "float32", *[""] * 4, "yes") for unit, dtype in chosen.items() if dtype == "float32"]
        columns = (*columns, "chosen")
    return Table("What quantizing each unit alone costs", columns, tuple(rows), (2, 3, 4, 5))


def _cells(cost: Cost) -> tuple[str, ...]:
    each = cost.kl_per_kb
    error = "" if cost.kl_error is None else f" ± {cost.kl_error:.1g}"
    return (
        cost.dtype,
        shown(cost.kl, ".3g", error),
        "–" if cost.output_snr.value is None else str(cost.output_snr),
        format_bytes(cost.saved),
        "–" if each is None else f"{each:.3g}",
    )


def sensitivity_lines(weighed: Sensitivity) -> list[str]:
    cut = f", {weighed.truncated} cut to the length that it takes" if weighed.truncated else ""
    return [
        f"in PyTorch, on {weighed.rows:,} rows of {weighed.data}{cut}; all other units stay float32",
        f"the model file with all units in float32: {format_bytes(weighed.float_bytes)} (predicted)",
    ]


def target_text(target: SearchTarget) -> str:
    if target.of == "size":
        return f"a model file of at most {format_bytes(target.most)}"
    if target.of == "kl":
        return f"a KL divergence of at most {target.most:g} nats"
    return f"a drop of at most {target.most:g} points"


def search_table(mix: SearchResult) -> Table:
    """The artifact beside what was expected of it."""
    best = mix.best
    rows = [
        ("model file", format_bytes(best.predicted_bytes), "", format_bytes(best.bytes)),
        (
            "KL, nats",
            "" if best.summed is None else f"{best.summed:.4g}",
            shown(best.simulated.divergence.kl, ".4g") if best.simulated else "",
            shown(best.measured.divergence.kl, ".4g"),
        ),
        (
            "drop, points",
            "",
            *(f"{each.drop:+.2f}" if each else "" for each in (best.simulated, best.measured)),
        ),
    ]
    columns = ("", "summed over units", "all together, in PyTorch", "measured, from the file")
    return Table("Predicted and measured", columns, tuple(rows), (1, 2, 3))


def uniform_table(mix: SearchResult) -> Table:
    """Recipes that treat all modules alike, as they were measured, beside what was found."""
    best = [mix.best] if mix.best.uniform is None else []
    rows = [
        (
            made.uniform or "the best mixture",
            format_bytes(made.bytes),
            shown(made.measured.divergence.kl, ".4g"),
            f"{made.measured.drop:+.2f}",
            "meets it" if made.meets(mix.target) else "",
        )
        for made in (*mix.uniform, *best)
    ]
    rows += [(each.uniform, "", "", "", each.reason) for each in mix.not_made]
    columns = ("recipe", "model file", "KL, nats", "drop, points", target_text(mix.target))
    return Table("One treatment for all modules", columns, tuple(rows), (1, 2, 3))


def choice_line(mix: SearchResult) -> str:
    """Why the units marked have what they have."""
    if mix.best.uniform is not None:
        return f"chosen: {mix.best.uniform}, the same for all modules; no mixture that was made beats it"
    least = "as long as the file fits" if mix.target.of == "size" else "until the answers are near enough"
    return f"chosen: from the smallest file on, what wins most nats a byte was made more precise, {least}"


def search_lines(mix: SearchResult) -> list[str]:
    """What was chosen, what it does to the answers, and whether that meets the target."""
    layer_reports = [layer_report.to_json() for layer_report in mix.best.layer_reports]
    answers = mix.best.measured
    made = f"{mix.made} artifact{'s' if mix.made > 1 else ''} made"
    said = "MEETS" if mix.met else "CANNOT MEET"
    return [
        *quantization_lines(layer_reports, None),
        f"answers that changed: {flips_text(answers.divergence)}",
        f"KL divergence from the checkpoint's answers: {kl_text(answers.divergence)}",
        drop_text(answers),
        f"{said} {target_text(mix.target)} ({made})",
    ]


def sensitivity_parts(report: SensitivityReport) -> list[Table | list[str]]:
    """All of a report, in the order in which it is read."""
    weighed, mix = report.sensitivity, report.mix
    parts: list[Table | list[str]] = [sensitivity_table(weighed, mix), sensitivity_lines(weighed)]
    if mix is not None:
        parts += [[choice_line(mix)], search_table(mix), uniform_table(mix), search_lines(mix)]
    return parts


def drop_text(answers: Comparison) -> str:
    low, high = answers.drop_interval
    return f"drop {answers.drop:+.2f} points (95 % interval {low:+.2f} to {high:+.2f})"


def recipe_comments(mix: SearchResult, weighed: Sensitivity, checkpoint: Checkpoint) -> list[str]:
    """What a recipe's file says of itself."""
    best = mix.best
    return [
        f"Written by nf-edge sensitivity, for {target_text(mix.target)} of {checkpoint.name}",
        f"(SHA-256 of its weights {checkpoint.identity.weights_sha256}).",
        f"Measured: {format_bytes(best.bytes)}; KL {kl_text(best.measured.divergence)};",
        f"{drop_text(best.measured)}, on {weighed.rows:,} rows of {weighed.data}",
        f"(SHA-256 {weighed.data_sha256}).",
    ]
