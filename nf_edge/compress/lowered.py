"""Weights as they are in what is lowered, dequantized again: what a quantizer's error is measured by."""

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx.numpy_helper import from_array, to_array
from torch import Tensor, nn

from nf_edge.compress.gptq import Grid
from nf_edge.compress.tables import Int4Embedding, Int8Embedding
from nf_edge.model import NoiseFormer
from nf_edge.recipe import GROUP_SIZE

# float32 weights [out, in] or tables [V, D], by the names of their modules.
Weights = dict[str, Tensor]


def float_weights(network: nn.Module) -> Weights:
    """Those of the linear layers and tables of a network that is not quantized."""
    return {
        name: module.weight.detach()
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear | nn.Embedding)
    }


def executorch_weights(network: NoiseFormer, program: nn.Module) -> Weights:
    """Those of a network that `quantize` has changed, and of the program made of it."""
    found = {}
    for name, module in network.named_modules():
        if isinstance(module, Int8Embedding | Int4Embedding):
            found[name] = module.dequantized()
        elif isinstance(module, nn.Linear) and hasattr(module.weight, "target_dtype"):
            found[name] = _torchao(module.weight)
    # A captured program has its linear layers in its graph.
    return found | (_captured(program) if isinstance(program, torch.fx.GraphModule) else {})


def _torchao(weight: Tensor) -> Tensor:
    # XNNPACK keeps the scales of groups in bfloat16, and is given them rounded when it is lowered to.
    grouped = weight.target_dtype == torch.int4  # type: ignore[attr-defined]
    codes, scales = weight.qdata, weight.scale  # type: ignore[attr-defined]
    return times(codes, scales.bfloat16().float() if grouped else scales)


def times(codes: Tensor, scales: Tensor) -> Tensor:
    """int8 codes [N, K] and float32 scales [N, groups] → float32 [N, K]."""
    return (codes.view(*scales.shape, -1).float() * scales[:, :, None]).view(codes.shape)


def _captured(program: torch.fx.GraphModule) -> Weights:
    found = {}
    for node in program.graph.nodes:
        if node.target == torch.ops.aten.linear.default and node.args[1].op == "call_function":
            codes, scales = (_attribute(program, argument.target) for argument in node.args[1].args[:2])
            path, _ = list(node.meta["nn_module_stack"].values())[-1]
            # A decoder has the network in an attribute of this name.
            found[path.removeprefix("model.")] = codes.float() * scales[:, None]
    return found


def _attribute(program: nn.Module, path: str) -> Tensor:
    *modules, name = path.split(".")
    tensor: Tensor = getattr(program.get_submodule(".".join(modules)), name)
    return tensor.detach()


def onnx_names(path: Path, weights: Weights) -> dict[str, str]:
    """Initializers of a float32 model file by the names of the modules that have their values.

    The exporter transposes most matrices and gives them names of its own.
    """
    arrays = {
        tensor.name: to_array(tensor) for tensor in onnx.load(path).graph.initializer if len(tensor.dims) == 2
    }
    names = {}
    for module, weight in weights.items():
        wanted = weight.numpy()
        for name, array in arrays.items():
            # A program of a fixed length may hold the positions that it needs and no more.
            rows = wanted[: len(array)] if module.endswith(".wpe") else wanted
            if np.array_equal(array, rows) or np.array_equal(array, wanted.T):
                names[module] = name
    return names


def onnx_weights(path: Path, names: dict[str, str]) -> Weights:
    """Those of a quantized model file, where it has them.

    Args:
        names: what `onnx_names` found before it was quantized.
    """
    arrays = {tensor.name: to_array(tensor) for tensor in onnx.load(path).graph.initializer}
    found = (
        (module, _from_arrays(arrays, name, module.endswith((".wte", ".wpe"))))
        for module, name in names.items()
    )
    return {
        module: torch.from_numpy(np.ascontiguousarray(weight))
        for module, weight in found
        if weight is not None
    }


def place_grids(path: Path, names: dict[str, str], grids: dict[str, Grid]) -> None:
    """Put other int4 weights where a quantized model file has those of some modules.

    Args:
        names: what `onnx_names` found before it was quantized.
    """
    if not grids:
        return
    model = onnx.load(path)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for module, grid in grids.items():
        name = names[module]
        base = name if f"{name}_Q4" in tensors else f"{name}_Transposed"
        for suffix, values in (("Q4", to_nibbles(grid.codes.numpy())), ("scales", grid.scales.numpy())):
            tensor = tensors[f"{base}_{suffix}"]
            tensor.CopyFrom(from_array(values.reshape(tensor.dims), tensor.name))
    onnx.save(model, path)


def _from_arrays(arrays: dict[str, np.ndarray], name: str, table: bool) -> np.ndarray | None:
    """What the quantizers have put in place of an initializer, by the names that they give."""
    # A Gemm's matrix is transposed before, for they want a MatMul.
    turned = f"{name}_Transposed"
    # A table may have parted from the head that it was tied to.
    for base in () if table and f"{name}_int8" in arrays else (name, turned):
        if f"{base}_Q4" in arrays:
            return from_nibbles(arrays[f"{base}_Q4"], arrays[f"{base}_scales"])
        if f"{base}_quantized" in arrays:
            matrix = arrays[f"{base}_quantized"].astype(np.float32) * arrays[f"{base}_scale"]
            return np.asarray(matrix.T)
    if f"{name}_int8" in arrays:
        # A table has scales of its own, or those of a tied head.
        scales = next(
            arrays[key] for key in (f"{name}_scales", f"{name}_scale", f"{turned}_scale") if key in arrays
        )
        return np.asarray(arrays[f"{name}_int8"].astype(np.float32) * scales.reshape(-1, 1))
    return None


def from_nibbles(packed: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """uint8 [N, K/32, 16], two codes from 0 to 15 in a byte, the lower half first, and their scales
    [N, K/32] → float32 [N, K], as `MatMulNBits` has it without zero-points: 8 is 0."""
    codes = np.stack([packed & 15, packed >> 4], axis=-1).reshape(*packed.shape[:2], GROUP_SIZE)
    values = (codes.astype(np.float32) - 8) * scales.reshape(*packed.shape[:2], 1)
    return np.asarray(values.reshape(len(packed), -1))


def to_nibbles(codes: np.ndarray) -> np.ndarray:
    """int8 [N, K] from −8 to 7 → uint8 [N, K/32, 16]: the inverse of `from_nibbles`."""
    pairs = (codes + 8).astype(np.uint8).reshape(len(codes), -1, GROUP_SIZE // 2, 2)
    return np.asarray(pairs[..., 0] | pairs[..., 1] << 4)
