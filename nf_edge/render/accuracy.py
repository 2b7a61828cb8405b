"""The report of `nf-edge check`: accuracy, divergence and agreement."""

import math
from collections.abc import Sequence

from nf_edge.core.figures import format_number
from nf_edge.core.metrics import METRICS, Metric
from nf_edge.measure.accuracy.bits_per_byte import TextScores
from nf_edge.measure.accuracy.check import AccuracyReport
from nf_edge.measure.accuracy.compare import Comparison, Score
from nf_edge.measure.accuracy.divergence import Divergence, not_finite_text
from nf_edge.measure.accuracy.limit_results import LimitResult
from nf_edge.measure.accuracy.metric_changes import MetricChange
from nf_edge.measure.accuracy.parity import Parity
from nf_edge.render.table import Part, Table, body
from nf_edge.render.text import UNKNOWN, bounds_text, in_percent, interval_text, limit_text, truncated_text

# The figures with limits that are not metrics, and units in text.
LIMITED = {"changed": "changed answers", "kl": "KL divergence"}
UNITS = {"percent": "%", "squared error": ""}

# The outcome of finite logits without any limit.
NOT_JUDGED = "no limit was given, so the accuracy was not judged (--max-drop, --max-changed, --max-kl)"


def accuracy_parts(report: AccuracyReport) -> list[Part]:
    return [*accuracy_tables(report), body(accuracy_lines(report))]


def accuracy_tables(report: AccuracyReport) -> list[Table]:
    """The tables of right answers, metrics, limits and, with a baseline, the changes against it.

    A table without rows is left out.
    """
    right = [] if report.comparison.artifact.right is None else [_right_table(report)]
    tables = [*right, *metrics_tables(report.metrics), *limits_tables(report.limits)]
    if report.baseline is None:
        return tables
    name = report.baseline.name
    return [*tables, *metrics_tables(report.baseline.changes, f"Metrics against {name}", name)]


def _right_table(report: AccuracyReport) -> Table:
    comparison = report.comparison
    rows = [("checkpoint (PyTorch, fp32)", *_score_cells(comparison.reference))]
    rows.append(("artifact", *_score_cells(comparison.artifact)))
    columns = ["", "right", "accuracy", "95 % interval"]
    if comparison.reference.perplexity is not None:
        columns.append("perplexity")
    return Table("Accuracy", tuple(columns), tuple(rows), (1, 2, 3, 4))


def _score_cells(score: Score) -> tuple[str, ...]:
    assert score.right is not None
    assert score.interval is not None
    cells = (
        f"{score.right:,} of {score.total:,}",
        share_text(score),
        bounds_text(in_percent(score.interval), ".2f", " %"),
    )
    return cells if score.perplexity is None else (*cells, perplexity_text(score))


def accuracy_card(report: AccuracyReport) -> tuple[str, str]:
    """The main figure of a report, such as `97.50 %`, and its description."""
    data = f"on {report.comparison.questions:,} {report.unit} of {report.data}"
    if not report.metrics:
        divergence = report.comparison.divergence
        flips = divergence.flips if divergence else 0
        return f"{flips:,}", f"changed answers {data}"
    main = report.metrics[0]
    drop = f"; {'drop' if main.metric.higher_is_better else 'rise'} {loss_text(main)}"
    return metric_text(main.metric, main.artifact), f"{main.metric.title} {data}{drop}"


def metrics_tables(
    changes: Sequence[MetricChange], title: str = "Metrics", reference: str = "checkpoint"
) -> list[Table]:
    """The table of both models' metrics and of the losses; no table if there are no metrics.

    Args:
        title: the title of the table.
        reference: the heading of the column of the model that the artifact is compared with.
    """
    rows = tuple(
        (
            change.metric.title,
            metric_text(change.metric, change.reference),
            metric_text(change.metric, change.artifact),
            loss_text(change),
            loss_bounds(change),
            UNKNOWN if change.p_value is None else f"{change.p_value:.3g}",
        )
        for change in changes
    )
    columns = ("metric", reference, "artifact", "loss", "95 % interval", "p (McNemar)")
    return [Table(title, columns, rows, (1, 2, 3, 4, 5))] if rows else []


def limits_tables(results: Sequence[LimitResult]) -> list[Table]:
    """The table of limits and whether each holds; no table if there are no limits."""
    rows = tuple(
        (
            limit_name(result),
            limit_amount(result),
            UNKNOWN if result.value is None else f"{result.value:.4g}",
            result.on if result.on == "estimate" else "bad end of the interval",
            "holds" if result.passed else "FAILS",
        )
        for result in results
    )
    columns = ("limit on", "at most", "value", "judged on", "")
    return [Table("Limits", columns, rows, (1, 2))] if rows else []


def limit_name(result: LimitResult) -> str:
    """The name of the limited figure in words, such as `loss of accuracy`."""
    return LIMITED.get(result.name) or f"loss of {METRICS[result.name].title}"


def limit_amount(result: LimitResult) -> str:
    """The largest accepted value of a limit with its unit, such as `0.5 points`."""
    return f"{result.limit:g} {UNITS.get(result.unit, result.unit)}".rstrip()


def loss_bounds(change: MetricChange) -> str:
    """The 95 % interval of a metric's loss as text; a dash if there is none."""
    return UNKNOWN if change.interval is None else bounds_text(change.interval, _spec(change.metric))


