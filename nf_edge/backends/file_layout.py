"""What a model file says about its weights by layer, and about the use of its arena."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal

EMBEDDINGS, HEAD_LAYER, INPUT, CACHE = "embeddings", "head", "input", "KV cache"
OTHER, UNDIVIDED = "other constants", "not divided by layer"
UNKNOWN_LAYER = "unknown layer"
# A layer is at the peak if it uses at least this share of the most bytes in use.
AT_PEAK = 0.99


@dataclass(frozen=True)
class ArenaTensor:
    """A tensor in the arena.

    Attributes:
        layer: the layer whose operator writes it, or `INPUT` or `CACHE`.
        operator: the name of the operator that writes it; "" for inputs and the cache.
        dtype: such as `float32`; "" if it is unknown.
        shape: the largest shape; empty if it is unknown.
        bytes: bytes in the arena, with padding to the alignment.
        offset: bytes before it in the arena.
        first: index of the first operator that uses it.
        last: index of the last operator that uses it.
    """

    layer: str
    operator: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int
    offset: int
    first: int
    last: int

    def to_json(self) -> dict[str, Any]:
        return {
            "layer": self.layer,
            "operator": self.operator,
            "dtype": self.dtype,
            "shape": list(self.shape),
            "bytes": self.bytes,
            "offset": self.offset,
            "first_operator": self.first,
            "last_operator": self.last,
        }


@dataclass(frozen=True)
class ArenaOperator:
    """An operator or a delegate of the program: its name and its layer."""

    name: str
    layer: str


@dataclass(frozen=True)
class ArenaUse:
    """The arena while the program runs, operator by operator.

    Attributes:
        planned: bytes of the arena.
        padding: bytes at its end that the planner adds for a library; no tensor uses them.
        operators: the operators in the order in which they run.
        tensors: the tensors in the arena; no two overlap while both are in use.
        how: whether the file has the plan, or it is predicted from the config.
    """

    planned: int
    padding: int
    operators: tuple[ArenaOperator, ...]
    tensors: tuple[ArenaTensor, ...]
    how: Literal["planned", "predicted"] = "planned"

    @cached_property
    def alive(self) -> tuple[int, ...]:
        """For each operator, the bytes of all tensors that are in use while it runs."""
        changes = [0] * (len(self.operators) + 1)
        for tensor in self.tensors:
            changes[tensor.first] += tensor.bytes
            changes[tensor.last + 1] -= tensor.bytes
        sums, total = [], 0
        for change in changes[:-1]:
            total += change
            sums.append(total)
        return tuple(sums)

    @cached_property
    def top(self) -> tuple[int, ...]:
        """For each operator, the end of the tensor in use with the highest address, in bytes."""
        tops = [0] * len(self.operators)
        for tensor in self.tensors:
            for index in range(tensor.first, tensor.last + 1):
                tops[index] = max(tops[index], tensor.offset + tensor.bytes)
        return tuple(tops)

    @property
    def peak(self) -> int:
        """The index of the first operator with the most bytes in use."""
        return self.alive.index(max(self.alive))

    @property
    def peak_tensors(self) -> tuple[ArenaTensor, ...]:
        """The tensors in use at the peak, the largest first."""
        used = [tensor for tensor in self.tensors if tensor.first <= self.peak <= tensor.last]
        return tuple(sorted(used, key=lambda tensor: (-tensor.bytes, tensor.offset)))

    @property
    def holes(self) -> int:
        """Bytes of the arena that no tensor uses at the peak, without the padding."""
        return self.planned - self.padding - self.alive[self.peak]

    @cached_property
    def by_layer(self) -> dict[str, int]:
        """The most bytes in use while a layer's operators run, by layer, in the order of the program."""
        most: dict[str, int] = {}
        for each, alive in zip(self.operators, self.alive, strict=True):
            most[each.layer] = max(alive, most.get(each.layer, 0))
        return most

    @property
    def peak_layers(self) -> tuple[str, ...]:
        """The layers within 1 % of the peak; all of them would have to shrink to lower it."""
        least = AT_PEAK * self.alive[self.peak]
        return tuple(layer for layer, most in self.by_layer.items() if most >= least)

    @property
    def next_layer(self) -> tuple[str, int] | None:
        """The layer that uses the most below the peak, and its bytes; None if all layers are at the peak."""
        others = {layer: most for layer, most in self.by_layer.items() if layer not in self.peak_layers}
        return max(others.items(), key=lambda each: each[1], default=None)

    def to_json(self, *, operators: bool) -> dict[str, Any]:
        """The use of the arena as JSON.

        Args:
            operators: whether it has the use by operator.
        """
        by_operator = [
            {"name": each.name, "layer": each.layer, "bytes": alive, "highest_address": top}
            for each, alive, top in (
                zip(self.operators, self.alive, self.top, strict=True) if operators else ()
            )
        ]
        return {
            "how": self.how,
            "bytes": self.planned,
            "padding": self.padding,
            "peak": {
                "operator": self.peak,
                "name": self.operators[self.peak].name,
                "layer": self.operators[self.peak].layer,
                "layers": list(self.peak_layers),
                "bytes": self.alive[self.peak],
                "holes": self.holes,
                "tensors": [tensor.to_json() for tensor in self.peak_tensors],
            },
            "layers": self.by_layer,
            **({"operators": by_operator} if operators else {}),
        }


@dataclass(frozen=True)
class FileLayout:
    """The weights of a model file by layer, and the use of its arena.

    Attributes:
        arena: the use of the arena; None if it is unknown or the file plans no arena.
        reason: why `arena` is None; "" if it is known.
        weights: bytes of weights and tables in the file by layer; those inside a delegate may be left out.
    """

    arena: ArenaUse | None
    reason: str
    weights: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    def completed(self, weights: int) -> "FileLayout":
        """The same layout; `weights` has an entry for the bytes that belong to no layer.

        Args:
            weights: bytes of all weights and tables in the file.
        """
        rest = weights - sum(self.weights.values())
        if rest < 0:
            return replace(self, weights=MappingProxyType({}))
        return replace(self, weights={**self.weights, **({UNDIVIDED: rest} if rest else {})})

    def to_json(self, *, operators: bool = True) -> dict[str, Any]:
        """The layout as JSON.

        Args:
            operators: whether the arena has its use by operator.
        """
        arena = self.arena.to_json(operators=operators) if self.arena else None
        return {"arena": arena, "arena_unknown": self.reason, "weights_by_layer": dict(self.weights)}
