"""The recipe's `quantize` section: torchao before lowering, ONNX Runtime's quantizer after it.

Which of the two depends on the runtime; a user sees one section and one list of what became of
every module.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import nn

from nf_edge.quiet import quiet_libraries
from nf_edge.recipe import Recipe


@dataclass(frozen=True)
class Fate:
    """What became of one module's weights: the dtype, and why where it is not what was asked for."""

    module: str
    dtype: str
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def quantize(program: nn.Module, recipe: Recipe) -> tuple[Fate, ...]:
    """Quantize a specialised network in place, if the recipe's runtime wants it before lowering.

    Returns:
        The fate of every module that has weights, whichever runtime does it.
    """
    if recipe.quantize is None:
        return tuple(Fate(name, "float32") for name, _ in _with_weights(program))
    if recipe.runtime == "executorch":
        _torchao_int8_dynamic(program)
    return tuple(
        Fate(name, "int8, per channel; int8 dynamic activations")
        if isinstance(module, nn.Linear)
        else Fate(name, "float32", _why_not(module))
        for name, module in _with_weights(program)
    )


def quantize_file(path: Path, recipe: Recipe) -> None:
    """Quantize a lowered ONNX model in its place, if the recipe's runtime wants it after lowering."""
    if recipe.quantize is None or recipe.runtime != "onnxruntime":
        return
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(path)
    matrices = {tensor.name for tensor in model.graph.initializer if len(tensor.dims) == 2}
    others = [
        node.name for node in model.graph.node if node.op_type == "MatMul" and node.input[1] not in matrices
    ]
    # It advises a shape-inference pass first, which a graph without convolutions has no use for.
    with quiet_libraries():
        quantize_dynamic(
            path,
            path,
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            weight_type=QuantType.QInt8,
            # The noise factors: K and its noise count as one unit, and these are a sliver of the weights.
            nodes_to_exclude=others,
            extra_options={"MatMulConstBOnly": True},
        )


def _torchao_int8_dynamic(program: nn.Module) -> None:
    with quiet_libraries():
        from torchao.quantization import Int8DynamicActivationIntxWeightConfig, quantize_
        from torchao.quantization.granularity import PerAxis

        config = Int8DynamicActivationIntxWeightConfig(weight_dtype=torch.int8, weight_granularity=PerAxis(0))
        quantize_(program, config)


def _with_weights(program: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, module in program.named_modules():
        if any(True for _ in module.parameters(recurse=False)):
            yield name, module


def _why_not(module: nn.Module) -> str:
    if isinstance(module, nn.Embedding):
        return "a table: this recipe quantizes linear layers"
    if isinstance(module, nn.LayerNorm):
        return "a norm: a few values, which int8 would harm"
    return "noise on the scores: a sliver of the weights, kept exact"
