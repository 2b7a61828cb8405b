"""Decoding with a cache: the one way in which a language model is asked token by token.

PyTorch and every runtime have a decoder each; what generates, checks or compares takes any of them.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch

from nf_edge.core.errors import BadInput
from nf_edge.model.cache import KVCache
from nf_edge.model.finite import finite
from nf_edge.model.network import CausalLM


class Decoder(ABC):
    """A language model together with its key/value cache.

    Attributes:
        capacity: positions that the cache has.
        length: how many of them are taken, from 0 on.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.length = 0

    def feed(self, tokens: Sequence[int], start: int) -> np.ndarray:
        """Process the tokens at `start` and after it; the cache forgets what it held from there on.

        A prompt is fed as one piece or in several, then each new token by itself.

        Args:
            tokens: ids, at least one.
            start: from 0 to `length`.

        Returns:
            float32 [V], the logits of the last token.

        Raises:
            BadInput: the tokens do not fit the cache.
            ValueError: there are no tokens, or some positions before them were never fed.
        """
        if not tokens:
            raise ValueError("no tokens")
        if not 0 <= start <= self.length:
            raise ValueError(f"tokens at position {start}, but the cache holds {self.length}")
        end = start + len(tokens)
        if end > self.capacity:
            raise BadInput(
                f"{end} tokens do not fit the cache, which has {self.capacity} positions",
                fix="use a shorter text, or feed it anew from its last tokens",
            )
        logits = self._feed(np.array(tokens, dtype=np.int64), start)
        self.length = end
        return logits

    @abstractmethod
    def _feed(self, tokens: np.ndarray, start: int) -> np.ndarray:
        """`feed` of checked arguments; tokens are int64 [T]."""


class TorchDecoder(Decoder):
    """The network in PyTorch, float32."""

    def __init__(self, model: CausalLM) -> None:
        super().__init__(model.config.n_positions)
        self._model, self._cache = model, KVCache(model.config)

    def _feed(self, tokens: np.ndarray, start: int) -> np.ndarray:
        self._cache.rewind(start)
        with torch.no_grad():
            logits = finite(self._model, torch.from_numpy(tokens)[None], cache=self._cache)
        last: np.ndarray = logits[0, -1].numpy()
        return last
