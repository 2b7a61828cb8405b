"""Values of the API as HTML in a notebook: whole pages in a frame, others as tables and lines."""

from collections.abc import Sequence
from functools import singledispatch
from html import escape

from nf_edge import render
from nf_edge.measure.accuracy.check import AccuracyReport
from nf_edge.measure.accuracy.cores import CoresReport
from nf_edge.measure.latency import LatencyReport
from nf_edge.measure.memory import MemoryReport
from nf_edge.model.generation import Generated
from nf_edge.pipeline.export import DryRun, Export
from nf_edge.pipeline.mixed_precision.search import SensitivityReport
from nf_edge.pipeline.sweep import SweepReport
from nf_edge.pruning.pruning_report import Shrunk
from nf_edge.render import Table
from nf_edge.render.cores import cores_lines, cores_table
from nf_edge.render.html.page import report_page
from nf_edge.render.html.sweep_page import sweep_page
from nf_edge.render.html.templates import filled
from nf_edge.render.latency import artifact_lines, latency_lines, latency_tables
from nf_edge.render.sensitivity import sensitivity_parts
from nf_edge.render.shrunk import shrunk_lines, shrunk_tables


@singledispatch
def html_of(value: object) -> str | None:
    """The HTML of a value; None where it has none."""
    return None


@html_of.register
def _(value: Export) -> str:
    return _framed(report_page(value.manifest, value.parity, value.memory, value.accuracy))


@html_of.register
def _(value: SweepReport) -> str:
    return _framed(sweep_page(value))


@html_of.register
def _(value: DryRun) -> str:
    layer_reports = [layer_report.to_json() for layer_report in value.layer_reports]
    lines = render.quantization_lines(layer_reports, value.calibration)
    return _tables(render.memory_tables(value.memory), [*lines, *_memory_lines(value.memory)])


@html_of.register
def _(value: MemoryReport) -> str:
    return _tables(render.memory_tables(value), _memory_lines(value))


@html_of.register
def _(value: AccuracyReport) -> str:
    return _tables([render.accuracy_table(value)], render.accuracy_lines(value))


@html_of.register
def _(value: CoresReport) -> str:
    return _tables([cores_table(value.cores)], cores_lines(value.cores))


@html_of.register
def _(value: LatencyReport) -> str:
    return _tables(latency_tables(value), artifact_lines(value) + latency_lines(value))


@html_of.register
def _(value: SensitivityReport) -> str:
    parts = sensitivity_parts(value)
    tables = [part for part in parts if isinstance(part, Table)]
    return _tables(tables, [line for part in parts if not isinstance(part, Table) for line in part])


@html_of.register
def _(value: Shrunk) -> str:
    return _tables(shrunk_tables(value), shrunk_lines(value))


@html_of.register
def _(value: Generated) -> str:
    text = " ".join(map(str, value.ids)) if value.text is None else value.text
    return _tables([], [text, f"ended: {value.ended}"])


def _memory_lines(report: MemoryReport) -> list[str]:
    return render.memory_lines(report) + (render.verdict_lines(report.verdict) if report.verdict else [])


def _tables(tables: Sequence[Table], lines: Sequence[str]) -> str:
    return filled("notebook.html.j2", tables=tables, lines=lines)


def _framed(page: str) -> str:
    """A page apart from the notebook's own styles; it has no scripts, and is allowed none."""
    style = "width:100%;height:40rem;border:0"
    return f'<iframe sandbox srcdoc="{escape(page)}" style="{style}"></iframe>'
