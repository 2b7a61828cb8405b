"""The accuracy gate: each limit, the figure that it bounds, and the reason if the limit does not hold.

A limit holds only if the figure is known and within the limit, and the rows are enough to show that.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

from nf_edge.core.errors import BadInput
from nf_edge.core.intervals import rows_to_resolve
from nf_edge.core.limits import LEAST_ROWS, LimitsOn
from nf_edge.core.metrics import METRICS, MetricName
from nf_edge.core.recipe.recipe import Limits
from nf_edge.core.strict_json import number
from nf_edge.measure.accuracy.divergence import Divergence
from nf_edge.measure.accuracy.metric_changes import MetricChange, main_metric, metric_problem
from nf_edge.measure.accuracy.paired_rows import PairedRows
from nf_edge.measure.accuracy.sample import Sample
from nf_edge.model import ModelConfig

# Rounding of a difference of two values must not break a limit that is equal to it.
ROUNDING = 1e-9
BAD_END = " (the bad end of the 95 % interval)"
LOSS_UNITS = {"points": " points", "percent": " %", "squared error": ""}


@dataclass(frozen=True)
class LimitResult:
    """A limit and whether it holds.

    Attributes:
        name: the limited figure: the loss of a metric (by the metric's name), `changed` (share of changed
            answers), or `kl` (KL divergence).
        limit: the largest accepted value.
        unit: the unit of `limit` and `value`.
        on: the value compared with the limit: the estimate, or the upper (bad) end of its 95 % interval.
        value: the compared value; None if unknown.
        problem: the reason why the limit does not hold; "" if it holds.
        too_few: whether the problem is too few rows.
        unknown: whether the problem is an unknown figure.
    """

    name: str
    limit: float
    unit: str
    on: LimitsOn
    value: float | None
    problem: str
    too_few: bool
    unknown: bool = False

    @property
    def passed(self) -> bool:
        return not self.problem

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"value": number(self.value), "passed": self.passed}


def require_limits(config: ModelConfig, rows: PairedRows, limits: Limits) -> None:
    """Check, before a model runs, that the limited figures can be computed.

    Raises:
        BadInput: a limited figure does not suit the model, or needs labels that the rows do not have.
    """
    where, losses = rows.reference.source, limits.losses(main_metric(config))
    problems = [problem for name in losses if (problem := metric_problem(METRICS[name], config))]
    answers = [name for name in ("max_changed", "max_kl") if getattr(limits, name) is not None]
    if answers and config.task == "regression":
        names = " and ".join(f"`{name}`" for name in answers)
        problems.append(f"{names} compare classes or tokens, but the model is a regression")
    if problems:
        fix = "limit a metric that suits this model (--max-drop METRIC=LOSS)"
        raise BadInput.listing(problems, where=where, fix=fix)
    if losses and not rows.labelled(config):
        raise BadInput(
            f"has no labels, but the limit on {' and '.join(losses)} needs labels",
            where=where,
            fix="add labels, or limit the answers instead with --max-changed or --max-kl",
        )


def rows_needed(limits: Limits, config: ModelConfig) -> int:
    """The least number of rows with which the gate can decide whether the limits hold.

    A limit of 0, which no number of rows can prove, is left out.  With `limits.on: estimate`, a language
    model needs only `LEAST_ROWS` (10) rows, because each row has many tokens.
    """
    losses = limits.losses(main_metric(config)).items()
    shares = [loss for name, loss in losses if METRICS[name].unit == "points"]
    on_interval = limits.on == "interval"
    needed = [rows_to_resolve(share / 100, on_interval=on_interval) for share in shares]
    if limits.max_changed is not None:
        needed.append(rows_to_resolve(limits.max_changed / 100, on_interval=on_interval, of_changes=True))
    if config.is_language_model and not on_interval:
        return LEAST_ROWS
    return int(max([LEAST_ROWS, *(each for each in needed if math.isfinite(each))]))


def limit_results(
    limits: Limits,
    main: MetricName,
    changes: tuple[MetricChange, ...],
    divergence: Divergence | None,
    sample: Sample,
) -> tuple[LimitResult, ...]:
    """The result of each limit, in the order: metrics, changed answers, KL divergence.

    Args:
        main: the metric that `limits.max_drop` limits if it names no metric.
    """
    by_name = {change.metric.name: change for change in changes}
    results = [
        _metric(by_name[name], limit, limits.on, sample) for name, limit in limits.losses(main).items()
    ]
    if divergence is not None and limits.max_changed is not None:
        results.append(_changed(divergence, limits.max_changed, limits.on, sample))
    if divergence is not None and limits.max_kl is not None:
        results.append(_kl(divergence, limits.max_kl, limits.on, sample))
    return tuple(results)


def _metric(change: MetricChange, limit: float, on: LimitsOn, sample: Sample) -> LimitResult:
    metric, value, interval, needed = change.metric, change.loss, on == "interval", 0.0
    if interval:
        value = change.interval[1] if change.interval else None
    if change.rows is not None:
        needed = rows_to_resolve(limit / 100, on_interval=interval) * sample.predictions / change.rows
    few = sample.too_few(
        f"a loss of {limit:g}{LOSS_UNITS[metric.unit]} of {metric.name}",
        needed,
        of_rows=interval,
        about=change.rows not in (None, sample.predictions),
    )
    verb = "drops" if metric.higher_is_better else "rises"
    may = f"may {verb[:-1]}" if interval else verb
    if change.unknown:
        problem = f"{metric.name} is unknown: {change.unknown}"
    elif few and interval:
        problem = few
    elif value is None:
        problem = few = (
            f"the loss of {metric.name} has no interval on these {sample.row_unit}; give more of them"
        )
    elif not value <= limit + ROUNDING:
        amount = f"{_amount(value, metric.unit)}{BAD_END if interval else ''}"
        percent = " %" if metric.unit == "percent" else ""
        problem = f"{metric.name} {may} by {amount}, more than the {limit:g}{percent} allowed"
    else:
        problem = few
    return LimitResult(
        metric.name,
        limit,
        metric.unit,
        on,
        value,
        problem,
        too_few=bool(few) and problem == few,
        unknown=bool(change.unknown),
    )


def _changed(divergence: Divergence, limit: float, on: LimitsOn, sample: Sample) -> LimitResult:
    interval = on == "interval"
    value = 100 * (divergence.flips_interval[1] if interval else divergence.flips / divergence.questions)
    needed = rows_to_resolve(limit / 100, on_interval=interval, of_changes=True)
    problem = few = sample.too_few(f"{limit:g} % of changed answers", needed, of_rows=interval)
    if not value <= limit + ROUNDING and not (few and interval):
        may = "may have changed" if interval else "changed"
        problem = f"{value:.2f} % of the {sample.unit} {may} their answer, more than the {limit:g} % allowed"
    return LimitResult("changed", limit, "percent", on, value, problem, too_few=bool(few) and problem == few)


def _kl(divergence: Divergence, limit: float, on: LimitsOn, sample: Sample) -> LimitResult:
    interval, value = on == "interval", number(divergence.kl)
    if interval:
        value = number(divergence.kl_interval[1]) if divergence.kl_interval else None
    problem = few = sample.too_few(f"a KL divergence of {limit:g} nats")
    if number(divergence.kl) is None:
        problem = "the KL divergence is not finite"
    elif value is None:
        problem = few = (
            few or f"the KL divergence has no interval on these {sample.row_unit}; give more of them"
        )
    elif not value <= limit and not (few and interval):
        may, amount = ("may be", BAD_END) if interval else ("is", "")
        problem = f"the KL divergence {may} {value:.4g} nats{amount}, more than the {limit:g} allowed"
    return LimitResult("kl", limit, "nats", on, value, problem, too_few=bool(few) and problem == few)


def _amount(value: float, unit: str) -> str:
    if unit == "points":
        return f"{value:.2f} points"
    return f"{value:.2f} %" if unit == "percent" else f"{value:.4g}"
