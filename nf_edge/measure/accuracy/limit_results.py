"""The accuracy gate: each limit, the figure that it bounds, and the reason if the limit does not hold.

A limit holds only if the figure is known and within the limit, and the rows are enough to show that.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

from nf_edge.core.errors import BadInput
from nf_edge.core.intervals import rows_to_resolve
from nf_edge.core.limits import LimitsOn
from nf_edge.core.metrics import METRICS, MetricName
from nf_edge.core.recipe.recipe import Limits
from nf_edge.core.strict_json import number
from nf_edge.measure.accuracy.divergence import Divergence
from nf_edge.measure.accuracy.metric_changes import MetricChange, main_metric, metric_problem
from nf_edge.measure.accuracy.paired_rows import PairedRows
from nf_edge.measure.accuracy.resampling import LEAST_ROWS
from nf_edge.model import ModelConfig

# Rounding of a difference of two values must not break a limit that is equal to it.
ROUNDING = 1e-9
INTERVAL = " (the bad end of the 95 % interval)"


@dataclass(frozen=True)
class LimitResult:
    """A limit and whether it holds.

    Attributes:
        name: what is limited: the loss of a metric (by the metric's name), `changed` (the share of changed
            answers), or `kl` (the KL divergence).
        limit: the largest accepted loss, share or divergence.
        unit: the unit of `limit` and `value`.
        on: what is compared with the limit: the estimate, or the bad (upper) end of its 95 % interval.
        value: the estimate or the bad end, as `on` says; None if unknown.
        problem: the reason why the limit does not hold; "" if it holds.
        too_few: whether the reason is that the rows are too few for the limit.
    """

    name: str
    limit: float
    unit: str
    on: LimitsOn
    value: float | None
    problem: str
    too_few: bool

    @property
    def passed(self) -> bool:
        return not self.problem

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"value": number(self.value), "passed": self.passed}


def require_limits(config: ModelConfig, rows: PairedRows, limits: Limits) -> None:
    """Check, before a model runs, that the figures for all limits can be computed.

    Raises:
        BadInput: a metric or a divergence does not suit the model, or a metric needs labels.
    """
    where, losses = rows.reference.source, limits.losses(main_metric(config))
    problems = [problem for name in losses if (problem := metric_problem(METRICS[name], config))]
    answers = [name for name in ("max_changed", "max_kl") if getattr(limits, name) is not None]
    if answers and config.task == "regression":
        names = " and ".join(f"`{name}`" for name in answers)
        problems.append(f"{names} compare classes or tokens, but the model is a regression")
    if problems:
        raise BadInput.listing(problems, where=where, fix="limit a metric that suits this model")
    if losses and not rows.labelled(config):
        raise BadInput(
            f"has no labels, but the limit on {' and '.join(losses)} needs labels",
            where=where,
            fix="add labels, or limit the answers instead with --max-changed or --max-kl",
        )


def rows_needed(limits: Limits, config: ModelConfig) -> int:
    """The least number of rows that can show whether every limit on a share holds.

    Limits that no number of rows can show are left out.  The result is 1 if no limit remains.  It is also 1
    for a language model, whose limits are on tokens, because even one row has many tokens.
    """
    losses = limits.losses(main_metric(config)).items()
    shares = [loss for name, loss in losses if METRICS[name].unit == "points"]
    on_interval = limits.on == "interval"
    needed = [rows_to_resolve(share / 100, on_interval=on_interval) for share in shares]
    if limits.max_changed is not None:
        needed.append(rows_to_resolve(limits.max_changed / 100, on_interval=on_interval, of_changes=True))
    if config.is_language_model:
        return 1
    return int(max((each for each in needed if math.isfinite(each)), default=1))


def limit_results(
    limits: Limits,
    main: MetricName,
    changes: tuple[MetricChange, ...],
    divergence: Divergence | None,
    unit: str,
    rows: int,
) -> tuple[LimitResult, ...]:
    """Judge all limits.

    Args:
        main: the metric that `limits.max_drop` limits if it names no metric.
        unit: what is counted, for messages: `rows`, or `tokens` of a language model.
        rows: the number of rows.
    """
    by_name = {change.metric.name: change for change in changes}
    results = [
        _metric(by_name[name], limit, limits.on, unit, divergence.questions if divergence else rows)
        for name, limit in limits.losses(main).items()
    ]
    if divergence is not None and limits.max_changed is not None:
        results.append(_changed(divergence, limits.max_changed, limits.on, unit))
    if divergence is not None and limits.max_kl is not None:
        results.append(_kl(divergence, limits.max_kl, limits.on, rows))
    return tuple(results)


def _metric(change: MetricChange, limit: float, on: LimitsOn, unit: str, questions: int) -> LimitResult:
    metric, value = change.metric, change.loss
    if on == "interval":
        value = change.interval[1] if change.interval else None
    few = ""
    if change.rows is not None:
        what = f"a loss of {limit:g} points of {metric.name}"
        needed = rows_to_resolve(limit / 100, on_interval=on == "interval")
        few = _too_few(what, questions, change.rows, needed, unit)
    verb = "drops" if metric.higher_is_better else "rises"
    may = f"may {verb[:-1]}" if on == "interval" else verb
    percent = " %" if metric.unit == "percent" else ""
    if change.unknown:
        problem = f"{metric.name} is unknown: {change.unknown}"
    elif few and on == "interval":
        problem = few
    elif value is None:
        least = "2 texts" if unit == "tokens" else f"{LEAST_ROWS} {unit}"
        problem = f"the loss of {metric.name} has no interval; give at least {least}"
    elif not value <= limit + ROUNDING:
        amount = f"{_amount(value, metric.unit)}{INTERVAL if on == 'interval' else ''}"
        problem = f"{metric.name} {may} by {amount}, more than the {limit:g}{percent} allowed"
    else:
        problem = few
    return LimitResult(metric.name, limit, metric.unit, on, value, problem, bool(few) and problem == few)


def _changed(divergence: Divergence, limit: float, on: LimitsOn, unit: str) -> LimitResult:
    share = divergence.flips / divergence.questions if on == "estimate" else divergence.flips_interval[1]
    value, questions = 100 * share, divergence.questions
    needed = rows_to_resolve(limit / 100, on_interval=on == "interval", of_changes=True)
    problem = few = _too_few(f"{limit:g} % of changed answers", questions, questions, needed, unit)
    if not value <= limit + ROUNDING and not (few and on == "interval"):
        may = "may have changed" if on == "interval" else "changed"
        problem = f"{value:.2f} % of the {unit} {may} their answer, more than the {limit:g} % allowed"
    return LimitResult("changed", limit, "percent", on, value, problem, bool(few) and problem == few)


def _kl(divergence: Divergence, limit: float, on: LimitsOn, rows: int) -> LimitResult:
    value, problem = number(divergence.kl), ""
    if on == "interval":
        value = number(divergence.kl_interval[1]) if divergence.kl_interval and rows >= LEAST_ROWS else None
    if value is None:
        few = on == "interval" and math.isfinite(divergence.kl)
        problem = (
            f"the KL divergence has no interval; give at least {LEAST_ROWS} rows"
            if few
            else "the KL divergence is not finite"
        )
    elif not value <= limit:
        may = "may be" if on == "interval" else "is"
        problem = f"the KL divergence {may} {value:.4g} nats, more than the {limit:g} allowed"
    return LimitResult("kl", limit, "nats", on, value, problem, too_few=False)


def _amount(value: float, unit: str) -> str:
    if unit == "points":
        return f"{value:.2f} points"
    return f"{value:.2f} %" if unit == "percent" else f"{value:.4g}"


def _too_few(what: str, questions: int, counting: int, needed: float, unit: str) -> str:
    """The problem if the rows are too few to show whether a limit holds; "" if they are enough.

    Args:
        what: the loss or change that the limit allows, in words.
        questions: number of rows or tokens.
        counting: N if one changed prediction changes the figure by about 1 / N (`MetricChange.rows`).
        needed: the least value of `counting` that can show whether the limit holds; may be infinite.
    """
    if counting >= needed:
        return ""
    if math.isinf(needed):
        return f"no number of {unit} shows {what} with an interval; raise the limit, or judge the estimate"
    total = math.ceil(questions * needed / counting)
    about = "" if counting == questions else "about "
    return f"{questions:,} {unit} cannot show {what}; give at least {about}{total:,}"
