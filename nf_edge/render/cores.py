"""The report of `nf-edge check --on`: accuracy on emulated cores."""

import math
from collections.abc import Sequence

from nf_edge.core.figures import format_number
from nf_edge.measure.accuracy.check import AccuracyReport
from nf_edge.measure.accuracy.cores import CoresReport, OnCore
from nf_edge.measure.emulation import EmulatedCore
from nf_edge.render.accuracy import (
    NOT_JUDGED,
    flips_text,
    limit_amount,
    limit_name,
    loss_bounds,
    loss_text,
    metric_text,
)
from nf_edge.render.table import Part, Table, body
from nf_edge.render.text import UNKNOWN


def cores_parts(report: CoresReport) -> list[Part]:
    return [_table(report.cores), body(_lines(report.cores))]


def _table(reports: Sequence[OnCore]) -> Table:
    language_model = reports[0].accuracy.comparison.artifact.perplexity is not None
    columns = [
        "on",
        "emulated as",
        reports[0].accuracy.metrics[0].metric.title if reports[0].accuracy.metrics else "accuracy",
        "loss",
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
            *_metric_cells(report.accuracy),
            f"{comparison.divergence.flips:,}" if comparison.divergence else UNKNOWN,
            f"{local.flips:,}",
            format_number(100 * local.share, ".3g", " %"),
        ]
        if language_model:
            row.insert(3, format_number(comparison.artifact.perplexity or math.inf, ".4g"))
        rows.append(tuple(row))
    return Table("Accuracy on emulated cores", tuple(columns), tuple(rows), tuple(range(2, len(columns))))


def _metric_cells(accuracy: AccuracyReport) -> tuple[str, str, str]:
    """Three cells: the artifact's main metric, how much worse it is than the checkpoint's, and its interval.

    Without labels, all three are unknown.
    """
    if not accuracy.metrics:
        return UNKNOWN, UNKNOWN, UNKNOWN
    main = accuracy.metrics[0]
    return metric_text(main.metric, main.artifact), loss_text(main), loss_bounds(main)


def _lines(reports: Sequence[OnCore]) -> list[str]:
    first = reports[0].accuracy
    limits = [f"{limit_name(each)} at most {limit_amount(each)}" for each in first.limits]
    limit = "; ".join(limits) or "no limit"
    lines = [
        f"data: {first.data}, {reports[0].local.questions:,} {first.unit}; {limit}",
        "loss and changed: against the checkpoint in PyTorch",
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
        lines.append("PASSES the accuracy gate on every core" if first.judged else NOT_JUDGED)
    return lines


def _core_lines(cores: Sequence[EmulatedCore]) -> list[str]:
    """A line with the emulator's version, and one for each core with a remark.

    A remark says that another core stands in for the device's core, or that results are not reliable.
    """
    lines = [f"emulated by QEMU {cores[0].emulator.version}: answers are the core's, times are not"]
    return [*lines, *(f"{core.name}: {core.note}" for core in cores if core.note)]
