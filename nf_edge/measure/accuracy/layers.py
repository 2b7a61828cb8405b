"""`nf-edge check --layers`: the error of each layer's output against float32, and the first bad layer.

Two errors are measured.  In a usual run, a layer also passes on the errors of the layers before it.  In an
exact run, each layer receives the float32 inputs, so its output shows the error that it adds itself.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch

from nf_edge.backends.input_shape import Inputs
from nf_edge.backends.taps import Tapped
from nf_edge.core.errors import AccuracyGate
from nf_edge.core.notebook import HtmlValue
from nf_edge.core.progress import Progress, silent
from nf_edge.core.strict_json import number
from nf_edge.measure.accuracy.layer_sums import LayerSums, real_values
from nf_edge.measure.accuracy.same_file import SameFile

# A layer is bad if the noise that it adds exceeds the median of its kind by this factor (10 dB), …
OUTLIER = 10.0
# … and by this many times the spread of the layers (1.4826 MAD estimates a standard deviation), …
SPREAD = 4 * 1.4826
# … and if that noise is above this share of the signal (-40 dB), which can change predictions.
RELEVANT = 1e-4
# Noise below this share of the signal (-80 dB) is float32 rounding, so the layer adds none.
ROUNDING = 1e-8
# dtypes of modules that a backend quantizes.
INTEGERS = re.compile(r"u?int\d")


@dataclass(frozen=True)
class LayerError:
    """The error of a layer's output ŷ against the float32 output y, over all rows.

    Every noise is a share of the signal: Σ(ŷ − y)² / Σy².  It is infinite if a value is not finite.

    Attributes:
        name: a module of the network, a block's attention before its projection, or the residual stream.
        dtype: the dtype that the manifest gives the layer; "" if it gives none.
        noise: noise in a usual run.
        own_noise: noise in an exact run.
        file_noise: noise in a usual run of the artifact's file.  None if `noise` is already the file's, or if
            the file does not show the layer.
        departure: noise of the file against the program in PyTorch, minus that of the layer before; never
            negative.  0 if `file_noise` is None.
        cosine: cosine similarity of ŷ and y in a usual run; NaN if it is undefined.
        largest: largest |ŷ − y| in a usual run.
        scale: largest |y|.
    """

    name: str
    dtype: str
    noise: float
    own_noise: float
    file_noise: float | None
    departure: float
    cosine: float
    largest: float
    scale: float

    @property
    def is_integer(self) -> bool:
        """Whether the layer computes with integers: integer weights, or integer products in attention."""
        return bool(INTEGERS.match(self.dtype))

    @property
    def snr(self) -> float:
        """Signal-to-noise ratio in a usual run, in dB; infinite without noise."""
        return decibels(self.noise)

    @property
    def added(self) -> float:
        """The noise that the layer itself adds: `own_noise` plus `departure`."""
        return self.own_noise + self.departure

    @property
    def own_snr(self) -> float:
        """Ratio of the layer's signal to the noise that the layer itself adds, in dB."""
        return decibels(self.added)

    @property
    def file_snr(self) -> float | None:
        """Signal-to-noise ratio in the artifact's file, in dB; None if `file_noise` is None."""
        return None if self.file_noise is None else decibels(self.file_noise)

    def to_json(self) -> dict[str, Any]:
        return {
            "layer": self.name,
            "dtype": self.dtype,
            "snr_db": number(self.snr),
            "own_snr_db": number(self.own_snr),
            "file_snr_db": number(self.file_snr),
            "cosine": number(self.cosine),
            "largest_error": number(self.largest),
            "largest_value": self.scale,
        }


def decibels(noise: float) -> float:
    """The signal-to-noise ratio in dB of a noise share: 10·log10(1 / noise).

    Infinite for noise 0, and −infinite for noise that is infinite or NaN.
    """
    if noise == 0:
        return math.inf
    return -10 * math.log10(noise) if math.isfinite(noise) else -math.inf


@dataclass(frozen=True)
class LayersReport(HtmlValue):
    """The errors of all layers, in the order of the run.

    Attributes:
        through: the measured model, in words: the artifact's file, or a program in PyTorch.
        file_through: the artifact's file and the software that ran it, in words, if the file ran in addition
            to the program in PyTorch; else "".
        missing: names of layers that the measured model does not compute as one tensor.
        lowered_again: whether lowering the checkpoint again gave the artifact's files.
        remedy: advice for the first bad layer, or for files that lowering again does not give; "" if neither
            exists.
        first_different: name of the first layer whose output differs between the artifact's file and the file
            from lowering again; "" if none is known.
    """

    layers: tuple[LayerError, ...]
    through: str
    file_through: str
    missing: tuple[str, ...]
    data: str
    data_sha256: str
    rows: int
    lowered_again: SameFile
    remedy: str = ""
    first_different: str = ""

    @property
    def failure(self) -> AccuracyGate | None:
        """The accuracy gate's error if lowering the checkpoint again gives other files than the artifact's.

        None if the files are equal, or if this is unknown.
        """
        return self.lowered_again.failure

    @property
    def first_bad(self) -> LayerError | None:
        """The first layer that adds far more noise than others of its kind; None if there is none."""
        return first_bad(self.layers)

    @property
    def worst(self) -> LayerError:
        """The layer whose output has the most noise that the layer itself adds."""
        return max(self.layers, key=lambda layer: layer.added)

    def to_json(self) -> dict[str, Any]:
        return {
            "through": self.through,
            "file_through": self.file_through,
            "data": self.data,
            "data_sha256": self.data_sha256,
            "rows": self.rows,
            "lowered_again": self.lowered_again.to_json(),
            "first_bad": self.first_bad.name if self.first_bad else None,
            "worst": self.worst.name,
            "first_different": self.first_different or None,
            "remedy": self.remedy,
            "layers": [layer.to_json() for layer in self.layers],
            "not_measured": list(self.missing),
        }


