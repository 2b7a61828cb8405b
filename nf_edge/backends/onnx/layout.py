"""The weights of an ONNX file by layer, from the names of its initializers."""

import re
from collections import Counter
from pathlib import Path

from nf_edge.backends.file_layout import EMBEDDINGS, HEAD_LAYER, OTHER, FileLayout
from nf_edge.backends.input_shape import CacheDtype, InputShape
from nf_edge.backends.onnx.allocation.arena_use import arena_use_of
from nf_edge.backends.onnx.file import read
from nf_edge.backends.onnx.file_memory import tensor_bytes
from nf_edge.backends.onnx.process_memory import largest_tape
from nf_edge.backends.precisions import precisions
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.model import ModelConfig

BLOCK = re.compile(r"transformer\.(h\.\d+\.(attn|mlp|ln_1|ln_2)|ln_f)(?=\.)")
TABLE, HEAD = re.compile(r"transformer\.(wte|wpe)\."), re.compile(r"(score|lm_head)\.")


def layout_of(
    path: Path, config: ModelConfig, input_shape: InputShape, recipe: Recipe, cache: CacheDtype | None
) -> FileLayout:
    """The layout of an ONNX file: weights from the file; the use of memory is predicted, for it has no plan.

    Args:
        cache: dtype of the model's cache; None without one.
    """
    sizes = Counter[str]()
    for tensor in read(path).graph.initializer:
        sizes[_layer(tensor.name)] += tensor_bytes(tensor)
    tape = largest_tape(config, input_shape, precisions(recipe, config), cache)
    return FileLayout(arena_use_of(tape), "", dict(sizes))


def _layer(name: str) -> str:
    """The layer of an initializer; quantizers add to the name of a layer, but keep its start."""
    if block := BLOCK.match(name):
        return block.group()
    if TABLE.match(name):
        return EMBEDDINGS
    return HEAD_LAYER if HEAD.match(name) else OTHER
