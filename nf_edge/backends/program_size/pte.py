"""Predict the bytes of a `.pte` with XNNPACK delegates, without its weights and tables."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from nf_edge.backends.precisions import HEADS, Precisions
from nf_edge.backends.program_size import xnnpack_graph
from nf_edge.backends.program_size.executorch import (
    CONSTANT,
    SEGMENT,
    base_bytes,
    delegate_bytes,
    named_bytes,
    objects_bytes,
    operators_bytes,
    padding,
    segment_bytes,
)
from nf_edge.core.recipe.precision import POSITIONS, TOKENS, Precision
from nf_edge.model.config import ModelConfig

DELEGATE = "XnnpackBackend"
# Kinds of objects inside a delegate's graph, without the number of ids or dimensions.
INSIDE = ("node", "shape", "value")
SCALAR = 4


@dataclass(frozen=True)
class XnnpackProgram:
    """The objects of a program with XNNPACK delegates, from which `size` predicts the bytes of its file.

    Attributes:
        counts: the number of each kind of object; `delegate` counts delegates.  Linear layers are left out.
        operators: names of the operators outside delegates.
        joined: whether one delegate has both linear layers of an MLP.
        methods: names of methods that return a number.
    """

    counts: Counter[str]
    operators: Sequence[str]
    joined: bool
    methods: Sequence[str] = ()

    def size(self, config: ModelConfig, precision_of: Precisions) -> int:
        """Predict the bytes of the file without weights and tables, with the padding of all segments."""
        outer, inner, delegates = Counter[str](), Counter[str](), self.counts["delegate"]
        for kind, count in self.counts.items():
            if kind != "delegate":
                (inner if kind.startswith(INSIDE) else outer)[kind] += count
        constants = _constants(config, precision_of, self.counts["constant0"])
        layers = _layers(config, precision_of)
        data = [part for layer in layers for part in layer.data()]
        keys = [key for layer in layers for key in layer.key_lengths()]
        program = (
            base_bytes(self.methods)
            + objects_bytes(outer)
            + operators_bytes(self.operators)
            + delegates * delegate_bytes(DELEGATE)
            + (1 + delegates + len(data)) * segment_bytes()
            + sum(map(named_bytes, keys))
        )
        graphs = xnnpack_graph.delegates_bytes(delegates) + xnnpack_graph.objects_bytes(inner)
        graphs += sum(layer.graph() for layer in layers)
        quantized = [layer for layer in layers if layer.precision.stored is not None]
        alone = [layer for layer in quantized if not (self.joined and layer.name.endswith(".mlp.c_proj"))]
        graphs += len(alone) * xnnpack_graph.QUANTIZED_TYPES
        # The file ends after the last segment, without padding.  The weights exclude scalars.
        program += SCALAR * self.counts["constant0"]
        aligned = padding(constants, CONSTANT) + padding([program, sum(constants)], SEGMENT)
        return program + graphs + aligned + padding(data[:-1], SEGMENT)


@dataclass(frozen=True)
class _Layer:
    """A linear layer: its name, its weight's shape [out, in], its precision, and whether it has a bias."""

    name: str
    shape: tuple[int, int]
    precision: Precision
    bias: bool

    @property
    def _static(self) -> bool:
        return self.precision.stored is not None and self.precision.activations == "int8_static"

    def graph(self) -> int:
        precision = self.precision
        return xnnpack_graph.linear_bytes(
            precision.stored, precision.group is not None, precision.activations, self.bias
        )

    def key_lengths(self) -> list[int]:
        return xnnpack_graph.linear_keys(self.precision.stored, self.precision.activations, self.bias)

    def data(self) -> list[int]:
        """Bytes of each of the layer's constants: weights, scales, bias, and the bias's scales."""
        (out, inputs), bits = self.shape, self.precision.stored
        if bits is None:
            parts = [4 * out * inputs]
        else:
            group = self.precision.group
            scales = 2 * out * (inputs // group) if group else 4 * out
            parts = [out * inputs * bits // 8, scales]
        return parts + [4 * out] * ((2 if self._static else 1) if self.bias else 0)


def _layers(config: ModelConfig, precision_of: Precisions) -> list[_Layer]:
    shapes = config.matrix_shapes()
    return [
        _Layer(name, shape, precision_of[name], name not in HEADS)
        for name, shape in shapes.items()
        if name not in (TOKENS, POSITIONS)
    ]


def _constants(config: ModelConfig, precision_of: Precisions, scalars: int) -> list[int]:
    """Bytes of each constant that is not a linear layer's: tables, norms, noise and scalars."""
    sizes = [SCALAR] * scalars
    matrices = config.matrix_shapes()
    for name, shape in config.tensor_shapes().items():
        module = name.removesuffix(".weight").removesuffix(".bias")
        if module in (TOKENS, POSITIONS):
            rows, columns = shape
            bits, group = precision_of[module].stored, precision_of[module].group
            if bits is None:
                sizes.append(4 * rows * columns)
            else:
                sizes += [rows * columns * bits // 8, 4 * rows * (columns // group if group else 1)]
        elif module not in matrices:
            sizes.append(4 * math.prod(shape))
    return sizes
