"""A latency report as tables and lines."""

from collections.abc import Sequence
from string import ascii_uppercase

from nf_edge.core.figures import format_three
from nf_edge.measure.latency.latency_report import BenchRow, Distribution, LatencyReport, Peak, Speed, Timing
from nf_edge.render import Table

SPEED = "speed of A"
SPEED_MEANS = f"{SPEED}: how many times as fast it is as the one of the row"


def letters(count: int) -> str:
    """What tables call so many artifacts."""
    return ascii_uppercase[:count]


def latency_tables(report: LatencyReport) -> list[Table]:
    """Three tables for each number of threads: the process, prefill, decoding."""
    tables = []
    for peak in report.peaks:
        lines = [line for line in report.lines if line.threads == peak.threads]
        threads = f"{peak.threads} thread{'s' if peak.threads > 1 else ''}"
        tables.append(_process_table(f"Process, {threads}", lines[0], peak))
        tables.append(_table(f"Prefill, {threads}", "tokens", _of(lines, "prefill")))
        if decoding := _of(lines, "decode"):
            tables.append(_table(f"Decoding, {threads}", "context", decoding))
    return tables


def _of(lines: Sequence[BenchRow], phase: str) -> list[BenchRow]:
    return [line for line in lines if line.phase == phase]


def _process_table(title: str, load: BenchRow, peak: Peak) -> Table:
    loads = [_time(timing) for timing in load.timings]
    peaks = [str(figure) for figure in peak.figures]
    if not load.speeds:
        rows = [("load, ms", *loads), ("peak memory", *peaks)]
        return Table(title, ("", "measured"), tuple(rows), (1,))
    columns = ("", "peak memory", "load, ms", SPEED)
    cells = zip(letters(len(loads)), peaks, loads, _speeds(load), strict=True)
    return Table(title, columns, tuple(cells), (1, 2, 3))


def _table(title: str, first: str, lines: Sequence[BenchRow]) -> Table:
    """Of several artifacts a row each, with that which their ratio is of: ms of a prefill, tokens/s of
    decoding."""
    if not lines[0].speeds:
        rows = [(str(line.tokens), _time(line.timings[0]), _rate(line.timings[0])) for line in lines]
        return Table(title, (first, "ms", "tokens/s"), tuple(rows), (0, 1, 2))
    unit, shown = ("tokens/s", _rate) if lines[0].phase == "decode" else ("ms", _time)
    cells = []
    for line in lines:
        several = zip(letters(len(line.timings)), line.timings, _speeds(line), strict=True)
        for letter, timing, speed in several:
            cells.append(("" if speed else str(line.tokens), letter, shown(timing), speed))
    return Table(title, (first, "", unit, SPEED), tuple(cells), (0, 2, 3))


def _time(timing: Timing) -> str:
    return _spread(timing.time)


def _rate(timing: Timing) -> str:
    return _spread(timing.rate) if timing.rate else ""


def _speeds(line: BenchRow) -> list[str]:
    """The last column: the first artifact is not compared with itself."""
    return ["", *map(_speed_text, line.speeds)]


def _speed_text(speed: Speed) -> str:
    """A ratio and its interval."""
    low, high = speed.interval
    return f"{speed.ratio} ({low}–{high})"


def _spread(found: Distribution) -> str:
    low, high = (_number(figure.value) for figure in found.quartiles)
    return f"{_number(found.median.value)} ({low}–{high})"


def _number(value: float | None) -> str:
    return "–" if value is None else format_three(value)


def artifact_lines(report: LatencyReport) -> list[str]:
    """What was measured; of several, by the letters that the tables have."""
    several = len(report.artifacts) > 1
    return [
        f"{f'{letter}: ' if several else ''}{artifact.path}, {artifact.checkpoint} by {artifact.recipe}, "
        f"{artifact.runtime} {artifact.version}"
        for letter, artifact in zip(letters(len(report.artifacts)), report.artifacts, strict=True)
    ]


def latency_lines(report: LatencyReport, speed: str = SPEED_MEANS) -> list[str]:
    """How to read the tables, what is not in them, and where it was measured.

    Args:
        speed: what a ratio of speeds is, where there are several artifacts.
    """
    rounds = max(line.rounds for line in report.lines)
    loads = report.lines[0].rounds
    inputs = report.inputs
    lines = [
        f"medians (and quartiles) of {rounds} rounds, of loading {loads}, after a warm-up; a round is the "
        "median of its runs",
    ]
    if len(report.artifacts) > 1:
        lines.append(f"{speed} (and the 95 % interval), all asked turn about")
        lines.append(
            "each ran in several processes, started in another order each time; what else sets a process "
            "apart is not in the intervals"
        )
    lines.append(
        f"asked: one row of random token ids below {inputs['vocabulary']:,}, seed {inputs['seed']}; loaded "
        "from a file that the system has in memory"
    )
    if report.no_decoding:
        lines.append(f"no decoding: {report.no_decoding}")
    reasons = {figure.note for peak in report.peaks for figure in peak.figures if figure.value is None}
    lines += [f"not known: peak memory: {reason}" for reason in sorted(reasons)]
    lines += [f"note: {note}" for note in report.notes]
    return [*lines, f"measured on {report.machine}"]


def work_text(line: BenchRow) -> str:
    """What was timed, after "fast"."""
    threads = f"{line.threads} thread{'s' if line.threads > 1 else ''}"
    if line.phase == "load":
        return f"at loading, {threads}"
    tokens = f"{line.tokens:,} token{'s' if line.tokens != 1 else ''}"
    return f"at {'a prefill of' if line.phase == 'prefill' else 'decoding upon'} {tokens}, {threads}"
