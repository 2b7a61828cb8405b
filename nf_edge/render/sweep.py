"""The report of `nf-edge sweep`: several recipes for one model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nf_edge.core.errors import OverBudget
from nf_edge.core.figures import format_bytes, format_number
from nf_edge.measure.accuracy.check import AccuracyReport
from nf_edge.measure.accuracy.compare import Comparison
from nf_edge.measure.latency.latency_report import BenchRow
from nf_edge.render.accuracy import (
    loss_bounds,
    loss_text,
    metric_text,
    perplexity_ratio_line,
    perplexity_text,
)
from nf_edge.render.latency import latency_lines, speed_text, work_text
from nf_edge.render.memory import unverified_lines
from nf_edge.render.table import Part, Table, body, transposed
from nf_edge.render.text import (
    UNKNOWN,
    Interval,
    figure_cell,
    grouped,
    in_percent,
    number_cell,
    spread_text,
    truncated_text,
)

if TYPE_CHECKING:
    from nf_edge.pipeline.sweep import Compressed, SweepReport

# Largest number of measurements in one table, so that it fits a terminal's width.
MOST_POINTS = 2
# Divergences below this come from float32 rounding.
LEAST_KL = 1e-7


def sweep_parts(report: SweepReport) -> list[Part]:
    return [*sweep_tables(report), body(sweep_lines(report)), body(summary_lines(report))]


def sweep_tables(report: SweepReport) -> list[Table]:
    """The tables of sizes, speeds and predictions, one row per recipe."""
    points = [row for row in report.latency.lines if row.tokens is not None]
    chunks = [points[start : start + MOST_POINTS] for start in range(0, len(points), MOST_POINTS)]
    return [_size_table(report), *(_speed_table(report, chunk) for chunk in chunks), _answer_table(report)]


def numbered(report: SweepReport) -> list[str]:
    """The names of the recipes, each after the number that stands for it in the chart."""
    return [f"{number} {each.recipe}" for number, each in enumerate(report.recipes, start=1)]


def _size_table(report: SweepReport) -> Table:
    file, planned, measured = (report.size(name) for name in ("file", "planned memory", "measured memory"))
    columns = ["recipe", "file", "× smaller", "RAM planned", "RAM measured"]
    cells = [
        numbered(report),
        [str(figure) for figure in file.figures],
        ["", *map(str, file.ratios)],
        *([figure_cell(figure) for figure in size.figures] for size in (planned, measured)),
    ]
    device = next((each.verdict.device for each in report.recipes if each.verdict), None)
    if device:
        columns.append(f"on {device}")
        cells.append([each.verdict.outcome if each.verdict else "" for each in report.recipes])
    columns.append("gates")
    cells.append([_gate(each) for each in report.recipes])
    return Table("Size and memory", tuple(columns), transposed(cells), (1, 2, 3, 4))


def _gate(compressed: Compressed) -> str:
    if compressed.failure is None:
        return "passes" if compressed.accuracy.judged else "accuracy not judged"
    return "FAILS: memory" if isinstance(compressed.failure, OverBudget) else "FAILS: accuracy"


def _speed_table(report: SweepReport, rows: Sequence[BenchRow]) -> Table:
    columns, cells = ["recipe"], [numbered(report)]
    for row in rows:
        rates = row.phase == "decode"
        columns += [f"{_heading(row)}, {'tokens/s' if rates else 'ms'}", "× as fast"]
        medians = [(timing.rate if rates and timing.rate else timing.time).median for timing in row.timings]
        cells.append([number_cell(each.value) for each in medians])
        cells.append(["", *(speed_text(speed.inverse) for speed in row.speeds)])
    return Table("Speed on this machine", tuple(columns), transposed(cells), tuple(range(1, len(columns))))


def _heading(row: BenchRow) -> str:
    phase = "prefill of" if row.phase == "prefill" else "decoding after"
    threads = f", {row.threads} threads" if row.threads > 1 else ""
    return f"{phase} {row.tokens:,}{threads}"


def _answer_table(report: SweepReport) -> Table:
    accuracies = [each.accuracy for each in report.recipes]
    perplexity = accuracies[0].comparison.perplexity_ratio is not None
    score = ("perplexity", "× as high") if perplexity else _headings(accuracies[0])
    rows = [
        (
            name,
            *(_perplexity(each.comparison) if perplexity else _metric(each)),
            *_divergence(each.comparison),
        )
        for name, each in zip(numbered(report), accuracies, strict=True)
    ]
    columns = ("recipe", *score, "changed, %", "KL, 10⁻³ nats")
    return Table("Answers against the checkpoint's", columns, tuple(rows), (1, 2, 3, 4))


def _headings(accuracy: AccuracyReport) -> tuple[str, str]:
    if not accuracy.metrics:
        return "accuracy", "drop"
    metric = accuracy.metrics[0].metric
    return metric.title, f"{'drop' if metric.higher_is_better else 'rise'}, {metric.unit}"


def _metric(accuracy: AccuracyReport) -> tuple[str, str]:
    """Two cells: the artifact's main metric, and its loss with the interval."""
    if not accuracy.metrics or accuracy.metrics[0].loss is None:
        return UNKNOWN, UNKNOWN
    main = accuracy.metrics[0]
    loss = f"{main.loss:+.2f}"
    if main.interval is not None:
        loss = _with_interval(loss, main.interval, "+.2f", dash="…")
    return metric_text(main.metric, main.artifact), loss


