"""The weights of an ONNX file by layer, from the names of its initializers."""

import re
from collections import Counter
from pathlib import Path

from nf_edge.backends.file_layout import EMBEDDINGS, HEAD_LAYER, OTHER, FileLayout
from nf_edge.backends.onnx.file import read
from nf_edge.backends.onnx.file_memory import tensor_bytes

NO_PLAN = "ONNX Runtime places the activations at run time; the file has no plan"
BLOCK = re.compile(r"transformer\.(h\.\d+\.(attn|mlp|ln_1|ln_2)|ln_f)(?=\.)")
TABLE, HEAD = re.compile(r"transformer\.(wte|wpe)\."), re.compile(r"(score|lm_head)\.")


def layout_of(path: Path) -> FileLayout:
    """The layout of an ONNX file."""
    sizes = Counter[str]()
    for tensor in read(path).graph.initializer:
        sizes[_layer(tensor.name)] += tensor_bytes(tensor)
    return FileLayout(None, NO_PLAN, dict(sizes))


def _layer(name: str) -> str:
    """The layer of an initializer; quantizers add to the name of a layer, but keep its start."""
    if block := BLOCK.match(name):
        return block.group()
    if TABLE.match(name):
        return EMBEDDINGS
    return HEAD_LAYER if HEAD.match(name) else OTHER
