"""The report of `nf-edge check`: accuracy, divergence and agreement."""

import math

from nf_edge.core.figures import format_number
from nf_edge.measure.accuracy.check import AccuracyReport
from nf_edge.measure.accuracy.compare import Comparison, Score
from nf_edge.measure.accuracy.divergence import Divergence, not_finite_text
from nf_edge.measure.accuracy.parity import Parity
from nf_edge.render.table import Part, Table, body
from nf_edge.render.text import bounds_text, in_percent, interval_text, limit_text, truncated_text


def accuracy_parts(report: AccuracyReport) -> list[Part]:
    return [accuracy_table(report), body(accuracy_lines(report))]


def accuracy_table(report: AccuracyReport) -> Table:
    comparison = report.comparison
    rows = [("checkpoint (PyTorch, fp32)", *_score_cells(comparison.reference))]
    rows.append(("artifact", *_score_cells(comparison.artifact)))
    columns = ["", "right", "accuracy", "95 % interval"]
    if comparison.reference.perplexity is not None:
        columns.append("perplexity")
    return Table("Accuracy", tuple(columns), tuple(rows), (1, 2, 3, 4))


def _score_cells(score: Score) -> tuple[str, ...]:
    cells = (
        f"{score.right:,} of {score.total:,}",
        f"{100 * score.share:.2f} %",
        bounds_text(in_percent(score.interval), ".2f", " %"),
    )
    return cells if score.perplexity is None else (*cells, perplexity_text(score))


def accuracy_lines(report: AccuracyReport) -> list[str]:
    comparison = report.comparison
    lines = [
        f"data: {report.data}{truncated_text(report.truncated)}",
        f"drop {comparison.drop:+.2f} points "
        f"({interval_text(comparison.drop_interval, '+.2f')}; {limit_text(report.max_drop)})",
    ]
    if comparison.not_finite:
        lines.insert(0, not_finite_text(comparison.not_finite, comparison.artifact.total, report.unit))
    if comparison.perplexity_ratio is not None:
        lines.append(perplexity_ratio_line(comparison))
    return [
        *lines,
        f"{report.unit} that changed their answer: {flips_text(comparison.divergence)}; "
        f"{comparison.lost:,} lost, {comparison.gained:,} gained",
        f"KL divergence from the checkpoint's answers: {kl_text(comparison.divergence)}",
        "PASSES the accuracy gate" if report.passed else "FAILS the accuracy gate",
        *simulated_lines(report.simulated),
    ]


def parity_lines(parity: Parity) -> list[str]:
    inputs = f"{parity.count} rows of {parity.rows}{truncated_text(parity.truncated)}"
    if parity.rows == "synthetic":
        inputs = f"{parity.count} rows of random token ids (synthetic: no data was given)"
    error = (
        parity.problem
        if parity.error is None
        else f"largest difference {parity.error:.2g} of the largest logit ({limit_text(parity.limit)})"
    )
    same = "" if parity.agreement is None else f"; {100 * parity.agreement:.1f} % give the same answer"
    return [f"logits against PyTorch fp32, on {inputs}: {error}{same}"]


def simulated_lines(simulated: str) -> list[str]:
    """The line that names the simulator, if this machine cannot run the file itself; otherwise empty."""
    if not simulated:
        return []
    return [f"this machine cannot run the file; the answers are those of {simulated}"]


def divergence_lines(divergence: Divergence, data: str = "", reference: str = "answers before") -> list[str]:
    """Lines about the number of changed predictions, and their divergence in nats from those of
    `reference`.
    """
    rows = f" on {data}" if data else ""
    return [
        f"answers{rows} that changed: {flips_text(divergence)}",
        f"KL divergence from the {reference}: {kl_text(divergence)}",
    ]


def drop_text(comparison: Comparison) -> str:
    """The lost points of accuracy, with their interval."""
    return f"drop {comparison.drop:+.2f} points ({interval_text(comparison.drop_interval, '+.2f')})"


def perplexity_text(score: Score) -> str:
    """The perplexity of a language model and its standard error."""
    assert score.perplexity is not None
    error = "" if score.perplexity_error is None else f" ± {score.perplexity_error:.2g}"
    return format_number(score.perplexity, ".4g", error)


def perplexity_ratio_line(comparison: Comparison) -> str:
    """The line with a language model's perplexity as a multiple of its checkpoint's."""
    ratio = comparison.perplexity_ratio
    assert ratio is not None
    if comparison.perplexity_ratio_interval is None:
        text = format_number(ratio, ".4f")
    else:
        text = f"{ratio:.4f} ({interval_text(comparison.perplexity_ratio_interval, '.4f')})"
    return f"perplexity {text} times the checkpoint's"


def flips_text(divergence: Divergence) -> str:
    share = 100 * divergence.flips / divergence.questions
    interval = interval_text(in_percent(divergence.flips_interval), ".2f", " %")
    return f"{divergence.flips:,} of {divergence.questions:,}, {share:.2f} % ({interval})"


def kl_text(divergence: Divergence) -> str:
    if not math.isfinite(divergence.kl):
        return format_number(divergence.kl, ".4g")
    if divergence.kl_interval is None:
        return f"{divergence.kl:.4g} nats (a single text gives no interval)"
    return f"{divergence.kl:.4g} nats ({interval_text(divergence.kl_interval, '.4g')})"
