"""The recipe's `quantize` section: torchao before lowering, ONNX Runtime's quantizers after it.

Which of the two depends on the runtime; a user sees one section and one list of what became of
every module.
"""

import copy
from pathlib import Path

from torch import nn

from nf_edge.backends.base import Backend, Bounds
from nf_edge.compress import onnx_file, torchao_weights
from nf_edge.compress.calibrate import Inputs
from nf_edge.compress.equalize import equalize
from nf_edge.compress.gptq import Grid
from nf_edge.compress.grids import TABLE, grids_of
from nf_edge.compress.lowered import (
    Weights,
    executorch_weights,
    float_weights,
    onnx_names,
    onnx_weights,
    place_grids,
)
from nf_edge.compress.onnx_cache import quantize_cache
from nf_edge.compress.rotate import rotate
from nf_edge.compress.tables import quantize_tables
from nf_edge.model import NoiseFormer
from nf_edge.recipe import Recipe


def prepare(network: NoiseFormer, recipe: Recipe, seen: Inputs) -> None:
    """Rewrite a network, in place and exactly, into one that quantizing harms less, where the recipe says so.

    Args:
        network: in PyTorch's own operators.
        seen: rows to calibrate on, where it equalizes.
    """
    if recipe.quantize is not None and recipe.quantize.equalize:
        equalize(network, seen)
    if recipe.quantize is not None and recipe.quantize.rotate:
        rotate(network)


def grids_for(network: NoiseFormer, recipe: Recipe, seen: Inputs) -> dict[str, Grid]:
    """The int4 weights of layers and tables, by name, where the recipe has them rounded by GPTQ.

    Args:
        network: what will be lowered, in PyTorch's own operators.
    """
    if recipe.quantize is None or recipe.quantize.method != "gptq":
        return {}
    return grids_of(copy.deepcopy(network), seen, recipe.quantize, signed=recipe.runtime == "onnxruntime")


def quantize(
    model: NoiseFormer,
    program: nn.Module,
    backend: Backend,
    recipe: Recipe,
    bounds: Bounds,
    seen: Inputs,
    grids: dict[str, Grid],
) -> tuple[nn.Module, Weights]:
    """A program, quantized if the recipe's runtime wants it before lowering, and its weights dequantized.

    Args:
        model: the specialised network, changed in place.
        program: what the backend lowers of it.
        seen: what to calibrate on, where activations are int8_static.
        grids: what `grids_for` found.
    """
    if recipe.quantize is None or recipe.runtime != "executorch":
        return program, {}
    quantize_tables(model.transformer, recipe.quantize, grids.get(TABLE))
    if recipe.quantize.activations == "int8_static":
        program = backend.quantize_static(program, recipe, bounds, seen)
    else:
        torchao_weights.quantize_dynamic(model, recipe.quantize, grids)
    return program, backend.network_weights(executorch_weights(model, program))


def quantize_file(
    path: Path, network: NoiseFormer, recipe: Recipe, seen: Inputs, full: Inputs, grids: dict[str, Grid]
) -> Weights:
    """Quantize a lowered ONNX model in its place, if the recipe's runtime wants it after lowering.

    Args:
        network: what was lowered, with the values that the file has.
        seen: what to calibrate on, where activations are int8_static.
        full: texts that fill the cache, to calibrate it on, where it is to be int8; else none.
        grids: what `grids_for` found.

    Returns:
        Its weights, dequantized.
    """
    if recipe.quantize is None or recipe.runtime != "onnxruntime":
        return {}
    names = onnx_names(path, float_weights(network))
    onnx_file.quantize(path, recipe.quantize, seen)
    place_grids(path, names, grids)
    # Last: ranges of activations are seen with a float32 cache, those of keys and values with the weights
    # that make them.
    if full:
        quantize_cache(path, full)
    return onnx_weights(path, names)
