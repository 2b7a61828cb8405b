"""A language model with its cache as one ExecuTorch method, for prefill and for decoding.

Its signature and its constant methods follow ExecuTorch's TextLLMRunner (extension/llm/runner in
github.com/pytorch/executorch).
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nf_edge.model import CausalLM, Decoder, ModelConfig

INPUTS = ("tokens", "start")


class PlacedCache(nn.Module):
    """A cache inside the program; the caller chooses the positions of the next tokens.

    Attributes:
        start: int64 [1], position of the first of the next tokens.
    """

    start: Tensor

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity
        self._positions = torch.zeros(0, dtype=torch.int64)

    def begin(self, start: Tensor) -> None:
        """Set the position of the next tokens to `start`, int64 [1]."""
        self.start = start

    def advance(self, length: int) -> tuple[Tensor, int]:
        self._positions = self.start + torch.arange(length)
        return self._positions, self.capacity


class InPlaceCache(PlacedCache):
    """K and V of every layer as buffers [1, H, capacity, d]; new tokens are written at their positions.

    Attention gets the complete buffers, and a mask hides the unfilled part.  Slicing off the filled part
    would create shapes that depend on values, and XNNPACK accepts no operator with these shapes.  Slicing was
    measured with 4 layers of width 768 and 1,024 positions (one thread, x86-64).  A prefill took 1,369 ms
    instead of 431 ms.  The last decoding step took 23.7 ms instead of 5.3 ms.  The first one took 5.0 ms
    instead of 5.1 ms.
    """

    def __init__(self, config: ModelConfig, capacity: int) -> None:
        super().__init__(capacity)
        for layer, (heads, _) in enumerate(config.layer_sizes):
            for name in "kv":
                empty = torch.zeros(1, heads, capacity, config.head_size)
                self.register_buffer(f"{name}{layer}", empty, persistent=False)

    def append(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        keys, values = self.get_buffer(f"k{layer}"), self.get_buffer(f"v{layer}")
        keys.index_copy_(2, self._positions, k)
        values.index_copy_(2, self._positions, v)
        return keys, values


class DecoderProgram(nn.Module):
    """The program: (tokens int64 [1, T], start int64 [1]) → logits of the last token, float32 [1, 1, V]."""

    def __init__(self, model: CausalLM, cache: PlacedCache) -> None:
        super().__init__()
        self.model, self.cache = model, cache

    def forward(self, tokens: Tensor, start: Tensor) -> Tensor:
        self.cache.begin(start)
        return self.model.lm_head(self.model.transformer(tokens, cache=self.cache, output_tokens="last"))


def network_of(program: nn.Module) -> nn.Module:
    """The network of a program, which a decoder holds."""
    return program.model if isinstance(program, DecoderProgram) else program


def example(capacity: int) -> tuple[tuple[Tensor, Tensor], Any]:
    """Example inputs to export a DecoderProgram, and their dynamic dimensions."""
    # `torch.export` would make a constant of a length of 1.
    tokens = torch.zeros(1, min(capacity, 8), dtype=torch.int64)
    length = torch.export.Dim("length", min=1, max=capacity) if capacity > 1 else None
    return (tokens, torch.zeros(1, dtype=torch.int64)), ({1: length} if length else None, None)


class ExecutorchDecoder(Decoder):
    """A decoder that runs a DecoderProgram, loaded from its file."""

    def __init__(self, method: Any, capacity: int) -> None:
        super().__init__(capacity)
        self._method = method

    def _feed(self, tokens: np.ndarray, start: int) -> np.ndarray:
        inputs = [torch.from_numpy(tokens)[None], torch.tensor([start])]
        # The output lives in the method's arena, which the next run overwrites.
        logits: np.ndarray = self._method.execute(inputs)[0].numpy()[0, 0].copy()
        return logits


# Indices of arguments that an operator writes in place: keys, values, and scales of an int8 cache.  A
# delegate's new cache is copied over the old one.
CACHE_ARGUMENTS = {
    "aten::index_put_": (0,),
    "aten::copy_": (0,),
    "nf::symmetric_attention_cached": (1, 2, 3, 4),
}


def cache_bytes(method: Any) -> int:
    """Bytes of the cache: the buffers that a parsed execution plan updates in place."""
    return sum(cache_values(method).values())


def cache_values(method: Any) -> dict[int, int]:
    """Map the index of each value that is a part of the cache to its bytes."""
    operators = [operator.name for operator in method.operators]
    written: dict[int, int] = {}
    for chain in method.chains:
        for instruction in chain.instructions:
            call = instruction.instr_args
            index = getattr(call, "op_index", None)
            for position in CACHE_ARGUMENTS.get(operators[index], ()) if index is not None else ():
                tensor = method.values[call.args[position]].val
                if sizes := getattr(tensor, "sizes", None):
                    written[call.args[position]] = _element_bytes(tensor) * math.prod(sizes)
    return written


def _element_bytes(tensor: Any) -> int:
    return 1 if tensor.scalar_type.name == "CHAR" else 4
