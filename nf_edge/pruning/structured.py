"""Remove heads, inner units and layers from a checkpoint's tensors."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nf_edge.model import ModelConfig

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Kept:
    """Indices of the heads and inner units that one layer keeps, ascending."""

    heads: tuple[int, ...]
    units: tuple[int, ...]


def all_kept(config: ModelConfig) -> list[Kept]:
    """For each layer, the indices of all of its heads and inner units."""
    return [Kept(tuple(range(heads)), tuple(range(inner))) for heads, inner in config.layer_sizes]


def cut(config: ModelConfig, tensors: Tensors, kept: Sequence[Kept]) -> tuple[ModelConfig, dict[str, Tensor]]:
    """Config and tensors with only the kept heads and units.

    A head owns its slices of the query, key and value projections, its noise, and its columns of the output
    projection.  A unit owns a row of `mlp.c_fc` and a column of `mlp.c_proj`.
    """
    result, d = dict(tensors), config.head_size
    for i, (layer, (heads, _)) in enumerate(zip(kept, config.layer_sizes, strict=True)):
        at, units = f"transformer.h.{i}.", torch.tensor(layer.units)
        columns = torch.cat([torch.arange(head * d, (head + 1) * d) for head in layer.heads])
        name, parts = ("c_attn", 3) if config.attention == "standard" else ("c_kv", 2)
        rows = torch.cat([columns + part * heads * d for part in range(parts)])
        for tensor, index, dim in (
            (f"{at}attn.{name}.weight", rows, 0),
            (f"{at}attn.{name}.bias", rows, 0),
            (f"{at}attn.c_proj.weight", columns, 1),
            (f"{at}mlp.c_fc.weight", units, 0),
            (f"{at}mlp.c_fc.bias", units, 0),
            (f"{at}mlp.c_proj.weight", units, 1),
        ):
            result[tensor] = tensors[tensor].index_select(dim, index)
        for tensor in tensors:
            if tensor.startswith(f"{at}attn.noise."):
                result[tensor] = tensors[tensor].index_select(0, torch.tensor(layer.heads))
    return cut_config(config, kept), result


def cut_config(config: ModelConfig, kept: Sequence[Kept]) -> ModelConfig:
    """The config of the model with only the kept heads and units."""
    sizes = [{"n_head": len(layer.heads), "n_inner": len(layer.units)} for layer in kept]
    return _changed(config, layers=sizes)


def drop_layers(
    config: ModelConfig, tensors: Tensors, dropped: Collection[int]
) -> tuple[ModelConfig, dict[str, Tensor]]:
    """Config and tensors without the dropped layers; the others are renumbered from 0."""
    remaining = [i for i in range(config.n_layer) if i not in dropped]
    numbers = {str(old): str(new) for new, old in enumerate(remaining)}
    result = {}
    for name, tensor in tensors.items():
        parts = name.split(".")
        if parts[:2] == ["transformer", "h"]:
            if parts[2] not in numbers:
                continue
            parts[2] = numbers[parts[2]]
        result[".".join(parts)] = tensor
    layers = None if config.layers is None else [config.layers[i].model_dump() for i in remaining]
    return _changed(config, n_layer=len(remaining), layers=layers), result


def _changed(config: ModelConfig, **changes: object) -> ModelConfig:
    return ModelConfig.model_validate({**config.model_dump(), **changes})
