"""Taps: the outputs of a model's layers during a run, in PyTorch or in ONNX Runtime.

A run is either free, as usual, or exact.  In an exact run, each layer receives the inputs that it has in
float32.  So its output shows only the error that this layer adds.
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
