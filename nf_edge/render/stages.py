"""The report of `nf-edge check --stages`: the accuracy after each stage."""

from nf_edge.core.figures import format_number
from nf_edge.measure.accuracy.stages import StageResult, StagesReport, Step
from nf_edge.render.accuracy import loss_bounds, loss_text, metric_text
from nf_edge.render.table import Part, Table, body
from nf_edge.render.text import UNKNOWN, truncated_text


def stages_parts(report: StagesReport) -> list[Part]:
    return [*stages_tables(report), body(stages_lines(report))]


def stages_tables(report: StagesReport) -> list[Table]:
    """Two tables of all stages: changes from the float32 checkpoint, and changes from the stage before."""
    metrics = report.results[0].from_fp32.report.metrics
    main = report.results[0].from_fp32.main
    losses = (f"loss of\n{main.metric.title}",) if main else ()
    figures = (*losses, f"changed\n{report.unit}", "KL divergence\n(nats)", "largest\nlogit error")
    titles = tuple(change.metric.title for change in metrics)
    start = tuple(metric_text(change.metric, change.reference) for change in metrics)
    first = Table(
        "After each stage, against the fp32 checkpoint",
        ("stage", *titles, *figures),
        (
            (report.reference.name, *start, *("" for _ in figures)),
            *(
                (each.stage.name, *_metrics(each.from_fp32), *_cells(each.from_fp32))
                for each in report.results
            ),
        ),
        tuple(range(1, 1 + len(titles) + len(figures))),
    )
    second = Table(
        "Against the stage before it",
        ("stage", "stage before", *figures),
        tuple((each.stage.name, each.previous, *_cells(each.from_previous)) for each in report.results),
        tuple(range(2, 2 + len(figures))),
    )
    return [first, second]


def _metrics(step: Step) -> tuple[str, ...]:
    return tuple(metric_text(change.metric, change.artifact) for change in step.report.metrics)


def _cells(step: Step) -> tuple[str, ...]:
    """Cells of a step: loss of the main metric (only with labels), changed predictions, divergence, logit
    error.
    """
    divergence = step.report.comparison.divergence
    return (
        *([loss_text(step.main)] if step.main else []),
        f"{divergence.flips:,}" if divergence else UNKNOWN,
        format_number(divergence.kl, ".2g") if divergence else UNKNOWN,
        format_number(step.logit_error, ".2g"),
    )


def stages_lines(report: StagesReport) -> list[str]:
    ran = [f"{each.stage.name}: {each.stage.through}{_remark(each.stage.remark)}" for each in report.results]
    return [
        lost_most_line(report),
        f"data: {report.data}, {report.rows:,} rows{truncated_text(report.truncated)}",
        f"{report.reference.name}: {report.reference.through}",
        *ran,
        *(f"{stage.name}: not run; {stage.skipped}" for stage in report.stages if stage.skipped),
        f"same file: {report.lowered_again.text}",
    ]


def _remark(remark: str) -> str:
    return f" ({remark})" if remark else ""


def lost_most_line(report: StagesReport) -> str:
    """The line that names the stage with the largest loss, and the figure that shows it."""
    worst = report.worst
    if worst is None:
        return "no stage changed the answers beyond the rounding of float32"
    return f"the stage that lost most: {worst.stage.name} ({_why(report, worst)})"


def _why(report: StagesReport, worst: StageResult) -> str:
    step, start = worst.from_previous, f"against {worst.previous}: "
    if not_finite := step.report.comparison.not_finite:
        return f"{not_finite:,} {report.unit} have logits that are not finite"
    main = step.main
    if step.loses and main is not None:
        return f"{start}loss of {main.metric.title} {loss_text(main)}, 95 % interval {loss_bounds(main)}"
    few = f"; no stage has a loss of {main.metric.title} that {report.rows:,} rows can show" if main else ""
    return f"{start}{report.worst_by} {format_number(step.change, '.2g')}{few}"
