"""The quantized weights of a lowered model, converted back to float32 to measure their error."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from nf_edge.backends.executorch.embedding import QuantizedEmbedding
from nf_edge.backends.executorch.weight_only_linear import WeightOnlyLinear
from nf_edge.backends.onnx.file import read, values_of
from nf_edge.backends.onnx.names import group_names, matrix_name
from nf_edge.backends.precisions import HEAD, Precisions
from nf_edge.backends.quantized_weights import LazyWeights, QuantizedWeight, Weights, unpack
from nf_edge.core.recipe.precision import TOKENS, Precision
from nf_edge.model import NoiseFormer

# Types of linear layers in a captured program.  Its convolutions are all 1×1 and come from linear layers.
LINEAR = (torch.ops.aten.linear.default, torch.ops.aten.conv2d.default)


def layer_weights(network: nn.Module) -> Weights:
    """The float32 weights of all linear layers, by name, before quantization."""
    return {
        name: module.weight.detach()
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear)
    }


def executorch_weights(network: NoiseFormer, program: nn.Module) -> Weights:
    """The dequantized weights of a quantized ExecuTorch program, by module name.

    Args:
        network: the network that the program was made from, as `quantize` left it.
    """
    functions: dict[str, Callable[[], Tensor]] = {}
    for name, module in network.named_modules():
        if isinstance(module, QuantizedEmbedding | WeightOnlyLinear):
            functions[name] = module.dequantized
        elif isinstance(module, nn.Linear) and hasattr(module.weight, "target_dtype"):
            functions[name] = partial(_torchao_weight, module.weight)
    # A captured program stores its linear layers in its graph.
    return LazyWeights(
        functions | (_captured_weights(program) if isinstance(program, torch.fx.GraphModule) else {})
    )


def _torchao_weight(weight: Tensor) -> Tensor:
    # Lowering to XNNPACK rounds the scales of int4 to bfloat16, so they are rounded here too.
    int4 = weight.target_dtype == torch.int4  # type: ignore[attr-defined]
    codes, scales = weight.qdata, weight.scale  # type: ignore[attr-defined]
    return QuantizedWeight(codes, scales.bfloat16().float() if int4 else scales).dequantized()


def _captured_weights(program: torch.fx.GraphModule) -> dict[str, Callable[[], Tensor]]:
    functions = {}
    for node in program.graph.nodes:
        if node.target in LINEAR and node.args[1].op == "call_function":
            codes, scales = (_attribute(program, argument.target) for argument in node.args[1].args[:2])
            path, _ = list(node.meta["nn_module_stack"].values())[-1]
            # A decoder stores the network in an attribute of this name.
            weight = QuantizedWeight(codes.flatten(1), scales[:, None])
            functions[path.removeprefix("model.")] = weight.dequantized
    return functions


def _attribute(program: nn.Module, path: str) -> Tensor:
    *modules, name = path.split(".")
    tensor: Tensor = getattr(program.get_submodule(".".join(modules)), name)
    return tensor.detach()


def onnx_weights(path: Path, precisions: Precisions, shared: bool) -> Weights:
    """The dequantized weights of a quantized ONNX file, by module name.

    Args:
        shared: whether the token table and the head share one matrix in the file.
    """
    tensors = {tensor.name: tensor for tensor in read(path).graph.initializer}
    # The mapping outlives the file, which may be in a temporary folder.
    content = np.memmap(path, mode="r")
    values = {name: partial(values_of, tensor, content) for name, tensor in tensors.items()}
    return LazyWeights(
        {
            module: partial(_onnx_weight, values, module, precision, shared)
            for module, precision in precisions.items()
            if precision.stored is not None
        }
    )


def _onnx_weight(
    values: Mapping[str, Callable[[], np.ndarray]], module: str, precision: Precision, shared: bool
) -> Tensor:
    def array(name: str) -> Tensor:
        return torch.from_numpy(values[name]().copy())

    matrix = matrix_name(HEAD if shared and module == TOKENS else module)
    if precision.group:
        bits = precision.stored or 0
        packed, scales, *zeros = (array(part) for part in group_names(matrix, precision))
        zero_points = unpack(zeros[0], bits)[:, : scales.shape[1]] if zeros else None
        return QuantizedWeight(unpack(packed.flatten(1), bits), scales, zero_points).dequantized()
    table = TOKENS if shared and module == HEAD else module
    rows = array(f"{table}.rows") if f"{table}.rows" in values else None
    # ONNX Runtime's quantizer names the scales and zero points of a shared matrix after the head.
    scale, zero = f"{matrix}_scale", f"{matrix}_zero_point"
    if rows is not None and not (shared and table == TOKENS):
        scale, zero = f"{table}.scales", f"{table}.zeros"
    codes = array(f"{matrix}_quantized").T.contiguous() if rows is None else rows
    zero_points = None if precision.symmetric else array(zero).view(-1, 1)
    return QuantizedWeight(codes, array(scale).view(-1, 1), zero_points).dequantized()
