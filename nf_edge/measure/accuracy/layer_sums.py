"""Sums over a layer's outputs, from which its errors are computed."""

import math
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor


@dataclass
class ErrorSums:
    """Sums over all values of a layer's outputs, expected (y) and actual (ŷ).

    Attributes:
        signal: Σ y².
        noise: Σ (ŷ − y)².
        product: Σ y ŷ.
        actual: Σ ŷ².
        largest: the largest |ŷ − y|.
        scale: the largest |y|.
        finite: whether all ŷ are finite.
    """

    signal: float = 0.0
    noise: float = 0.0
    product: float = 0.0
    actual: float = 0.0
    largest: float = 0.0
    scale: float = 0.0
    finite: bool = field(default=True)

    def add(self, expected: np.ndarray, actual: np.ndarray) -> None:
        self.finite &= bool(np.isfinite(actual).all())
        error = actual - expected
        self.signal += float(np.square(expected).sum())
        self.noise += float(np.square(error).sum())
        self.product += float((expected * actual).sum())
        self.actual += float(np.square(actual).sum())
        self.largest = max(self.largest, float(np.abs(error).max(initial=0.0)))
        self.scale = max(self.scale, float(np.abs(expected).max(initial=0.0)))

    @property
    def ratio(self) -> float:
        if not self.finite:
            return math.inf
        if self.signal == 0:
            return 0.0 if self.noise == 0 else math.inf
        return self.noise / self.signal

    @property
    def cosine(self) -> float:
        length = math.sqrt(self.signal * self.actual)
        return self.product / length if self.finite and length else math.nan


@dataclass
class LayerSums:
    """The sums of one layer over all rows.

    In an exact run, each layer receives the float32 inputs.  In a usual run, it receives the outputs of the
    layers before it, with their errors.

    Attributes:
        in_file: whether the artifact's file shows the layer's output.
        free: the outputs of usual runs, compared with the float32 outputs.
        exact: the outputs of exact runs, compared with the float32 outputs.
        file: the outputs in the artifact's file, compared with the float32 outputs.
        departure: the outputs in the artifact's file, compared with the outputs of usual runs.
    """

    in_file: bool
    free: ErrorSums = field(default_factory=ErrorSums)
    exact: ErrorSums = field(default_factory=ErrorSums)
    file: ErrorSums = field(default_factory=ErrorSums)
    departure: ErrorSums = field(default_factory=ErrorSums)


def real_values(values: Tensor, real: int) -> np.ndarray:
    """The values of a tensor for the first `real` tokens, without padding, in float64.

    A tensor of four dimensions is [1, D, 1, T]; other tensors have their tokens along the second to last
    axis.
    """
    axis = values.dim() - (1 if values.dim() == 4 else 2)
    if axis >= 0 and values.shape[axis] > real:
        values = values.narrow(axis, 0, real)
    return values.double().numpy()
