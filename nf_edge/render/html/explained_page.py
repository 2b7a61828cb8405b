"""The page of `nf-edge check --html`: the accuracy by stage, and the error by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nf_edge import __version__
from nf_edge.render.explained import accuracy_parts_of
from nf_edge.render.html.explained_charts import layers_chart, stages_chart
from nf_edge.render.html.templates import filled
from nf_edge.render.layers import layers_lines, layers_table
from nf_edge.render.stages import stages_lines, stages_tables

if TYPE_CHECKING:
    from nf_edge.pipeline.explained import Explained


def explained_page(report: Explained) -> str:
    """The HTML page of the explanations; it has no scripts and loads no other files."""
    stages, layers = report.stages, report.layers
    return filled(
        "explained.html.j2",
        failure=report.failure,
        judged=report.accuracy.judged,
        stages_chart=stages_chart(stages, "The metric after each stage") if stages else "",
        stages_tables=stages_tables(stages) if stages else [],
        stages_lines=stages_lines(stages) if stages else [],
        layers_chart=layers_chart(layers, "Signal-to-noise ratio of each layer") if layers else "",
        layers_table=layers_table(layers) if layers else None,
        layers_lines=layers_lines(layers) if layers else [],
        accuracy_parts=accuracy_parts_of(report.accuracy),
        version=__version__,
    )
