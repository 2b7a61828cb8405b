"""The recipe's `quantize` section: torchao before lowering, ONNX Runtime's quantizers after it.

Which of the two depends on the runtime; a user sees one section and one list of what became of
every module.
"""

import copy
from pathlib import Path

import torch
from torch import nn

from nf_edge.backends import backend_for
from nf_edge.backends.base import Backend
from nf_edge.backends.executorch import dynamic_linear as torchao_weights
from nf_edge.backends.executorch.embedding import quantize_tables
from nf_edge.backends.executorch.weight_only_linear import quantize_weights
from nf_edge.backends.input_shape import Inputs, InputShape
from nf_edge.backends.onnx import model as onnx_file
from nf_edge.backends.onnx.kv_cache import quantize_cache
from nf_edge.backends.precisions import precisions, shares_table
from nf_edge.backends.quantized_weights import QuantizedWeight, Weights
from nf_edge.core.recipe.precision import TOKENS
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.model import NoiseFormer
from nf_edge.quantization.awq import awq
from nf_edge.quantization.dequantize import executorch_weights, layer_weights, onnx_weights
from nf_edge.quantization.equalize import equalize
from nf_edge.quantization.rotate import rotate
from nf_edge.quantization.rounding import gptq_weights, half_weights, nearest_weights


def prepare(network: NoiseFormer, recipe: Recipe, seen: Inputs) -> None:
    """Rewrite a network, in place and exactly, into one that quantizing harms less, where the recipe says so.

    Args:
        network: in PyTorch's own operators.
        seen: rows to calibrate on, where it equalizes, or scales weights by AWQ.
    """
    if recipe.quantize is not None and recipe.quantize.equalize:
        equalize(network, seen)
    if recipe.quantize is not None and recipe.quantize.rotate:
        rotate(network)
    if recipe.quantize is not None and recipe.quantize.method == "awq":
        awq(
            network,
            precisions(recipe, network.config),
            seen,
            signed=backend_for(recipe).support.signed_scales,
        )


def quantized_weights_for(network: NoiseFormer, recipe: Recipe, seen: Inputs) -> dict[str, QuantizedWeight]:
    """The weights of layers and tables, by name, that are rounded before the runtime's own tools see them.

    Args:
        network: what will be lowered, in PyTorch's own operators.
        seen: what to calibrate on, where they are rounded by GPTQ.
    """
    backend, wanted = backend_for(recipe), precisions(recipe, network.config)
    signed = backend.support.signed_scales
    if recipe.quantize is None or recipe.quantize.method != "gptq":
        stored = torch.float16 if backend.floats == "float16" else torch.float32
        return nearest_weights(network, wanted, signed, stored)
    return gptq_weights(copy.deepcopy(network), seen, wanted, signed)


def quantize(
    model: NoiseFormer,
    program: nn.Module,
    backend: Backend,
    recipe: Recipe,
    input_shape: InputShape,
    seen: Inputs,
    quantized_weights: dict[str, QuantizedWeight],
) -> tuple[nn.Module, Weights]:
    """A program, quantized if the recipe's backend wants it before lowering, and its weights dequantized.

    Args:
        model: the specialised network, changed in place.
        program: what the backend lowers of it.
        seen: what to calibrate on, where activations are static.
        quantized_weights: what `quantized_weights_for` found.
    """
    if recipe.quantize is None or backend.quantizes == "file":
        return program, {}
    if (rounded := backend.round_weights(model, recipe)) is not None:
        return program, rounded
    wanted = precisions(recipe, model.config)
    if backend.floats == "float16":
        quantized_weights = half_weights(model, wanted, quantized_weights)
    quantize_tables(model.transformer, wanted, quantized_weights.get(TOKENS))
    if recipe.quantize.static:
        program = backend.quantize_static(program, recipe, wanted, input_shape, seen)
    else:
        torchao_weights.quantize_dynamic(model, wanted, quantized_weights)
        quantize_weights(model, wanted, quantized_weights)
    return program, backend.network_weights(executorch_weights(model, program))


def quantize_file(
    path: Path,
    network: NoiseFormer,
    backend: Backend,
    recipe: Recipe,
    seen: Inputs,
    full: Inputs,
    quantized_weights: dict[str, QuantizedWeight],
) -> Weights:
    """Quantize a lowered ONNX model in its place, if the recipe's backend wants it after lowering.

    Args:
        network: what was lowered, with the values that the file has.
        seen: what to calibrate on, where activations are int8_static.
        full: texts that fill the cache, to calibrate it on, where it is to be int8; else none.
        quantized_weights: what `quantized_weights_for` found.

    Returns:
        Its weights, dequantized.
    """
    if recipe.quantize is None or backend.quantizes != "file":
        return {}
    wanted = precisions(recipe, network.config)
    shared = shares_table(wanted, network.config)
    onnx_file.quantize(path, layer_weights(network), wanted, quantized_weights, shared, seen)
    # Last: ranges of activations are seen with a float32 cache, those of keys and values with the weights
    # that make them.
    if full:
        quantize_cache(path, full)
    return onnx_weights(path, wanted, shared)
