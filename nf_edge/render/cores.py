"""What emulated cores answered, as a table and lines."""

import math
from collections.abc import Sequence

from nf_edge.core.figures import shown
from nf_edge.measure.accuracy.cores import OnCore
from nf_edge.measure.emulation import EmulatedCore
from nf_edge.render import Table, flips_text


def cores_table(reports: Sequence[OnCore]) -> Table:
    language_model = reports[0].accuracy.comparison.artifact.perplexity is not None
    columns = [
        "on",
        "emulated as",
        "accuracy",
        "drop",
        "95 % interval",
        "flips",
        "flips here",
        "logits off here",
    ]
    if language_model:
        columns.insert(3, "perplexity")
    rows = []
    for report in reports:
        comparison, here = report.accuracy.comparison, report.here
        low, high = comparison.drop_interval
        row = [
            report.core.name,
            report.core.cpu,
            f"{100 * comparison.artifact.share:.2f} %",
            f"{comparison.drop:+.2f}",
            f"{low:+.2f} to {high:+.2f}",
            f"{comparison.divergence.flips:,}",
            f"{here.flips:,}",
            shown(100 * here.share, ".3g", " %"),
        ]
        if language_model:
            row.insert(3, shown(comparison.artifact.perplexity or math.inf, ".4g"))
        rows.append(tuple(row))
    return Table("Accuracy on emulated cores", tuple(columns), tuple(rows), tuple(range(2, len(columns))))


def cores_lines(reports: Sequence[OnCore]) -> list[str]:
    first = reports[0].accuracy
    limit = "no limit" if first.max_drop is None else f"at most {first.max_drop:g} points may be lost"
    lines = [
        f"data: {first.data}, {reports[0].here.questions:,} {first.unit}; {limit}",
        "drop and flips: against the checkpoint in PyTorch; flips here and logits off here: against the same "
        "file on this machine, the latter the largest difference of a logit as a share of the largest",
        *core_lines([report.core for report in reports]),
    ]
    lines += [f"{report.core.name}: {report.begins}" for report in reports if report.begins]
    for report in reports:
        if not report.accuracy.passed:
            flips = flips_text(report.accuracy.comparison.divergence)
            lines.append(
                f"{report.core.name} FAILS the accuracy gate: {report.accuracy.problem}; it changes {flips}"
            )
    if all(report.accuracy.passed for report in reports):
        lines.append("PASSES the accuracy gate on every core")
    return lines


def core_lines(cores: Sequence[EmulatedCore]) -> list[str]:
    """What emulated them, and what stands in for what."""
    lines = [f"emulated by QEMU {cores[0].emulator.version}: answers are the core's, times are not"]
    return [*lines, *(f"{core.name}: {core.note}" for core in cores if core.note)]
