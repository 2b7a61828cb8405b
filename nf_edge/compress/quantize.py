"""The recipe's `quantize` section: torchao before lowering, ONNX Runtime's quantizers after it.

Which of the two depends on the runtime; a user sees one section and one list of what became of
every module.
"""

from pathlib import Path

from torch import nn

from nf_edge.backends.base import Bounds
from nf_edge.compress import onnx_file, torchao_weights
from nf_edge.compress.calibrate import Inputs
from nf_edge.compress.onnx_cache import quantize_cache
from nf_edge.compress.tables import quantize_tables
from nf_edge.model import NoiseFormer
from nf_edge.recipe import Recipe


def quantize(
    model: NoiseFormer, program: nn.Module, recipe: Recipe, bounds: Bounds, seen: Inputs
) -> nn.Module:
    """A program, quantized if the recipe's runtime wants it before lowering.

    Args:
        model: the specialised network, changed in place.
        program: what the backend lowers of it.
        seen: what to calibrate on, where activations are int8_static.
    """
    if recipe.quantize is None or recipe.runtime != "executorch":
        return program
    quantize_tables(model.transformer, recipe.quantize)
    if recipe.quantize.activations == "int8_static":
        return torchao_weights.quantize_static(program, bounds, seen)
    torchao_weights.quantize_dynamic(model, recipe.quantize)
    return program


def quantize_file(path: Path, recipe: Recipe, seen: Inputs, full: Inputs) -> None:
    """Quantize a lowered ONNX model in its place, if the recipe's runtime wants it after lowering.

    Args:
        seen: what to calibrate on, where activations are int8_static.
        full: texts that fill the cache, to calibrate it on, where it is to be int8; else none.
    """
    if recipe.quantize is None or recipe.runtime != "onnxruntime":
        return
    onnx_file.quantize(path, recipe.quantize, seen)
    # Last: ranges of activations are seen with a float32 cache, those of keys and values with the weights
    # that make them.
    if full:
        quantize_cache(path, full)
