"""The report of `nf-edge compare`: several models exported with one recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nf_edge.model.config import ModelConfig
from nf_edge.render.latency import latency_lines, latency_tables, letters, speed_text, work_text
from nf_edge.render.memory import verdict_lines
from nf_edge.render.table import Part, Table, body

if TYPE_CHECKING:
    from nf_edge.pipeline.compare import ComparisonReport

SHARE = "A's share of it"


def comparison_parts(report: ComparisonReport) -> list[Part]:
    return [
        body(_model_lines(report)),
        _size_table(report),
        *latency_tables(report.latency),
        body(_reading_lines(report)),
        body(_summary_lines(report)),
    ]


def _model_lines(report: ComparisonReport) -> list[str]:
    """One line per model, with the letter that stands for it in the tables."""
    models = zip(letters(len(report.models)), report.models, strict=True)
    return [
        f"{letter}: {model.name}, {model.config.attention} attention, {noise_text(model.config)}; "
        f"{model.config.n_layer} layers, width {model.config.n_embd}, {model.config.n_positions:,} positions"
        for letter, model in models
    ]


def noise_text(config: ModelConfig) -> str:
    """The noise of a config in words, such as `lowrank noise of rank 4`."""
    kind = config.noise.kind
    rank = f" of rank {config.noise.rank}" if kind == "lowrank" else ""
    return "no noise" if kind == "none" else f"{kind} noise{rank}"


def _size_table(report: ComparisonReport) -> Table:
    rows = []
    for size in report.sizes:
        shares = ["", *map(str, size.ratios)]
        cells = zip(letters(len(shares)), size.figures, shares, strict=True)
        for letter, figure, share in cells:
            name = f"{size.name} ({figure.how})" if figure.unit == "bytes" else size.name
            rows.append(("" if share else name, letter, str(figure), share))
    return Table("Size", ("", "", "", SHARE), tuple(rows), (2, 3))


def _reading_lines(report: ComparisonReport) -> list[str]:
    """Lines that explain the tables and name the machine, then notes, then the verdict on each model."""
    lines = [
        f"process memory: the total at the largest input, {report.memory_machine}",
        "peak memory: the most that the process held in all timed runs",
        *latency_lines(report.latency),
    ]
    lines += [f"note: {note}" for note in report.notes]
    for letter, model in zip(letters(len(report.models)), report.models, strict=True):
        if model.verdict:
            lines += [f"{letter}: {line}" for line in verdict_lines(model.verdict)]
    return lines


def _summary_lines(report: ComparisonReport) -> list[str]:
    """Lines that compare the first model's sizes and speeds with those of each other model."""
    first, *others = (model.name for model in report.models)
    lines = []
    for number, other in enumerate(others):
        shares = [(size.ratios[number], size.name) for size in report.sizes]
        texts = [f"{ratio} times the {name}" for ratio, name in shares if ratio.value is not None]
        lines += [f"{first} against {other}:", f"  {', '.join(texts)}"]
        for row in report.latency.lines:
            speed = row.speeds[number]
            lines.append(f"  {speed_text(speed)} times as fast {work_text(row)}: {speed.finding}")
    return lines
