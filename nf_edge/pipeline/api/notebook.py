"""The API's values as HTML for notebooks.

An export, a sweep and `devices_fit` show their complete page in a frame.  Other values show tables and lines.
"""

from collections.abc import Sequence
from functools import singledispatch
from html import escape

from nf_edge.measure.accuracy.check import AccuracyReport
from nf_edge.measure.accuracy.cores import CoresReport
from nf_edge.measure.accuracy.layers import LayersReport
from nf_edge.measure.accuracy.stages import StagesReport
from nf_edge.measure.latency import LatencyReport
from nf_edge.measure.memory import MemoryReport
from nf_edge.model.generation import Generated
from nf_edge.pipeline.devices_fit import DevicesFit
from nf_edge.pipeline.export import DryRun, Export
from nf_edge.pipeline.mixed_precision import SensitivityReport
from nf_edge.pipeline.sweep import SweepReport
from nf_edge.pruning.pruning_report import PruningReport
from nf_edge.render.accuracy import accuracy_parts
from nf_edge.render.artifact import dry_run_parts
from nf_edge.render.cores import cores_parts
from nf_edge.render.html.devices_fit_page import devices_fit_page
from nf_edge.render.html.page import report_page
from nf_edge.render.html.sweep_page import sweep_page
from nf_edge.render.html.templates import filled
from nf_edge.render.latency import latency_parts
from nf_edge.render.layers import layers_parts
from nf_edge.render.memory import memory_parts
from nf_edge.render.pruning import pruning_parts
from nf_edge.render.sensitivity import sensitivity_parts
from nf_edge.render.stages import stages_parts
from nf_edge.render.table import Part, body


@singledispatch
def html_of(value: object) -> str | None:
    """The HTML that a notebook shows for a value of the API; None if nf-edge has no HTML for its type."""
    return None


@html_of.register
def _(value: Export) -> str:
    return _framed(report_page(value.manifest, value.parity, value.memory, value.accuracy))


@html_of.register
def _(value: SweepReport) -> str:
    return _framed(sweep_page(value))


@html_of.register
def _(value: DevicesFit) -> str:
    return _framed(devices_fit_page(value))


@html_of.register
def _(value: DryRun) -> str:
    return _inline(dry_run_parts(value))


@html_of.register
def _(value: MemoryReport) -> str:
    return _inline(memory_parts(value))


@html_of.register
def _(value: AccuracyReport) -> str:
    return _inline(accuracy_parts(value))


@html_of.register
def _(value: CoresReport) -> str:
    return _inline(cores_parts(value))


@html_of.register
def _(value: StagesReport) -> str:
    return _inline(stages_parts(value))


@html_of.register
def _(value: LayersReport) -> str:
    return _inline(layers_parts(value))


@html_of.register
def _(value: LatencyReport) -> str:
    return _inline(latency_parts(value))


@html_of.register
def _(value: SensitivityReport) -> str:
    return _inline(sensitivity_parts(value))


@html_of.register
def _(value: PruningReport) -> str:
    return _inline(pruning_parts(value))


@html_of.register
def _(value: Generated) -> str:
    # A prompt of special tokens only, such as begin-of-text, has no text.
    prompt = value.prompt or f"token ids {' '.join(map(str, value.prompt_ids))}"
    text = f"token ids {' '.join(map(str, value.ids))}" if value.text is None else value.text
    return _inline([body([f"prompt: {prompt}", f"continuation: {text}", f"ended: {value.ended}"])])


def _inline(parts: Sequence[Part]) -> str:
    return filled("notebook.html.j2", parts=parts)


def _framed(page: str) -> str:
    """A page in a frame, so that the notebook's styles do not change it.

    The frame blocks scripts; the pages have no scripts.
    """
    style = "width:100%;height:40rem;border:0"
    return f'<iframe sandbox srcdoc="{escape(page)}" style="{style}"></iframe>'
