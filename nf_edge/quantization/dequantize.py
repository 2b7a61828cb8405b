"""Weights as they are in what is lowered, dequantized again: what a quantizer's error is measured by."""

from pathlib import Path

import onnx
import torch
from onnx.numpy_helper import to_array
from torch import Tensor, nn

from nf_edge.backends.executorch.embedding import QuantizedEmbedding
from nf_edge.backends.executorch.weight_only_linear import WeightOnlyLinear
from nf_edge.backends.onnx.names import group_names, matrix_name
from nf_edge.backends.precisions import HEAD, Precisions
from nf_edge.backends.quantized_weights import QuantizedWeight, Weights, unpack
from nf_edge.core.recipe.precision import TOKENS, Precision
from nf_edge.model import NoiseFormer

# What a linear layer is in a captured program: of convolutions there are only those of one point.
LINEAR = (torch.ops.aten.linear.default, torch.ops.aten.conv2d.default)


def layer_weights(network: nn.Module) -> Weights:
    """Those of the linear layers of a network that is not quantized."""
    return {
        name: module.weight.detach()
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear)
    }


def executorch_weights(network: NoiseFormer, program: nn.Module) -> Weights:
    """Those of a network that `quantize` has changed, and of the program made of it."""
    found = {}
    for name, module in network.named_modules():
        if isinstance(module, QuantizedEmbedding | WeightOnlyLinear):
            found[name] = module.dequantized()
        elif isinstance(module, nn.Linear) and hasattr(module.weight, "target_dtype"):
            found[name] = _torchao(module.weight)
    # A captured program has its linear layers in its graph.
    return found | (_captured(program) if isinstance(program, torch.fx.GraphModule) else {})


def _torchao(weight: Tensor) -> Tensor:
    # XNNPACK keeps the scales of int4 in bfloat16, and is given them rounded when it is lowered to.
    int4 = weight.target_dtype == torch.int4  # type: ignore[attr-defined]
    codes, scales = weight.qdata, weight.scale  # type: ignore[attr-defined]
    return QuantizedWeight(codes, scales.bfloat16().float() if int4 else scales).dequantized()


def _captured(program: torch.fx.GraphModule) -> Weights:
    found = {}
    for node in program.graph.nodes:
        if node.target in LINEAR and node.args[1].op == "call_function":
            codes, scales = (_attribute(program, argument.target) for argument in node.args[1].args[:2])
            path, _ = list(node.meta["nn_module_stack"].values())[-1]
            # A decoder has the network in an attribute of this name.
            found[path.removeprefix("model.")] = codes.flatten(1).float() * scales[:, None]
    return found


def _attribute(program: nn.Module, path: str) -> Tensor:
    *modules, name = path.split(".")
    tensor: Tensor = getattr(program.get_submodule(".".join(modules)), name)
    return tensor.detach()


def onnx_weights(path: Path, wanted: Precisions, shared: bool) -> Weights:
    """Those of a quantized model file.

    Args:
        shared: whether the token table is the head's matrix too, in the same dtype.
    """
    arrays = {
        tensor.name: torch.from_numpy(to_array(tensor).copy()) for tensor in onnx.load(path).graph.initializer
    }
    return {
        module: _dequantized(arrays, module, precision, shared)
        for module, precision in wanted.items()
        if precision.stored is not None
    }


def _dequantized(arrays: Weights, module: str, precision: Precision, shared: bool) -> Tensor:
    matrix = matrix_name(HEAD if shared and module == TOKENS else module)
    if precision.group:
        bits = precision.stored or 0
        packed, scales, *zeros = (arrays[part] for part in group_names(matrix, precision))
        points = unpack(zeros[0], bits)[:, : scales.shape[1]] if zeros else None
        return QuantizedWeight(unpack(packed.flatten(1), bits), scales, points).dequantized()
    table = TOKENS if shared and module == HEAD else module
    rows = arrays.get(f"{table}.rows")
    # A table that is the head's matrix has what the quantizers made of that beside its rows.
    scale, zero = f"{matrix}_scale", f"{matrix}_zero_point"
    if rows is not None and not (shared and table == TOKENS):
        scale, zero = f"{table}.scales", f"{table}.zeros"
    codes = arrays[f"{matrix}_quantized"].T.contiguous() if rows is None else rows
    points = None if precision.symmetric else arrays[zero].view(-1, 1)
    return QuantizedWeight(codes, arrays[scale].view(-1, 1), points).dequantized()
