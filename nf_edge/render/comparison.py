"""A comparison as tables and lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nf_edge.render import Table, verdict_lines
from nf_edge.render.latency import latency_lines, latency_tables, letters, work_text

if TYPE_CHECKING:
    from nf_edge.pipeline.compare import ComparisonReport, Model

SHARE = "A's share of it"


def model_lines(report: ComparisonReport) -> list[str]:
    """What is compared, by the letters that the tables have."""
    models = zip(letters(len(report.models)), report.models, strict=True)
    return [f"{letter}: {model.name}, {_kind(model)}" for letter, model in models]


def _kind(model: Model) -> str:
    config = model.config
    noise = f"{config.noise.kind} noise" if config.noise.kind != "none" else "no noise"
    rank = f" of rank {config.noise.rank}" if config.noise.kind == "lowrank" else ""
    return (
        f"{config.attention} attention, {noise}{rank}; {config.n_layer} layers, width {config.n_embd}, "
        f"{config.n_positions:,} positions"
    )


def comparison_tables(report: ComparisonReport) -> list[Table]:
    """The sizes, then what `nf-edge bench` shows of the artifacts."""
    rows = []
    for size in report.sizes:
        shares = ["", *map(str, size.ratios)]
        cells = zip(letters(len(shares)), size.figures, shares, strict=True)
        for letter, figure, share in cells:
            name = f"{size.name} ({figure.how})" if figure.unit == "bytes" else size.name
            rows.append(("" if share else name, letter, str(figure), share))
    return [Table("Size", ("", "", "", SHARE), tuple(rows), (2, 3)), *latency_tables(report.latency)]


def comparison_lines(report: ComparisonReport) -> list[str]:
    """How to read the tables, verdicts, and where it was measured."""
    lines = [
        f"process memory: all of it at the largest input, {report.memory_machine}; peak memory: over all "
        "that was timed",
        *latency_lines(report.latency),
    ]
    lines += [f"note: {note}" for note in report.notes]
    for letter, model in zip(letters(len(report.models)), report.models, strict=True):
        if model.verdict:
            lines += [f"{letter}: {line}" for line in verdict_lines(model.verdict)]
    return lines


def summary_lines(report: ComparisonReport) -> list[str]:
    """What the figures say of the first model beside each of the others."""
    first, *others = (model.name for model in report.models)
    lines = []
    for number, other in enumerate(others):
        shares = [(size.ratios[number], size.name) for size in report.sizes]
        told = [f"{ratio} times the {name}" for ratio, name in shares if ratio.value is not None]
        lines += [f"{first} beside {other}:", f"  {', '.join(told)}"]
        for line in report.latency.lines:
            speed = line.speeds[number]
            low, high = speed.interval
            lines.append(
                f"  {speed.ratio} times as fast ({low}–{high}) {work_text(line)}: {speed.finding}",
            )
    return lines