def first_bad(layers: Sequence[LayerError]) -> LayerError | None:
    """The first layer, in the order of the run, that adds far more noise than others of its kind.

    Layer i adds the noise nᵢ = `LayerError.added`.  It is bad if nᵢ is not finite, or if

        dᵢ > median(d) + max(10, 4 · 1.4826 · median |d − median(d)|)   and   nᵢ > 10⁻⁴,

    where dᵢ = 10·log10(max(nᵢ, 10⁻⁸)).  Both medians are over layers of one kind: the layers that compute
    with integers, or all others.  1.4826 times the median deviation estimates the standard deviation.  A
    layer whose noise is mostly `departure` is compared with the integer kind: the noise may come from another
    layer of the same delegate.
    """
    allowed = {
        kind: _allowed([layer for layer in layers if layer.is_integer == kind]) for kind in (True, False)
    }
    # Written so that NaN is bad.
    bad = (
        layer
        for layer in layers
        if not (
            layer.added <= RELEVANT
            or -layer.own_snr <= allowed[layer.is_integer or layer.departure > layer.own_noise]
        )
    )
    return next(bad, None)


def _allowed(layers: Sequence[LayerError]) -> float:
    """The largest added noise that is not bad for a layer of one kind, in dB relative to its signal.

    Args:
        layers: all layers of this kind.
    """
    noise = [max(layer.added, ROUNDING) for layer in layers if layer.added < math.inf]
    ratios = [-decibels(each) for each in noise] or [-decibels(ROUNDING)]
    middle = median(ratios)
    spread = median([abs(ratio - middle) for ratio in ratios])
    return middle + max(-decibels(OUTLIER), SPREAD * spread)


def measure_layers(
    tapped: Tapped, inputs: Inputs, dtypes: Callable[[str], str], progress: Progress = silent
) -> tuple[tuple[LayerError, ...], tuple[str, ...]]:
    """Measure the error of each layer: run a float32 network and a quantized model on the same rows.

    Args:
        tapped: the float32 network and the quantized model; gives the outputs of their layers.
        inputs: token ids and mask of each row.
        dtypes: a function from a layer's name to its dtype.

    Returns:
        The errors of the layers in the order of the run, and the names of layers that the quantized model
        does not compute as one tensor.
    """
    sums: dict[str, LayerSums] = {}
    missing: dict[str, None] = {}
    for index, (ids, mask) in enumerate(inputs):
        row, real = (torch.from_numpy(ids), torch.from_numpy(mask)), int(mask.sum())
        expected = tapped.reference(row)
        free, exact = tapped.runner.free(row), tapped.runner.exact(row, expected)
        in_file = tapped.file.run(tapped.called_with(row)) if tapped.file else {}
        for name, value in expected.items():
            if name not in free or free[name].numel() != value.numel():
                missing[name] = None
                continue
            outputs = (value, free[name], exact[name], in_file.get(name, free[name]))
            y, of_free, of_exact, of_file = (real_values(each.reshape(value.shape), real) for each in outputs)
            layer = sums.setdefault(name, LayerSums(name in in_file))
            layer.free.add(y, of_free)
            layer.exact.add(y, of_exact)
            layer.file.add(y, of_file)
            layer.departure.add(of_free, of_file)
        progress("comparing layers", index + 1, len(inputs))
    return _errors(sums, dtypes), tuple(missing)


def _errors(sums: dict[str, LayerSums], dtypes: Callable[[str], str]) -> tuple[LayerError, ...]:
    layers, before = [], 0.0
    for name, layer in sums.items():
        departed = layer.departure.ratio if layer.in_file else before
        layers.append(
            LayerError(
                name=name,
                dtype=dtypes(name),
                noise=layer.free.ratio,
                own_noise=layer.exact.ratio,
                file_noise=layer.file.ratio if layer.in_file else None,
                # Infinite noise stays infinite in all later layers, which then add nothing.
                departure=max(0.0, departed - before) if before < math.inf else 0.0,
                cosine=layer.free.cosine,
                largest=layer.free.largest,
                scale=layer.free.scale,
            )
        )
        before = departed
    return tuple(layers)
