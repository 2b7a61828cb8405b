"""A language model with its cache as one graph of fixed shapes, for prefill and for decoding.

A call processes `CHUNK` tokens; the last ones may be padding.  A prompt is fed chunk by chunk, and a step is
one token with padding.  The application stores keys and values.  It passes the keys and values of all
positions to each call, and copies the new ones from the outputs.  Inputs and outputs have the same names as
in backend onnx_cpu.

All tokens of a call have logits, so that the calibrated range covers all calibration tokens.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nf_edge.backends.input_shape import OUTPUT, Inputs
from nf_edge.backends.onnx.decoder import TOKEN_INPUTS, past_names, present_names
from nf_edge.backends.qnn.form import HtpForm
from nf_edge.backends.qnn.spec import CHUNK
from nf_edge.model import CausalLM, Decoder, ModelConfig
from nf_edge.model.attention_forms import HIDDEN_QUANTIZED


class ChunkForm(HtpForm):
    """An `AttentionForm` for a chunk; its keys are the cached keys of all positions, followed by the chunk's
    keys.
    """

    def mask(self, attention_mask: Tensor | None, positions: Tensor, keys: int, causal: bool) -> Tensor:
        """A mask [1, 1, CHUNK, keys] from an attention mask [1, capacity]."""
        assert attention_mask is not None
        empty = (1 - attention_mask[:, None, None].float()) * HIDDEN_QUANTIZED
        later = torch.triu(torch.full((1, 1, CHUNK, CHUNK), HIDDEN_QUANTIZED), 1)
        return torch.cat([empty.expand(1, 1, CHUNK, -1), later], dim=-1)


class ChunkCache:
    """Cached keys and values of each layer, [1, H, capacity, d], and the new ones of the chunk."""

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
    """The program: a chunk of tokens and the cache → logits [1, CHUNK, V], and the chunk's K and V [1, H,
    CHUNK, d].

    Inputs are input_ids [1, CHUNK], attention_mask [1, capacity] and position_ids [1, CHUNK], all int64.  K
    and V of every layer are float32 [1, H, capacity, d].  The mask is 1 at filled positions.
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
    """Example inputs to export a ChunkProgram."""
    past = [
        torch.zeros(1, heads, capacity, config.head_size) for heads, _ in config.layer_sizes for _ in "kv"
    ]
    return (*(torch.ones(1, n, dtype=torch.int64) for n in (CHUNK, capacity, CHUNK)), past)


class ChunkDecoder(Decoder):
    """A decoder that runs a ChunkProgram and stores its keys and values."""

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
        """The session's inputs for each chunk of a prompt, with the cache of the earlier chunks."""
        for chunk, feed in self._calls(tokens, 0):
            yield {name: array.copy() for name, array in feed.items()}
            self._run(feed, len(chunk))

    def _calls(self, tokens: np.ndarray, start: int) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        """Chunks of at most `CHUNK` tokens, each with the session's inputs.

        Args:
            start: position of the first token.
        """
        for at in range(0, len(tokens), CHUNK):
            chunk, first = tokens[at : at + CHUNK], start + at
            ids = np.zeros((1, CHUNK), np.int64)
            ids[0, : len(chunk)] = chunk
            filled = (np.arange(self.capacity) < first).astype(np.int64)[None]
            positions = np.minimum(np.arange(first, first + CHUNK), self.capacity - 1)[None]
            yield chunk, dict(zip(TOKEN_INPUTS, (ids, filled, positions), strict=True)) | self._past

    def _run(self, feed: dict[str, np.ndarray], count: int) -> np.ndarray:
        """Run a chunk of `count` tokens, store its keys and values, and return the logits of its last
        token.
        """
        logits, *present = self._session.run(None, feed)
        first = int(feed["position_ids"][0, 0])
        for name, new in zip(self._past, present, strict=True):
            self._past[name][:, :, first : first + count] = new[:, :, :count]
        last: np.ndarray = logits[0, count - 1]
        return last


def calibration_feeds(
    session: Any, capacity: int, calibration_inputs: Inputs
) -> Iterator[dict[str, np.ndarray]]:
    """The model's inputs for each chunk of the calibration rows.

    Args:
        session: runs the float32 model, which computes the keys and values of earlier chunks.
    """
    for ids, mask in calibration_inputs:
        yield from ChunkDecoder(session, capacity).feeds(ids[0, : int(mask.sum())])
