"""The report of `nf-edge check`: accuracy on this machine or on cores, and where it was lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nf_edge.measure.accuracy.check import AccuracyReport
from nf_edge.measure.accuracy.cores import CoresReport
from nf_edge.render.accuracy import accuracy_parts
from nf_edge.render.cores import cores_parts
from nf_edge.render.layers import layers_parts
from nf_edge.render.stages import stages_parts
from nf_edge.render.table import Part

if TYPE_CHECKING:
    from nf_edge.pipeline.explained import Explained


def accuracy_parts_of(accuracy: AccuracyReport | CoresReport) -> list[Part]:
    """The report of the accuracy on this machine, or on emulated cores for a CoresReport."""
    return cores_parts(accuracy) if isinstance(accuracy, CoresReport) else accuracy_parts(accuracy)


def explained_parts(report: Explained) -> list[Part]:
    parts = accuracy_parts_of(report.accuracy)
    stages = stages_parts(report.stages) if report.stages else []
    return [*parts, *stages, *(layers_parts(report.layers) if report.layers else [])]
