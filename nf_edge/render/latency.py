"""The report of `nf-edge bench`."""

from collections.abc import Sequence
from string import ascii_uppercase

from nf_edge.measure.latency.latency_report import BenchRow, Distribution, LatencyReport, Peak, Speed, Timing
from nf_edge.render.table import Part, Table, body, transposed
from nf_edge.render.text import counted, number_cell, spread_text

SPEED = "speed of A"
SPEED_MEANS = f"{SPEED}: how many times as fast A is as the artifact of the row"


def latency_parts(report: LatencyReport) -> list[Part]:
    return [body(artifact_lines(report)), *latency_tables(report), body(latency_lines(report))]


def letters(count: int) -> str:
    """The letters that stand for `count` artifacts in tables, such as `ABC` for three artifacts."""
    return ascii_uppercase[:count]


def artifact_lines(report: LatencyReport) -> list[str]:
    """One line per measured artifact; with several artifacts, a letter stands for each in the tables."""
    several = len(report.artifacts) > 1
    return [
        f"{f'{letter}: ' if several else ''}{artifact.path}, {artifact.checkpoint} by {artifact.recipe}, "
        f"{artifact.runtime} {artifact.version}"
        for letter, artifact in zip(letters(len(report.artifacts)), report.artifacts, strict=True)
    ]


def latency_tables(report: LatencyReport) -> list[Table]:
    """Tables for each number of threads: load time and peak memory, prefill, and decoding if measured."""
    tables = []
    for peak in report.peaks:
        rows = [row for row in report.lines if row.threads == peak.threads]
        threads = counted(peak.threads, "thread")
        tables.append(_process_table(f"Process, {threads}", rows[0], peak))
        tables.append(_phase_table(f"Prefill, {threads}", "tokens", _of_phase(rows, "prefill")))
        if decoding := _of_phase(rows, "decode"):
            tables.append(_phase_table(f"Decoding, {threads}", "context", decoding))
    return tables


def _of_phase(rows: Sequence[BenchRow], phase: str) -> list[BenchRow]:
    return [row for row in rows if row.phase == phase]


def _process_table(title: str, load: BenchRow, peak: Peak) -> Table:
    loads = [_time(timing) for timing in load.timings]
    peaks = [str(figure) for figure in peak.figures]
    if not load.speeds:
        rows = [("load, ms", *loads), ("peak memory", *peaks)]
        return Table(title, ("", "measured"), tuple(rows), (1,))
    columns = ("", "peak memory", "load, ms", SPEED)
    return Table(
        title, columns, transposed([letters(len(loads)), peaks, loads, speed_cells(load)]), (1, 2, 3)
    )


def _phase_table(title: str, first: str, rows: Sequence[BenchRow]) -> Table:
    """The table of one phase.

    For one artifact it has ms and tokens/s.  For several artifacts it has ms (prefill) or tokens/s
    (decoding), and the speedup of the first artifact over each of the others.

    Args:
        first: the heading of the first column.
    """
    if not rows[0].speeds:
        one = [(str(row.tokens), _time(row.timings[0]), _rate(row.timings[0])) for row in rows]
        return Table(title, (first, "ms", "tokens/s"), tuple(one), (0, 1, 2))
    unit, cell = ("tokens/s", _rate) if rows[0].phase == "decode" else ("ms", _time)
    cells = []
    for row in rows:
        artifacts = zip(letters(len(row.timings)), row.timings, speed_cells(row), strict=True)
        for letter, timing, speed in artifacts:
            cells.append(("" if speed else str(row.tokens), letter, cell(timing), speed))
    return Table(title, (first, "", unit, SPEED), tuple(cells), (0, 2, 3))


def _time(timing: Timing) -> str:
    return _quartiles(timing.time)


def _rate(timing: Timing) -> str:
    return _quartiles(timing.rate) if timing.rate else ""


def _quartiles(distribution: Distribution) -> str:
    low, high = (number_cell(figure.value) for figure in distribution.quartiles)
    return spread_text(number_cell(distribution.median.value), (low, high))


def speed_text(speed: Speed) -> str:
    """A ratio of speeds with its interval, as text; the ratio is above 1 if the first artifact is faster."""
    return spread_text(speed.ratio, speed.interval)


def speed_cells(row: BenchRow) -> list[str]:
    """The last cell of each artifact's row: the ratio of speeds; "" for the first artifact."""
    return ["", *map(speed_text, row.speeds)]


def latency_lines(report: LatencyReport, speed: str = SPEED_MEANS) -> list[str]:
    """Lines that explain the tables, say what the tables leave out, and name the machine of the measurement.

    Args:
        speed: the words that explain a ratio of speeds; without effect if there is only one artifact.
    """
    rounds = max(row.rounds for row in report.lines)
    loads = report.lines[0].rounds
    inputs = report.inputs
    lines = [
        f"medians (and quartiles) of {rounds} rounds ({loads} for loading) after a warm-up; a round is the "
        "median of its runs",
    ]
    if len(report.artifacts) > 1:
        lines.append(f"{speed} (and the 95 % interval), from interleaved rounds")
        lines.append(
            "each artifact ran in several processes, started in a different order each time; other "
            "differences between processes are not in the intervals"
        )
    lines.append(
        f"input: one row of random token ids below {inputs['vocabulary']:,}, seed {inputs['seed']}; the "
        "model file was in the system's file cache"
    )
    if report.no_decoding:
        lines.append(f"decoding was not timed: {report.no_decoding}")
    reasons = {figure.note for peak in report.peaks for figure in peak.figures if figure.value is None}
    lines += [f"not known: peak memory: {reason}" for reason in sorted(reasons)]
    lines += [f"note: {note}" for note in report.notes]
    return [*lines, f"measured on {report.machine}"]


def work_text(row: BenchRow) -> str:
    """The timed work, in words that can follow "fast" or "fastest", such as "at loading, 1 thread"."""
    threads = counted(row.threads, "thread")
    if row.phase == "load":
        return f"at loading, {threads}"
    if row.phase == "prefill":
        return f"at a prefill of {counted(row.tokens or 0, 'token')}, {threads}"
    return f"at decoding after {counted(row.tokens or 0, 'token')}, {threads}"
