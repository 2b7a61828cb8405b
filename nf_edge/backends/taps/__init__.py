"""Taps: the outputs of a model's layers during a run, in PyTorch or in ONNX Runtime.

A free run is a usual run.  In an exact run, each layer receives its float32 inputs, so its output shows only
the error that this layer adds.
"""

from nf_edge.backends.taps.lowering import Lowering, Tapped, called_with, tapped_program
from nf_edge.backends.taps.points import FileTaps, Point, TapRunner, Taps, points_of, record

__all__ = [
    "FileTaps",
    "Lowering",
    "Point",
    "TapRunner",
    "Tapped",
    "Taps",
    "called_with",
    "points_of",
    "record",
    "tapped_program",
]
