"""How many values a NoiseFormer has of each kind, for predicting memory before anything is lowered."""

import math
from dataclasses import dataclass

from nf_edge.model import ModelConfig
from nf_edge.recipe import GROUP_SIZE, Quantize


@dataclass(frozen=True)
class Sizes:
    """Values (not bytes) of a model's tensors.

    linear      shapes [out, in] of linear layers, the head or score among them, a tied head too
    biases      of those layers
    tokens, positions   shapes of the embedding tables
    others      norms and noise
    scores      H · T² of the widest layer at the given length
    inner       T · n_inner of the widest layer
    hidden      T · n_embd
    cache       K and V of T tokens in all layers
    """

    linear: tuple[tuple[int, int], ...]
    biases: int
    tokens: tuple[int, int]
    positions: tuple[int, int]
    others: int
    scores: int
    inner: int
    hidden: int
    cache: int

    def linear_bytes(self, quantize: Quantize | None, channel_bytes: int, group_bytes: int) -> int:
        """Bytes of the linear layers' weights.

        Args:
            channel_bytes: what an int8 channel has besides its weights: a scale, a zero-point.
            group_bytes: what an int4 group has besides its weights.
        """
        if quantize is None:
            return sum(4 * out * inputs for out, inputs in self.linear)
        return sum(
            out * inputs // 2 + out * inputs // GROUP_SIZE * group_bytes
            if quantize.linear_dtype(inputs) == "int4"
            else out * (inputs + channel_bytes)
            for out, inputs in self.linear
        )

    def table_bytes(self, quantize: Quantize | None) -> int:
        """Bytes of both embedding tables, with a float32 scale for each row or group."""
        positions = "float32" if quantize is None else quantize.position_dtype()
        return self.token_bytes(quantize) + _table_bytes(self.positions, positions)

    def token_bytes(self, quantize: Quantize | None) -> int:
        """Bytes of the token table."""
        dtype = "float32" if quantize is None else quantize.table_dtype(self.tokens[1])
        return _table_bytes(self.tokens, dtype)


def _table_bytes(shape: tuple[int, int], dtype: str) -> int:
    rows, width = shape
    if dtype == "float32":
        return 4 * rows * width
    if dtype == "int8":
        return rows * (width + 4)
    return rows * width // 2 + rows * width // GROUP_SIZE * 4


def sizes_of(config: ModelConfig, length: int) -> Sizes:
    """Count the values of a model that is run on `length` tokens."""
    shapes = config.tensor_shapes()
    tables = {name for name in shapes if name.startswith(("transformer.wte", "transformer.wpe"))}
    linear = {name for name, shape in shapes.items() if name.endswith(".weight") and len(shape) == 2} - tables
    biases = {name.removesuffix("weight") + "bias" for name in linear} & set(shapes)
    tokens, positions = (shapes[f"transformer.{name}.weight"] for name in ("wte", "wpe"))
    matrices = [shapes[name] for name in linear]
    if config.is_language_model and config.tie_word_embeddings:
        matrices.append(tokens)
    values = {name: math.prod(shape) for name, shape in shapes.items()}
    heads, inner = (max(column) for column in zip(*config.layer_sizes, strict=True))
    return Sizes(
        linear=tuple((out, inputs) for out, inputs in matrices),
        biases=sum(values[name] for name in biases),
        tokens=(tokens[0], tokens[1]),
        positions=(positions[0], positions[1]),
        others=sum(size for name, size in values.items() if name not in linear | biases | tables),
        scores=heads * length**2,
        inner=length * inner,
        hidden=length * config.n_embd,
        cache=sum(2 * heads * config.head_size * length for heads, _ in config.layer_sizes),
    )