def metric_text(metric: Metric, value: float | None) -> str:
    """The value of a metric as text; a dash if it is unknown."""
    if value is None:
        return UNKNOWN
    if metric.name == "accuracy":
        return f"{100 * value:.2f} %"
    return format_number(value, ".4f" if metric.unit == "points" else ".4g")


def loss_text(change: MetricChange) -> str:
    """A loss with its unit, such as `+0.50 points`; a dash if it is unknown."""
    if change.loss is None:
        return UNKNOWN
    unit = UNITS.get(change.metric.unit, change.metric.unit)
    return f"{change.loss:{_spec(change.metric)}}{' ' if unit else ''}{unit}"


def _spec(metric: Metric) -> str:
    return "+.3g" if metric.unit == "squared error" else "+.2f"


def share_text(score: Score) -> str:
    """The accuracy of a model in percent, as text; a dash if it is unknown."""
    return UNKNOWN if score.share is None else f"{100 * score.share:.2f} %"


def accuracy_lines(report: AccuracyReport) -> list[str]:
    comparison = report.comparison
    lines = [f"data: {report.data}{truncated_text(report.truncated)}"]
    lines += [f"note on the data: {note}" for note in report.notes]
    if comparison.drop is not None:
        lines.append(f"{drop_text(comparison)[:-1]}; {limit_text(report.max_drop)})")
    elif not report.metrics:
        lines.append("the rows have no labels: answers are compared, but no metric is computed")
    if comparison.not_finite:
        lines.insert(0, not_finite_text(comparison.not_finite, comparison.questions, report.unit))
    if comparison.perplexity_ratio is not None:
        lines.append(perplexity_ratio_line(comparison))
    lines += _text_lines(report.text) if report.text else []
    lines += [
        f"{change.metric.title} is unknown: {change.unknown}" for change in report.metrics if change.unknown
    ]
    lines += [result.problem for result in report.limits if result.problem]
    if report.baseline is not None:
        lines.append(report.baseline.problem or f"no regression against {report.baseline.name}")
    if report.lowered_again is not None and report.lowered_again.problem:
        lines.append(report.lowered_again.problem)
    return [
        *lines,
        *_divergence_lines(report),
        gate_line(report),
        *simulated_lines(report.simulated),
    ]


def gate_line(report: AccuracyReport) -> str:
    """The line that says whether the artifact passes the gate, or that nothing was judged without a limit."""
    if not report.passed:
        return "FAILS the accuracy gate"
    return "PASSES the accuracy gate" if report.judged else NOT_JUDGED


def _text_lines(scores: TextScores) -> list[str]:
    """Lines about a text that a language model reads: its windows, and both models' bits per byte."""
    text = scores.text
    before, after = (
        format_number(bits.value, ".4f", "" if bits.error is None else f" ± {bits.error:.2g}")
        for bits in (scores.reference, scores.artifact)
    )
    return [
        f"{text.scored:,} of {text.tokens:,} tokens are scored, in windows of {text.window:,} that move by "
        f"{text.stride:,}; without context or beyond the limit, and not scored: {text.not_scored:,}",
        f"bits per byte, on {text.bytes:,} bytes: {after}; checkpoint {before}",
    ]


def _divergence_lines(report: AccuracyReport) -> list[str]:
    comparison = report.comparison
    if comparison.divergence is None:
        return []
    right = "" if comparison.lost is None else f"; {comparison.lost:,} lost, {comparison.gained:,} gained"
    return [
        f"{report.unit} that changed their answer: {flips_text(comparison.divergence)}{right}",
        f"KL divergence from the checkpoint's answers: {kl_text(comparison.divergence)}",
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


def divergence_lines(
    divergence: Divergence | None, data: str = "", reference: str = "answers before"
) -> list[str]:
    """A line with the number of changed predictions, and a line with the KL divergence in nats.

    Args:
        data: the rows, in words; "" to leave them out.
        reference: the answers that the divergence is measured from, in words.
    """
    rows = f" on {data}" if data else ""
    return [
        f"answers{rows} that changed: {flips_text(divergence)}",
        f"KL divergence from the {reference}: {kl_text(divergence)}",
    ]


def drop_text(comparison: Comparison) -> str:
    """The loss of accuracy in points with its interval; `drop unknown` if it is unknown."""
    if comparison.drop is None or comparison.drop_interval is None:
        return "drop unknown"
    return f"drop {comparison.drop:+.2f} points ({interval_text(comparison.drop_interval, '+.2f')})"


def drop_cell(comparison: Comparison) -> str:
    """The loss of accuracy in points as text, such as `+0.50`; a dash if it is unknown."""
    return UNKNOWN if comparison.drop is None else f"{comparison.drop:+.2f}"


def perplexity_text(score: Score) -> str:
    """The perplexity of a language model as text, with ± its standard error if that is known."""
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


def flips_text(divergence: Divergence | None) -> str:
    if divergence is None:
        return UNKNOWN
    share = 100 * divergence.flips / divergence.questions
    interval = interval_text(in_percent(divergence.flips_interval), ".2f", " %")
    return f"{divergence.flips:,} of {divergence.questions:,}, {share:.2f} % ({interval})"


def kl_text(divergence: Divergence | None) -> str:
    if divergence is None:
        return UNKNOWN
    if not math.isfinite(divergence.kl):
        return format_number(divergence.kl, ".4g")
    if divergence.kl_interval is None:
        return f"{divergence.kl:.4g} nats (a single text gives no interval)"
    return f"{divergence.kl:.4g} nats ({interval_text(divergence.kl_interval, '.4g')})"
