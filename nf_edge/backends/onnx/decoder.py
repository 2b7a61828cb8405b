"""A language model with its cache as an ONNX model, for prefill and for decoding.

Inputs and outputs have the names of Hugging Face's optimum, which onnxruntime-genai reads.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nf_edge.backends.onnx.attention import PastPresent
from nf_edge.backends.onnx.names import PAST
from nf_edge.model import CausalLM, Decoder, ModelConfig

TOKEN_INPUTS = ("input_ids", "attention_mask", "position_ids")
KINDS = ("key", "value")
# dtypes of keys and values, by the runtime's names.
CACHE_DTYPES = {"tensor(float)": np.float32, "tensor(int8)": np.int8}


def past_names(layers: int) -> list[str]:
    return [f"{PAST}{layer}.{kind}" for layer in range(layers) for kind in KINDS]


def present_names(layers: int) -> list[str]:
    return [f"present.{layer}.{kind}" for layer in range(layers) for kind in KINDS]


class DecoderProgram(nn.Module):
    """The program: token inputs and the past cache → logits of the last token, and the new cache.

    Inputs are input_ids [1, T], attention_mask [1, past + T] and position_ids [1, T], all int64.  K and V of
    every layer are float32 [1, H, past, d]; the outputs include the new tokens.  Logits are float32
    [1, 1, V].
    """

    def __init__(self, model: CausalLM) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor, past: list[Tensor]
    ) -> tuple[Tensor, ...]:
        pairs = list(zip(past[::2], past[1::2], strict=True))
        cache = PastPresent(pairs, position_ids[0], attention_mask.shape[1])
        self.model.transformer.form = cache
        h = self.model.transformer(input_ids, attention_mask, cache, output_tokens="last")
        present = [tensor for pair in cache.present for tensor in pair]
        # The head multiplies a matrix: with three dimensions the exporter would store a transposed copy of a
        # tied head.
        return (self.model.lm_head(h[:, 0])[:, None], *present)


def example(config: ModelConfig) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Example inputs to export a DecoderProgram, and their dynamic dimensions."""
    # `torch.export` would make constants of lengths 0 and 1.
    length, before = 3, 2
    past = [torch.zeros(1, heads, before, config.head_size) for heads, _ in config.layer_sizes for _ in KINDS]
    integers = tuple(torch.ones(1, n, dtype=torch.int64) for n in (length, before + length, length))
    grows = torch.export.Dim.DYNAMIC
    return (*integers, past), (*({1: grows} for _ in integers), [{2: grows} for _ in past])


class OrtDecoder(Decoder):
    """A decoder that runs a DecoderProgram, loaded from its file."""

    def __init__(self, session: Any, capacity: int) -> None:
        super().__init__(capacity)
        self._session = session
        self._past = {
            entry.name: np.zeros((1, entry.shape[1], 0, entry.shape[3]), CACHE_DTYPES[entry.type])
            for entry in session.get_inputs()
            if entry.name not in TOKEN_INPUTS
        }

    def _feed(self, tokens: np.ndarray, start: int) -> np.ndarray:
        # Drop the later positions before the run, which needs memory for all positions again.  A view would
        # keep them.
        past = {
            name: kept if kept.shape[2] == start else kept[:, :, :start].copy()
            for name, kept in self._past.items()
        }
        self._past, end = past, start + len(tokens)
        feed = {
            "input_ids": tokens[None],
            "attention_mask": np.ones((1, end), np.int64),
            "position_ids": np.arange(start, end)[None],
            **past,
        }
        logits, *present = self._session.run(None, feed)
        self._past = dict(zip(past, present, strict=True))
        last: np.ndarray = logits[0, 0]
        return last
