"""Run a program in PyTorch, with the interface of a session or of a decoder."""

import numpy as np
import torch
from torch import nn

from nf_edge.backends.base import Session
from nf_edge.backends.input_shape import InputShape
from nf_edge.model import Decoder


def eager(program: nn.Module, input_shape: InputShape) -> Session | Decoder:
    """Wrap an ExecuTorch backend's program to run it in PyTorch; a program with a cache becomes a decoder."""
    return _EagerDecoder(program, input_shape.length) if input_shape.cached else _EagerSession(program)


class _EagerSession:
    def __init__(self, program: nn.Module) -> None:
        self._program = program

    @torch.no_grad()
    def run(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        """Compute float32 logits from `input_ids` and `attention_mask`, int64 [1, T] each."""
        logits: np.ndarray = self._program(*map(torch.from_numpy, (input_ids, attention_mask))).numpy()
        return logits


class _EagerDecoder(Decoder):
    def __init__(self, program: nn.Module, capacity: int) -> None:
        super().__init__(capacity)
        self._program = program

    @torch.no_grad()
    def _feed(self, tokens: np.ndarray, start: int) -> np.ndarray:
        logits: np.ndarray = self._program(torch.from_numpy(tokens)[None], torch.tensor([start])).numpy()
        return logits[0, 0].copy()
