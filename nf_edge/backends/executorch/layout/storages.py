"""The tensors in a program's arena, with the calls that use them.

Several values may be one tensor: a view is a value, too.  The writer removes the calls of views whose
result has the place of their input.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nf_edge.backends.executorch.arena.graph import aligned
from nf_edge.backends.executorch.layout.calls import Call, members

# ExecuTorch's names of dtypes: the usual name, and bytes per value.
DTYPES = {
    "BYTE": ("uint8", 1),
    "CHAR": ("int8", 1),
    "BOOL": ("bool", 1),
    "SHORT": ("int16", 2),
    "HALF": ("float16", 2),
    "BFLOAT16": ("bfloat16", 2),
    "INT": ("int32", 4),
    "FLOAT": ("float32", 4),
    "LONG": ("int64", 8),
    "DOUBLE": ("float64", 8),
}


@dataclass(frozen=True)
class Place:
    """The place of a tensor in the arena, in bytes, with its dtype."""

    offset: int
    bytes: int
    dtype: str

    def overlaps(self, other: "Place") -> bool:
        return self.offset < other.offset + other.bytes and other.offset < self.offset + self.bytes


@dataclass
class Storage:
    """A tensor in the arena.

    Attributes:
        value: index of the value that is written first.
        writer: index of the call that writes it; None for inputs and buffers.
        first: index of the first call that uses it.
        last: index of the last call that uses it.
    """

    value: int
    place: Place
    shape: tuple[int, ...]
    writer: int | None
    first: int
    last: int


class Storages:
    """Follows the calls of a program, and collects the tensors in its arena.

    Attributes:
        all: the tensors, in the order in which they are written.
        calls: the calls; views are replaced by the value that is written first.
    """

    def __init__(self, method: Any, calls: Sequence[Call], buffers: Collection[int]) -> None:
        """Follow the calls.

        Args:
            buffers: indices of the values that are in use all the time, such as the cache.
        """
        self._method = method
        self._bases = _bases(method.non_const_buffer_sizes)
        self._of_value: dict[int, Storage] = {}
        # The tensors whose content no later tensor has overwritten.
        self._intact: list[Storage] = []
        self.all: list[Storage] = []
        end = len(calls) - 1
        for index in [*method.inputs, *buffers]:
            self._add(index, None, 0, end if index in buffers else 0)
        self.calls = [self._followed(number, call) for number, call in enumerate(calls)]
        for output in method.outputs:
            for index in members(method, output):
                if index in self._of_value:
                    self._of_value[index].last = end

    def overlap(self) -> bool:
        """Whether two tensors overlap while both are in use; in a plan that is read correctly, none do."""
        live: list[Storage] = []
        for storage in sorted(self.all, key=lambda each: each.first):
            live = [each for each in live if each.last >= storage.first]
            if any(each.place.overlaps(storage.place) for each in live):
                return True
            live.append(storage)
        return False

    def _followed(self, number: int, call: Call) -> Call:
        reads = tuple(self._read(index, number) for index in call.reads)
        return replace(
            call, reads=reads, writes=tuple(self._write(index, number, reads) for index in call.writes)
        )

    def _read(self, index: int, number: int) -> int:
        place = self._place(index)
        if place is None:
            return index
        if index not in self._of_value:
            viewed = next((each for each in self._intact if each.place == place), None)
            if viewed is None:
                self._add(index, number, number, number)  # memory that the call may use
            else:
                self._of_value[index] = viewed
        return self._used(index, number)

    def _write(self, index: int, number: int, reads: Sequence[int]) -> int:
        place = self._place(index)
        if place is None:
            return index
        if index not in self._of_value:
            inputs = [self._of_value[read] for read in reads if read in self._of_value]
            viewed = next((each for each in inputs if each.place == place), None)
            if viewed is None:
                self._add(index, number, number, number)
            else:
                self._of_value[index] = viewed
        return self._used(index, number)

    def _used(self, index: int, number: int) -> int:
        storage = self._of_value[index]
        storage.last = max(storage.last, number)
        return storage.value

    def _add(self, index: int, writer: int | None, first: int, last: int) -> None:
        place = self._place(index)
        if place is None or index in self._of_value:
            return
        shape = tuple(self._method.values[index].val.sizes)
        storage = Storage(index, place, shape, writer, first, last)
        self._of_value[index] = storage
        self._intact = [each for each in self._intact if not each.place.overlaps(place)] + [storage]
        self.all.append(storage)

    def _place(self, index: int) -> Place | None:
        """The place of a value in the arena; None for constants, numbers, lists and empty tensors."""
        value = self._method.values[index].val
        allocation = getattr(value, "allocation_info", None)
        if allocation is None:
            return None
        dtype, item = DTYPES[value.scalar_type.name]
        size = aligned(item * math.prod(value.sizes))
        if not size:
            return None
        return Place(self._bases[allocation.memory_id] + allocation.memory_offset, size, dtype)


def _bases(sizes: Sequence[int]) -> list[int]:
    """The offsets of a program's arenas, one after the other."""
    return [sum(sizes[:index]) for index in range(len(sizes))]