def _perplexity(comparison: Comparison) -> tuple[str, str]:
    ratio, interval = comparison.perplexity_ratio, comparison.perplexity_ratio_interval
    assert ratio is not None
    text = (
        format_number(ratio, ".4f") if interval is None else _with_interval(f"{ratio:.3f}", interval, ".3f")
    )
    return perplexity_text(comparison.artifact), text


def _divergence(comparison: Comparison) -> tuple[str, str]:
    divergence = comparison.divergence
    if divergence is None:
        return UNKNOWN, UNKNOWN
    share = f"{100 * divergence.flips / divergence.questions:.2f}"
    changed = _with_interval(share, in_percent(divergence.flips_interval), ".2f")
    if divergence.kl < LEAST_KL:
        return changed, f"< {1e3 * LEAST_KL:g}"
    kl = format_number(1e3 * divergence.kl, ".3g")
    if divergence.kl_interval is not None:
        low, high = divergence.kl_interval
        kl = _with_interval(kl, (1e3 * low, 1e3 * high), ".2g")
    return changed, kl


def _with_interval(value: str, interval: Interval, spec: str, dash: str = "–") -> str:
    low, high = interval
    return spread_text(value, (f"{low:{spec}}", f"{high:{spec}}"), dash)


def sweep_lines(report: SweepReport) -> list[str]:
    """Lines that explain the tables and name the machine, then notes, failures, skipped recipes, budgets."""
    accuracy, first = report.recipes[0].accuracy, report.recipes[0].recipe
    lines = [
        f"checked on {accuracy.comparison.questions:,} {accuracy.unit} of {accuracy.data}"
        f"{truncated_text(accuracy.truncated)}; intervals are at 95 %",
        "drop, changed, KL divergence: against the checkpoint in PyTorch, float32",
        f"× smaller: how many times smaller the file is than the file of {first}",
        f"RAM: the total of the process at its largest input, {report.memory_machine}",
        *latency_lines(report.latency, f"× as fast: how many times as fast the recipe is as {first}"),
    ]
    lines += [f"note: {note}" for note in report.notes]
    lines += [f"FAILS: {each.recipe}: {each.failure.what}" for each in report.recipes if each.failure]
    lines += [f"skipped: {each.recipe}: {each.reason}" for each in report.skipped]
    verdicts = [each.verdict for each in report.recipes if each.verdict]
    for share in verdicts[0].shares if verdicts else ():
        lines.append(f"{verdicts[0].device}: {format_bytes(share.budget)} of {share.memory} may be used")
        lines += [f"  {line}" for line in unverified_lines(share)]
    return lines


def summary_lines(report: SweepReport) -> list[str]:
    """Lines with the smallest file, the fastest recipes, and the recipes that another recipe beats in every
    figure.
    """
    return [_smallest_line(report), *_fastest_lines(report), *_dominated_lines(report)]


def _smallest_line(report: SweepReport) -> str:
    smallest = report.summary.smallest
    if smallest is None:
        return "smallest file without a measurable loss: none; every recipe fails a gate or shows a loss"
    number = _number(report, smallest)
    ratio = ""
    if number:
        ratio = f", {report.size('file').ratios[number - 1]} times smaller than {report.recipes[0].recipe}'s"
    loss = _loss(report.recipes[number].accuracy)
    return f"smallest file without a measurable loss: {smallest}{ratio}; {loss}"


def _fastest_lines(report: SweepReport) -> list[str]:
    rows = {(str(row.phase), row.tokens, row.threads): row for row in report.latency.lines}
    lines = []
    for fastest in report.summary.fastest:
        row = rows[fastest.phase, fastest.tokens, fastest.threads]
        number = _number(report, fastest.recipe)
        speed = ""
        if number:
            ratio = speed_text(row.speeds[number - 1].inverse)
            speed = f", {ratio} times as fast as {report.recipes[0].recipe}"
        rivals = ", ".join(fastest.rivals)
        equal = f"; the intervals show no difference to {rivals}" if rivals else ""
        lines.append(f"fastest {work_text(row)}: {fastest.recipe}{speed}{equal}")
    return lines


def _dominated_lines(report: SweepReport) -> list[str]:
    worse = grouped([(better, recipe) for recipe, better in report.summary.dominated])
    return [
        f"no better than {better} in file size, memory, speed and KL divergence: {', '.join(recipes)}"
        for better, recipes in worse.items()
    ]


def _number(report: SweepReport, recipe: str) -> int:
    return [each.recipe for each in report.recipes].index(recipe)


def _loss(accuracy: AccuracyReport) -> str:
    if accuracy.comparison.perplexity_ratio is not None:
        return perplexity_ratio_line(accuracy.comparison)
    main = accuracy.metrics[0]  # a recipe without a measurable loss has a known metric
    verb = "drops" if main.metric.higher_is_better else "rises"
    return f"{main.metric.title} {verb} by {loss_text(main).removeprefix('+')} ({loss_bounds(main)})"
