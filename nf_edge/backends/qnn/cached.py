"""A language model with its cache in one graph of fixed shapes, for prefill and for decoding.

A call takes `CHUNK` tokens, of which those at the end may be padding: a prompt goes in chunk by chunk, a step
as one token and padding.  The application keeps keys and values: it gives those of all positions, and places
the new ones that come out.  Inputs and outputs have the names that backend onnx_cpu gives them.

All tokens of a call have logits, so that their range covers all calibration tokens.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nf_edge.backends.input_shape import OUTPUT, Inputs
from nf_edge.backends.onnx.decoder import TOKEN_INPUTS, past_names, present_names
from nf_edge.backends.qnn.form import HtpForm
from nf_edge.model import CausalLM, Decoder, ModelConfig
from nf_edge.model.attention_forms import HIDDEN_QUANTIZED

# Tokens of a call.
CHUNK = 16


class ChunkForm(HtpForm):
    """Keys are those of all positions, then those of the chunk."""

    def mask(self, attention_mask: Tensor | None, positions: Tensor, keys: int, causal: bool) -> Tensor:
        """[1, 1, CHUNK, keys], of an attention mask [1, capacity]."""
        assert attention_mask is not None
        empty = (1 - attention_mask[:, None, None].float()) * HIDDEN_QUANTIZED
        later = torch.triu(torch.full((1, 1, CHUNK, CHUNK), HIDDEN_QUANTIZED), 1)
        return torch.cat([empty.expand(1, 1, CHUNK, -1), later], dim=-1)


class ChunkCache:
    """The keys and values given, [1, H, capacity, d] for K and V of each layer, and those that come out."""

    def __init__(self, past: list[Tensor], positions: Tensor) -> None:
        self._past, self._positions = past, positions
        self.present: list[Tensor] = []

    def advance(self, length: int) -> tuple[Tensor, int]:
        return self._positions, self._past[0].shape[2] + length

    def append(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        self.present += [k, v]
        pasts = self._past[2 * layer : 2 * layer + 2]
        keys, values = (torch.cat(pair, dim=2) for pair in zip(pasts, (k, v), strict=True))
        return keys, values


class ChunkProgram(nn.Module):
    """(input_ids [1, CHUNK], attention_mask [1, capacity], position_ids [1, CHUNK], all int64, and K and V of
    every layer, float32 [1, H, capacity, d]) → logits of the chunk [1, CHUNK, V], and K and V of it
    [1, H, CHUNK, d].

    The mask is 1 at the positions that are filled.
    """

    def __init__(self, model: CausalLM) -> None:
        super().__init__()
        model.transformer.form = ChunkForm()
        self.model = model

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor, past: list[Tensor]
    ) -> tuple[Tensor, ...]:
        cache = ChunkCache(past, position_ids[0])
        return (self.model(input_ids, attention_mask, cache), *cache.present)


def inputs_of(config: ModelConfig) -> tuple[str, ...]:
    return (*TOKEN_INPUTS, *past_names(config.n_layer))


def outputs_of(config: ModelConfig) -> list[str]:
    return [OUTPUT, *present_names(config.n_layer)]


def example(config: ModelConfig, capacity: int) -> tuple[Any, ...]:
    """Inputs to export a ChunkProgram with."""
    past = [
        torch.zeros(1, heads, capacity, config.head_size) for heads, _ in config.layer_sizes for _ in "kv"
    ]
    return (*(torch.ones(1, n, dtype=torch.int64) for n in (CHUNK, capacity, CHUNK)), past)


class ChunkDecoder(Decoder):
    """A session of such a model, and the keys and values that its calls take."""

    def __init__(self, session: Any, capacity: int) -> None:
        super().__init__(capacity)
        self._session = session
        self._past = {
            entry.name: np.zeros(entry.shape, np.float32)
            for entry in session.get_inputs()
            if entry.name not in TOKEN_INPUTS
        }

    def _feed(self, tokens: np.ndarray, start: int) -> np.ndarray:
        logits = np.empty(0, np.float32)
        for chunk, feed in self._calls(tokens, start):
            logits = self._run(feed, len(chunk))
        return logits

    def feeds(self, tokens: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
        """The session's inputs for tokens that start at a position, after all tokens before it."""
        for chunk, feed in self._calls(tokens, 0):
            yield {name: array.copy() for name, array in feed.items()}
            self._run(feed, len(chunk))

    def _calls(self, tokens: np.ndarray, start: int) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        """Tokens, at most a chunk, and what the session is given for them."""
        for at in range(0, len(tokens), CHUNK):
            chunk, first = tokens[at : at + CHUNK], start + at
            ids = np.zeros((1, CHUNK), np.int64)
            ids[0, : len(chunk)] = chunk
            filled = (np.arange(self.capacity) < first).astype(np.int64)[None]
            positions = np.minimum(np.arange(first, first + CHUNK), self.capacity - 1)[None]
            yield chunk, dict(zip(TOKEN_INPUTS, (ids, filled, positions), strict=True)) | self._past

    def _run(self, feed: dict[str, np.ndarray], count: int) -> np.ndarray:
        """The logits of the last of so many tokens, whose keys and values are kept."""
        logits, *present = self._session.run(None, feed)
        first = int(feed["position_ids"][0, 0])
        for name, new in zip(self._past, present, strict=True):
            self._past[name][:, :, first : first + count] = new[:, :, :count]
        last: np.ndarray = logits[0, count - 1]
        return last


def calibration_feeds(
    session: Any, capacity: int, calibration_inputs: Inputs
) -> Iterator[dict[str, np.ndarray]]:
    """Rows as prompts, with keys and values that a float32 model made of what stands before each chunk."""
    for ids, mask in calibration_inputs:
        yield from ChunkDecoder(session, capacity).feeds(ids[0, : int(mask.sum())])
