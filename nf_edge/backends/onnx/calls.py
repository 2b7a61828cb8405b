"""How an ONNX model is called to read the outputs of its layers for a row of tokens."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from onnx import ModelProto
from torch import Tensor

from nf_edge.backends.onnx.feed import feed

Feed = dict[str, np.ndarray]


@dataclass(frozen=True)
class Calls:
    """The calls of a model for one row.

    Attributes:
        feeds: makes the inputs of each call from token ids and mask, int64 [1, T] each.
        chunk: the number of tokens of each call; the last call has padding.  None if one call takes the
            complete row.
    """

    feeds: Callable[[tuple[Tensor, ...]], Iterable[Feed]]
    chunk: int | None = None

    def joined(self, values: list[np.ndarray], tokens: int) -> Tensor:
        """One tensor [..., T, D] from the values of all calls, without padding.

        Args:
            tokens: T.
        """
        if self.chunk is None:
            return torch.from_numpy(values[0])
        return torch.from_numpy(np.concatenate(values, -2)[..., :tokens, :])

    def part(self, value: Tensor, call: int, shape: tuple[int, ...]) -> np.ndarray:
        """The values of one call's tokens, in the shape that the model needs; padding is 0.

        Args:
            value: the values of all tokens.
            call: the index of the call.
        """
        if self.chunk is None:
            return value.reshape(shape).numpy()
        part = value.numpy()[..., call * self.chunk : (call + 1) * self.chunk, :]
        padding = [(0, 0)] * (part.ndim - 2) + [(0, self.chunk - part.shape[-2]), (0, 0)]
        return np.pad(part, padding).reshape(shape)

    def first(self, expected: Tensor, shape: tuple[int, ...]) -> np.ndarray | None:
        """The expected values of the first call, to compare with a tensor of the model.

        None if a tensor of this shape cannot have them.

        Args:
            expected: the values of all tokens.
        """
        if self.chunk is None:
            return expected.numpy().reshape(shape) if expected.numel() == np.prod(shape) else None
        if expected.dim() < 2 or shape[-2:] != (self.chunk, expected.shape[-1]):
            return None
        return self.part(expected, 0, (*expected.shape[:-2], *shape[-2:]))


def one_call(model: ModelProto) -> Calls:
    """A model that takes all tokens of a row in one call."""
    return Calls(lambda inputs: [feed(model, *(tensor.numpy() for tensor in inputs))])
