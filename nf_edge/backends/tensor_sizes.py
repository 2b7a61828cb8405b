"""Element counts of a NoiseFormer's tensors, by kind, to predict memory before lowering."""

import math
from dataclasses import dataclass

from nf_edge.backends.precisions import HEADS, Precisions
from nf_edge.core.recipe.precision import POSITIONS, TOKENS, Precision
from nf_edge.model import ModelConfig


@dataclass(frozen=True)
class Sizes:
    """Element counts (not bytes) of a model's tensors.  T is the number of tokens.

    Attributes:
        linear: shapes [out, in] of linear layers by name.  They include a language model's head, even if it
            is tied, or a classifier's `score`.
        biases: elements of these layers' biases.
        tokens: shape of the token table.
        positions: shape of the position table.
        others: elements of norms and noise.
        scores: elements of the attention scores, H · T², in the layer with the most heads.
        inner: elements of the MLP's inner activations, T · n_inner, in the widest layer.
        hidden: elements of the residual stream, T · n_embd.
        cache: elements of K and V of T tokens in all layers.
    """

    linear: dict[str, tuple[int, int]]
    biases: int
    tokens: tuple[int, int]
    positions: tuple[int, int]
    others: int
    scores: int
    inner: int
    hidden: int
    cache: int

    def linear_bytes(
        self, precisions: Precisions, channel_bytes: int, group_bytes: int, float_bytes: int = 4
    ) -> int:
        """Bytes of the linear layers' weights.

        Args:
            channel_bytes: bytes per channel in addition to the weights, if scales are per channel: scale and
                zero point.
            group_bytes: bytes of a group's scale, if scales are per group.
            float_bytes: bytes per weight that is not quantized.
        """
        return sum(
            _bytes(shape, precisions[name], channel_bytes, group_bytes, float_bytes)
            for name, shape in self.linear.items()
        )

    def packing_bytes(self, precisions: Precisions) -> int:
        """Bytes that XNNPACK adds to the linear layers' weights when it packs them.

        A channel gets a bias, and if it is quantized the sum of its weights (src/packing.cc in
        github.com/google/XNNPACK).
        """
        channels = {name: shape[0] for name, shape in self.linear.items()}
        sums = sum(size for name, size in channels.items() if precisions[name].stored is not None)
        return 4 * (sum(channels.values()) - self.biases + sums)

    def static_channels(self, precisions: Precisions) -> int:
        """The number of output channels of all layers with biases and `int8_static` activations."""
        return sum(
            shape[0]
            for name, shape in self.linear.items()
            if name not in HEADS and precisions[name].activations == "int8_static"
        )

    def table_bytes(self, precisions: Precisions, float_bytes: int = 4) -> int:
        """Bytes of both embedding tables, including scales and zero points.

        Args:
            float_bytes: bytes of a scale, and of a value that is not quantized.
        """
        positions = _bytes(self.positions, precisions[POSITIONS], float_bytes, float_bytes, float_bytes)
        return self.token_bytes(precisions, float_bytes) + positions

    def token_bytes(self, precisions: Precisions, float_bytes: int = 4) -> int:
        """Bytes of the token table, including scales and zero points.

        Args:
            float_bytes: bytes of a scale, and of a value that is not quantized.
        """
        row_bytes = float_bytes if precisions[TOKENS].symmetric else float_bytes + 1
        return _bytes(self.tokens, precisions[TOKENS], row_bytes, float_bytes, float_bytes)


def _bytes(
    shape: tuple[int, int], precision: Precision, row_bytes: int, group_bytes: int, float_bytes: int
) -> int:
    rows, columns = shape
    if precision.stored is None:
        return float_bytes * rows * columns
    others = row_bytes
    if precision.group:
        groups = columns // precision.group
        zeros = 0 if precision.symmetric else math.ceil(groups * precision.stored / 8)
        others = groups * group_bytes + zeros
    return rows * (columns * precision.stored // 8 + others)


def sizes_of(config: ModelConfig, length: int) -> Sizes:
    """Count the elements of a model that runs on `length` tokens."""
    shapes, linear = config.tensor_shapes(), config.matrix_shapes()
    tokens, positions = linear.pop(TOKENS), linear.pop(POSITIONS)
    biases = {f"{name}.bias" for name in linear} & set(shapes)
    counted = {f"{name}.weight" for name in (*linear, TOKENS, POSITIONS)} | biases
    values = {name: math.prod(shape) for name, shape in shapes.items()}
    heads, inner = (max(column) for column in zip(*config.layer_sizes, strict=True))
    return Sizes(
        linear=linear,
        biases=sum(values[name] for name in biases),
        tokens=tokens,
        positions=positions,
        others=sum(size for name, size in values.items() if name not in counted),
        scores=heads * length**2,
        inner=length * inner,
        hidden=length * config.n_embd,
        cache=sum(2 * heads * config.head_size * length for heads, _ in config.layer_sizes),
    )
