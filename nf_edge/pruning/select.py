"""Select the heads and inner units to remove: the least important first, across all layers."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nf_edge.model import ModelConfig
from nf_edge.pruning.importance import Importance
from nf_edge.pruning.structured import Kept

# Inner units are removed in groups of this size if it divides their number, because int4 weights have one
# scale per 32 inputs.
UNITS_TOGETHER = 32


@dataclass(frozen=True)
class Piece:
    """The unit of removal: one head, or a group of inner units of similar importance."""

    layer: int
    is_head: bool
    indices: tuple[int, ...]
    importance: float
    parameters: int


def pieces(config: ModelConfig, importances: Sequence[Importance]) -> list[Piece]:
    """All removable pieces, sorted by importance per parameter.

    Each layer keeps its most important head and its most important group of units.
    """
    candidates = []
    for i, (layer, (_, inner)) in enumerate(zip(importances, config.layer_sizes, strict=True)):
        by_importance = layer.heads.argsort(stable=True).tolist()
        head_parameters = _head_parameters(config)
        for head in by_importance[:-1]:
            candidates.append(Piece(i, True, (head,), layer.heads[head].item(), head_parameters))
        size = UNITS_TOGETHER if inner % UNITS_TOGETHER == 0 else 1
        order = layer.units.argsort(stable=True).tolist()
        for start in range(0, inner - size, size):
            group = tuple(order[start : start + size])
            value = layer.units[list(group)].sum().item()
            candidates.append(Piece(i, False, group, value, size * (2 * config.n_embd + 1)))
    return sorted(candidates, key=lambda piece: piece.importance / piece.parameters)


def first_of(candidates: Sequence[Piece], size: Callable[[Piece], int], enough: float) -> list[Piece]:
    """The first pieces whose sizes add up to `enough` or more; all pieces if their sum is smaller.

    Pieces of size 0 are skipped.
    """
    chosen, total = [], 0
    for piece in candidates:
        if total >= enough:
            break
        if size(piece):
            chosen.append(piece)
            total += size(piece)
    return chosen


def remaining(kept: Sequence[Kept], removed: Sequence[Piece]) -> list[Kept]:
    """The heads and units that remain in every layer after the pieces are removed."""
    result = []
    for i, layer in enumerate(kept):
        heads = {index for piece in removed if piece.layer == i and piece.is_head for index in piece.indices}
        units = {
            index for piece in removed if piece.layer == i and not piece.is_head for index in piece.indices
        }
        result.append(
            Kept(
                tuple(head for head in layer.heads if head not in heads),
                tuple(unit for unit in layer.units if unit not in units),
            )
        )
    return result


def _head_parameters(config: ModelConfig) -> int:
    """The number of parameters of one head."""
    D, d = config.n_embd, config.head_size
    projections = 3 if config.attention == "standard" else 2
    noise = sum(math.prod(shape) for shape in config.noise_shapes(1).values())
    return projections * d * (D + 1) + d * D + noise
