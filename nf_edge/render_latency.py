"""A latency report as tables and lines."""

from collections.abc import Sequence

from nf_edge.latency.report import Distribution, LatencyReport, Line, Peak, Speed
from nf_edge.render import Table
from nf_edge.report import format_three

LETTERS = "AB"
SPEED = "speed of A"


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


def _of(lines: Sequence[Line], phase: str) -> list[Line]:
    return [line for line in lines if line.phase == phase]


def _process_table(title: str, load: Line, peak: Peak) -> Table:
    two = load.speed is not None
    rows = [
        ("load, ms", *(_spread(timing.time) for timing in load.timings), *_speed(load.speed)),
        ("peak memory", *(str(figure) for figure in peak.figures), *[""] * two),
    ]
    columns = ("", *LETTERS, SPEED) if two else ("", "measured")
    return Table(title, columns, tuple(rows), tuple(range(1, len(columns))))


def _table(title: str, first: str, lines: Sequence[Line]) -> Table:
    """Of two artifacts, that which their ratio is of: ms of a prefill, tokens/s of decoding."""
    columns: tuple[str, ...]
    rows = []
    if lines[0].speed is None:
        columns = (first, "ms", "tokens/s")
        for line in lines:
            (timing,) = line.timings
            rate = [_spread(timing.rate)] if timing.rate else []
            rows.append((str(line.tokens), _spread(timing.time), *rate))
    else:
        rates = lines[0].phase == "decode"
        unit = "tokens/s" if rates else "ms"
        columns = (first, *(f"{letter}, {unit}" for letter in LETTERS), SPEED)
        for line in lines:
            shown = [timing.rate if rates and timing.rate else timing.time for timing in line.timings]
            rows.append((str(line.tokens), *map(_spread, shown), *_speed(line.speed)))
    return Table(title, columns, tuple(rows), tuple(range(len(columns))))


def _spread(found: Distribution) -> str:
    low, high = (_number(figure.value) for figure in found.quartiles)
    return f"{_number(found.median.value)} ({low}–{high})"


def _number(value: float | None) -> str:
    assert value is not None, "a distribution is of measured figures"
    return format_three(value)


def _speed(speed: Speed | None) -> list[str]:
    if speed is None:
        return []
    low, high = speed.interval
    return [f"{speed.ratio} ({low}–{high})"]


def artifact_lines(report: LatencyReport) -> list[str]:
    """What was measured; of two, by the letters that the tables have."""
    two = len(report.artifacts) == 2
    return [
        f"{f'{letter}: ' if two else ''}{artifact.path}, {artifact.checkpoint} by {artifact.recipe}, "
        f"{artifact.runtime} {artifact.version}"
        for letter, artifact in zip(LETTERS, report.artifacts, strict=False)
    ]


def latency_lines(report: LatencyReport) -> list[str]:
    """How to read the tables, what is not in them, and where it was measured."""
    rounds = max(line.rounds for line in report.lines)
    loads = report.lines[0].rounds
    inputs = report.inputs
    lines = [
        f"medians (and quartiles) of {rounds} rounds, of loading {loads}, after a warm-up; a round is the "
        "median of its runs",
    ]
    if len(report.artifacts) == 2:
        lines.append(
            f"{SPEED}: how many times as fast as B it is (and the 95 % interval), both asked turn about"
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
