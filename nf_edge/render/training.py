"""The report of `nf-edge train`."""

from nf_edge.render.checkpoint import RECIPE, RUNTIME, export_line
from nf_edge.render.table import Part, Table, body
from nf_edge.training import TrainingReport


def training_parts(report: TrainingReport, *, validated: bool) -> list[Part]:
    """The report of a training: scores, number of parameters and time.

    Args:
        validated: whether to show the score on validation data.  False if the model was also trained on this
            data.
    """
    model = report.model
    rows = [("held-out score", str(model.test))]
    if validated:
        rows.append(("validation score", f"{model.valid}, at step {model.best_step:,}"))
    rows += [("parameters", f"{model.parameters:,}"), ("wall time", f"{model.seconds:.0f} s")]
    if report.examples is not None:
        rows.append(("examples", str(report.examples)))
    rows += [(f"with {other.attention} instead", str(other.test)) for other in report.comparison]
    notes = [f"note: {note}" for note in report.notes]
    return [
        Table("", ("checkpoint", str(report.path)), tuple(rows)),
        body([*notes, export_line(report.path, RECIPE, f"{report.path.name}-{RUNTIME}")]),
    ]
