"""How many values a NoiseFormer has of each kind, for predicting memory before anything is lowered."""

import math
from dataclasses import dataclass

from nf_edge.model import ModelConfig


@dataclass(frozen=True)
class Sizes:
    """Values (not bytes) of a model's tensors.

    weights     of linear layers, the head or score among them; a tied head counts here too
    outputs     of those layers together: as many scales as per-channel quantization needs
    biases      of those layers
    tables      token and position embeddings
    others      norms and noise
    scores      H · T² of the widest layer at the given length
    inner       T · n_inner of the widest layer
    hidden      T · n_embd
    cache       K and V of T tokens in all layers
    """

    weights: int
    outputs: int
    biases: int
    tables: int
    others: int
    scores: int
    inner: int
    hidden: int
    cache: int


def sizes_of(config: ModelConfig, length: int) -> Sizes:
    """Count the values of a model that is run on `length` tokens."""
    shapes = config.tensor_shapes()
    tables = {name for name in shapes if name.startswith(("transformer.wte", "transformer.wpe"))}
    linear = {name for name, shape in shapes.items() if name.endswith(".weight") and len(shape) == 2} - tables
    biases = {name.removesuffix("weight") + "bias" for name in linear} & set(shapes)
    matrices = [shapes[name] for name in linear]
    if config.is_language_model and config.tie_word_embeddings:
        matrices.append(shapes["transformer.wte.weight"])
    values = {name: math.prod(shape) for name, shape in shapes.items()}
    heads, inner = (max(column) for column in zip(*config.layer_sizes, strict=True))
    return Sizes(
        weights=sum(math.prod(shape) for shape in matrices),
        outputs=sum(shape[0] for shape in matrices),
        biases=sum(values[name] for name in biases),
        tables=sum(values[name] for name in tables),
        others=sum(size for name, size in values.items() if name not in linear | biases | tables),
        scores=heads * length**2,
        inner=length * inner,
        hidden=length * config.n_embd,
        cache=sum(2 * heads * config.head_size * length for heads, _ in config.layer_sizes),
    )
