"""A sweep as tables and lines: the same on a terminal and in `sweep.html`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nf_edge.core.errors import OverBudget
from nf_edge.core.figures import Figure, format_bytes, format_three, shown
from nf_edge.measure.accuracy.compare import Comparison
from nf_edge.measure.latency.latency_report import BenchRow
from nf_edge.render import Table, perplexity_text, ratio_text, unverified_lines
from nf_edge.render.latency import latency_lines, work_text

if TYPE_CHECKING:
    from nf_edge.pipeline.sweep import Compressed, SweepReport

# Measurements beside each other, so that a table is no wider than a terminal.
MOST_POINTS = 2
# Divergences below this are rounding of float32.
LEAST_KL = 1e-7
ANSWERS = "Answers beside the checkpoint's"


def numbered(report: SweepReport) -> list[str]:
    """The recipes by the numbers that the chart has."""
    return [f"{number} {each.recipe}" for number, each in enumerate(report.recipes, start=1)]


def sweep_tables(report: SweepReport) -> list[Table]:
    """Sizes, speeds, answers; a row a recipe in each."""
    points = [line for line in report.latency.lines if line.tokens is not None]
    chunks = [points[start : start + MOST_POINTS] for start in range(0, len(points), MOST_POINTS)]
    return [_size_table(report), *(_speed_table(report, chunk) for chunk in chunks), _answer_table(report)]


def _size_table(report: SweepReport) -> Table:
    file, planned, measured = (report.size(name) for name in ("file", "planned memory", "measured memory"))
    columns = ["recipe", "file", "× smaller", "RAM planned", "RAM measured"]
    cells = [
        numbered(report),
        [str(figure) for figure in file.figures],
        ["", *map(str, file.ratios)],
        *([_known(figure) for figure in size.figures] for size in (planned, measured)),
    ]
    device = next((each.verdict.device for each in report.recipes if each.verdict), None)
    if device:
        columns.append(f"on {device}")
        cells.append([each.verdict.outcome if each.verdict else "" for each in report.recipes])
    columns.append("gates")
    cells.append([_gate(each) for each in report.recipes])
    return Table("Size and memory", tuple(columns), tuple(zip(*cells, strict=True)), (1, 2, 3, 4))


def _known(figure: Figure) -> str:
    return "–" if figure.value is None else str(figure)


def _gate(compressed: Compressed) -> str:
    if compressed.failure is None:
        return "passes"
    return "FAILS: memory" if isinstance(compressed.failure, OverBudget) else "FAILS: accuracy"


def _speed_table(report: SweepReport, lines: Sequence[BenchRow]) -> Table:
    columns, cells = ["recipe"], [numbered(report)]
    for line in lines:
        rates = line.phase == "decode"
        columns += [f"{_work(line)}, {'tokens/s' if rates else 'ms'}", "× as fast"]
        medians = [(timing.rate if rates and timing.rate else timing.time).median for timing in line.timings]
        cells.append(["–" if each.value is None else format_three(each.value) for each in medians])
        speeds = [speed.inverse for speed in line.speeds]
        cells.append(["", *(f"{each.ratio} ({each.interval[0]}–{each.interval[1]})" for each in speeds)])
    right = tuple(range(1, len(columns)))
    return Table("Speed here", tuple(columns), tuple(zip(*cells, strict=True)), right)


def _work(line: BenchRow) -> str:
    what = "prefill of" if line.phase == "prefill" else "decoding upon"
    threads = f", {line.threads} threads" if line.threads > 1 else ""
    return f"{what} {line.tokens:,}{threads}"


def _answer_table(report: SweepReport) -> Table:
    comparisons = [each.accuracy.comparison for each in report.recipes]
    perplexity = comparisons[0].perplexity_ratio is not None
    columns = ("perplexity", "× as high") if perplexity else ("accuracy", "drop, points")
    rows = [
        (name, *(_perplexity(each) if perplexity else _accuracy(each)), *_divergence(each))
        for name, each in zip(numbered(report), comparisons, strict=True)
    ]
    return Table(
        ANSWERS,
        ("recipe", *columns, "changed, %", "KL, 10⁻³ nats"),
        tuple(rows),
        (1, 2, 3, 4),
    )


def _accuracy(comparison: Comparison) -> tuple[str, str]:
    low, high = comparison.drop_interval
    score = 100 * comparison.artifact.share
    return f"{score:.2f} %", f"{comparison.drop:+.2f} ({low:+.2f}…{high:+.2f})"


def _perplexity(comparison: Comparison) -> tuple[str, str]:
    assert comparison.perplexity_ratio is not None
    ratio = shown(comparison.perplexity_ratio, ".4f")
    if comparison.perplexity_ratio_interval is not None:
        low, high = comparison.perplexity_ratio_interval
        ratio = f"{comparison.perplexity_ratio:.3f} ({low:.3f}–{high:.3f})"
    return perplexity_text(comparison.artifact), ratio


def _divergence(comparison: Comparison) -> tuple[str, str]:
    divergence = comparison.divergence
    low, high = (100 * share for share in divergence.flips_interval)
    changed = f"{100 * divergence.flips / divergence.questions:.2f} ({low:.2f}–{high:.2f})"
    if divergence.kl < LEAST_KL:
        return changed, f"< {1e3 * LEAST_KL:g}"
    kl = shown(1e3 * divergence.kl, ".3g")
    if divergence.kl_interval is not None:
        low, high = (1e3 * bound for bound in divergence.kl_interval)
        kl += f" ({low:.2g}–{high:.2g})"
    return changed, kl


def sweep_lines(report: SweepReport) -> list[str]:
    """How to read the tables, what did not pass and why, what was skipped, and where it was measured."""
    accuracy, first = report.recipes[0].accuracy, report.recipes[0].recipe
    cut = f", {accuracy.truncated} cut to the length that it takes" if accuracy.truncated else ""
    lines = [
        f"checked on {accuracy.comparison.divergence.questions:,} {accuracy.unit} of {accuracy.data}{cut}; "
        "intervals are at 95 %",
        "drop, changed, KL divergence: beside the checkpoint in PyTorch, float32",
        f"× smaller: than the file of {first}",
        f"RAM: all that the process holds at its largest input, {report.memory_machine}",
        *latency_lines(report.latency, f"× as fast: as {first}"),
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
    """What the figures say."""
    summary, first = report.summary, report.recipes[0].recipe
    lines = []
    if summary.smallest is None:
        lines.append("smallest file without a loss that shows: none passed and lost nothing")
    else:
        smallest = next(each for each in report.recipes if each.recipe == summary.smallest)
        beside = _beside(report, "file", summary.smallest, f"times smaller than {first}'s")
        lines.append(
            f"smallest file without a loss that shows: {summary.smallest}{beside}; "
            f"{_loss(smallest.accuracy.comparison)}"
        )
    for fastest in summary.fastest:
        line = next(
            line
            for line in report.latency.lines
            if (line.phase, line.tokens, line.threads) == (fastest.phase, fastest.tokens, fastest.threads)
        )
        rivals = f"; not told apart from it: {', '.join(fastest.rivals)}" if fastest.rivals else ""
        lines.append(
            f"fastest {work_text(line)}: {fastest.recipe}{_speed(report, line, fastest.recipe)}{rivals}"
        )
    by: dict[str, list[str]] = {}
    for recipe, better in summary.dominated:
        by.setdefault(better, []).append(recipe)
    for better, recipes in by.items():
        lines.append(
            f"behind {better} in file, memory, speed and KL divergence, or equal: {', '.join(recipes)}"
        )
    return lines


def _beside(report: SweepReport, size: str, recipe: str, what: str) -> str:
    names = [each.recipe for each in report.recipes]
    if recipe == names[0]:
        return ""
    return f", {report.size(size).ratios[names.index(recipe) - 1]} {what}"


def _speed(report: SweepReport, line: BenchRow, recipe: str) -> str:
    names = [each.recipe for each in report.recipes]
    if recipe == names[0]:
        return ""
    speed = line.speeds[names.index(recipe) - 1].inverse
    return f", {speed.ratio} ({speed.interval[0]}–{speed.interval[1]}) times as fast as {names[0]}"


def _loss(comparison: Comparison) -> str:
    if comparison.perplexity_ratio is not None:
        return f"perplexity {ratio_text(comparison)} times the checkpoint's"
    low, high = comparison.drop_interval
    return f"accuracy drops by {comparison.drop:.2f} points ({low:+.2f} to {high:+.2f})"
