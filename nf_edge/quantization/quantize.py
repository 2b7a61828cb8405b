"""The recipe's `quantize` section: torchao quantizes before lowering, and ONNX Runtime's quantizers after
it.
"""

import copy
from functools import partial
from pathlib import Path

import torch
from torch import nn

from nf_edge.backends.base import Backend
from nf_edge.backends.executorch.dynamic_linear import quantize_dynamic
from nf_edge.backends.executorch.embedding import quantize_tables
from nf_edge.backends.executorch.weight_only_linear import quantize_weights
from nf_edge.backends.input_shape import Inputs, InputShape
from nf_edge.backends.onnx import model as onnx_file
from nf_edge.backends.onnx.kv_cache import quantize_cache
from nf_edge.backends.precisions import Precisions, shares_table
from nf_edge.backends.quantized_weights import QuantizedWeight, Weights
from nf_edge.core.process_memory import trim_heap
from nf_edge.core.recipe.precision import TOKENS
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.model import NoiseFormer
from nf_edge.model.checkpoint import release_weights
from nf_edge.quantization.awq import awq
from nf_edge.quantization.dequantize import executorch_weights, layer_weights, onnx_weights
from nf_edge.quantization.equalize import equalize
from nf_edge.quantization.rotate import rotate
from nf_edge.quantization.rounding import gptq_weights, half_weights, nearest_weights


def prepare(
    network: NoiseFormer,
    backend: Backend,
    recipe: Recipe,
    by_module: Precisions,
    calibration_inputs: Inputs,
) -> None:
    """Change the weights in place to reduce the later quantization error: equalize, rotate and AWQ.

    Only the methods that the recipe sets are applied.

    Args:
        network: in plain PyTorch operators; its outputs stay the same up to float32 rounding.
        calibration_inputs: the rows for equalize and AWQ; empty if the recipe uses neither.
    """
    if recipe.quantize is not None and recipe.quantize.equalize:
        equalize(network, calibration_inputs)
    if recipe.quantize is not None and recipe.quantize.rotate:
        rotate(network)
    if recipe.quantize is not None and recipe.quantize.method == "awq":
        awq(network, by_module, calibration_inputs, signed=backend.support.signed_scales)


def quantized_weights_for(
    network: NoiseFormer,
    backend: Backend,
    recipe: Recipe,
    by_module: Precisions,
    calibration_inputs: Inputs,
) -> dict[str, QuantizedWeight]:
    """Map each module that nf-edge rounds itself to its quantized weights.

    The runtime's quantizer rounds all other modules.

    Args:
        network: the network to lower, in plain PyTorch operators.
        calibration_inputs: the rows for GPTQ; empty if the recipe does not use it.
    """
    signed = backend.support.signed_scales
    if recipe.quantize is None or recipe.quantize.method != "gptq":
        stored = torch.float16 if backend.floats == "float16" else torch.float32
        return nearest_weights(network, by_module, signed, stored)
    return gptq_weights(copy.deepcopy(network), calibration_inputs, by_module, signed)


def quantize(
    model: NoiseFormer,
    program: nn.Module,
    backend: Backend,
    recipe: Recipe,
    by_module: Precisions,
    input_shape: InputShape,
    calibration_inputs: Inputs,
    quantized_weights: dict[str, QuantizedWeight],
) -> tuple[nn.Module, Weights]:
    """Quantize a program before it is lowered, if its backend quantizes programs and not files.

    Args:
        model: the specialised network; it is changed in place.
        program: the program that the backend made of the network.
        calibration_inputs: the rows for static activations; empty if the recipe has none.
        quantized_weights: the result of `quantized_weights_for`.

    Returns:
        The program, and the dequantized weights of its quantized modules by name.
    """
    if recipe.quantize is None or backend.quantizes == "file":
        return program, {}
    if (rounded := backend.round_weights(model, recipe)) is not None:
        return program, rounded
    if backend.floats == "float16":
        quantized_weights = half_weights(model, by_module, quantized_weights)
    quantize_tables(model.transformer, by_module, quantized_weights.get(TOKENS))
    if recipe.quantize.static:
        program = backend.quantize_static(program, recipe, by_module, input_shape, calibration_inputs)
    else:
        quantize_dynamic(model, by_module, quantized_weights)
        quantize_weights(model, by_module, quantized_weights)
    return program, backend.network_weights(executorch_weights(model, program))


def quantize_file(
    path: Path,
    network: NoiseFormer,
    backend: Backend,
    recipe: Recipe,
    by_module: Precisions,
    calibration_inputs: Inputs,
    full_cache_inputs: Inputs,
    quantized_weights: dict[str, QuantizedWeight],
) -> Weights:
    """Quantize a lowered ONNX file in place, if its backend quantizes files and not programs.

    Args:
        network: the network that was lowered, with the same weights as the file.
        calibration_inputs: the rows for static activations; empty if the recipe has none.
        full_cache_inputs: texts that fill the cache, to calibrate an int8 cache; empty for any other cache.
        quantized_weights: the result of `quantized_weights_for`.

    Returns:
        The dequantized weights of its quantized modules, by name.
    """
    if recipe.quantize is None or backend.quantizes != "file":
        return {}
    shared = shares_table(by_module, network.config)
    onnx_file.quantize(
        path,
        layer_weights(network),
        by_module,
        quantized_weights,
        shared,
        calibration_inputs,
        partial(release_weights, network),
    )
    # The cache comes last: its calibration needs quantized weights, and activations need a float32 cache.
    if full_cache_inputs:
        release_weights(network)
        trim_heap()
        quantize_cache(path, full_cache_inputs)
    return onnx_weights(path, by_module, shared)
