"""The report of `nf-edge check --on`: accuracy on emulated cores."""

import math
from collections.abc import Sequence

from nf_edge.core.figures import format_number
from nf_edge.measure.accuracy.cores import CoresReport, OnCore
from nf_edge.measure.emulation import EmulatedCore
from nf_edge.render.accuracy import flips_text
from nf_edge.render.table import Part, Table, body
from nf_edge.render.text import bounds_text


def cores_parts(report: CoresReport) -> list[Part]:
    return [_table(report.cores), body(_lines(report.cores))]


def _table(reports: Sequence[OnCore]) -> Table:
    language_model = reports[0].accuracy.comparison.artifact.perplexity is not None
    columns = [
        "on",
        "emulated as",
        "accuracy",
        "drop",
        "95 % interval",
        "changed",
        "changed\nfrom here",
        "largest\ndifference\nfrom here",
    ]
    if language_model:
        columns.insert(3, "perplexity")
    rows = []
    for report in reports:
        comparison, local = report.accuracy.comparison, report.local
        row = [
            report.core.name,
            report.core.cpu,
            f"{100 * comparison.artifact.share:.2f} %",
            f"{comparison.drop:+.2f}",
            bounds_text(comparison.drop_interval, "+.2f"),
            f"{comparison.divergence.flips:,}",
            f"{local.flips:,}",
            format_number(100 * local.share, ".3g", " %"),
        ]
        if language_model:
            row.insert(3, format_number(comparison.artifact.perplexity or math.inf, ".4g"))
        rows.append(tuple(row))
    return Table("Accuracy on emulated cores", tuple(columns), tuple(rows), tuple(range(2, len(columns))))


def _lines(reports: Sequence[OnCore]) -> list[str]:
    first = reports[0].accuracy
    limit = "no limit" if first.max_drop is None else f"at most {first.max_drop:g} points may be lost"
    lines = [
        f"data: {first.data}, {reports[0].local.questions:,} {first.unit}; {limit}",
        "drop (points) and changed: against the checkpoint in PyTorch",
        "changed from here: answers on the core that differ from the file's answers on this machine",
        "largest difference from here: largest change of a logit, as a share of the largest logit",
        *_core_lines([report.core for report in reports]),
    ]
    lines += [
        f"{report.core.name}: {report.first_divergence}" for report in reports if report.first_divergence
    ]
    for report in reports:
        if not report.accuracy.passed:
            flips = flips_text(report.accuracy.comparison.divergence)
            lines.append(
                f"{report.core.name} FAILS the accuracy gate: {report.accuracy.problem}; "
                f"answers that changed: {flips}"
            )
    if all(report.accuracy.passed for report in reports):
        lines.append("PASSES the accuracy gate on every core")
    return lines


def _core_lines(cores: Sequence[EmulatedCore]) -> list[str]:
    """The emulator's version, and a line for each core that replaces another or is not reliable."""
    lines = [f"emulated by QEMU {cores[0].emulator.version}: answers are the core's, times are not"]
    return [*lines, *(f"{core.name}: {core.note}" for core in cores if core.note)]
