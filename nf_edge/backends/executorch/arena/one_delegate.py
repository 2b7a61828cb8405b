"""The arena of a program that consists of one delegate."""

from nf_edge.backends.executorch.arena.graph import aligned
from nf_edge.backends.executorch.arena.program import FLOAT, LONG
from nf_edge.backends.input_shape import InputShape
from nf_edge.model import ModelConfig


def delegate_arena(config: ModelConfig, input_shape: InputShape, cache: int = 0) -> int:
    """Bytes of the arena: the inputs, the logits and the new cache, which are all in use at once.

    The cache that the delegate reads is not included.

    Args:
        cache: bytes of the new cache that the delegate returns; 0 for a model without a cache.
    """
    tokens = input_shape.length
    inputs = (LONG * tokens, LONG if input_shape.cached else LONG * tokens)
    labels = (config.num_labels or 0) * FLOAT
    rows = 1 if input_shape.cached else tokens
    logits = FLOAT * rows * config.vocab_size if config.is_language_model else labels
    return cache + sum(map(aligned, (*inputs, logits)))
