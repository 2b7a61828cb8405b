"""`sweep.html`: a sweep's report as one self-contained page."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from nf_edge import __version__
from nf_edge.render.html.charts import Point, scatter_chart
from nf_edge.render.html.templates import filled
from nf_edge.render.sweep import summary_lines, sweep_lines, sweep_tables

if TYPE_CHECKING:
    from nf_edge.pipeline.sweep import SweepReport


def sweep_page(report: SweepReport) -> str:
    """The HTML page of a sweep, `sweep.html`: tables and charts in one file."""
    label = "Size of the model file against KL divergence of the answers, by recipe"
    return filled(
        "sweep.html.j2",
        report=report,
        version=__version__,
        chart=scatter_chart(points, label) if (points := _points(report)) else "",
        tables=sweep_tables(report),
        summary_lines=summary_lines(report),
        lines=sweep_lines(report),
    )


def _points(report: SweepReport) -> list[Point]:
    """One point per recipe whose file size and divergence are finite."""
    points = []
    sizes = report.size("file").figures
    rows = zip(report.recipes, sizes, report.latency.artifacts, strict=True)
    for number, (each, size, artifact) in enumerate(rows, start=1):
        divergence = each.accuracy.comparison.divergence
        if size.value is None or divergence is None or not math.isfinite(divergence.kl):
            continue
        interval = divergence.kl_interval or (divergence.kl, divergence.kl)
        points.append(Point(str(number), artifact.runtime, size.value, divergence.kl, interval))
    return points
