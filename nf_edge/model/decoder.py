"""Decoding with a key/value cache: the interface that runs a language model token by token.

PyTorch and every runtime implement it.  Generation and accuracy checks accept any implementation.
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
    """A language model with its key/value cache.

    Attributes:
        capacity: number of positions in the cache.
        length: number of positions in use, from position 0 on.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.length = 0

    def feed(self, tokens: Sequence[int], start: int) -> np.ndarray:
        """Process tokens from position `start` on; their keys and values replace the cache from `start` on.

        The prompt may be fed at once or in pieces.  After the prompt, each new token is fed alone.

        Args:
            tokens: token ids, at least one.
            start: position of the first token, from 0 to `length`.

        Returns:
            float32 [V], the logits after the last token.

        Raises:
            BadInput: the tokens do not fit into the cache.
            ValueError: there are no tokens, or positions before `start` were never fed.
        """
        if not tokens:
            raise ValueError("no tokens")
        if not 0 <= start <= self.length:
            raise ValueError(
                f"the tokens start at position {start}, but the cache holds only {self.length} tokens"
            )
        end = start + len(tokens)
        if end > self.capacity:
            raise BadInput(
                f"the text has {end} tokens, but the cache holds only {self.capacity}",
                fix="use a shorter text, or keep only its last tokens",
            )
        logits = self._feed(np.array(tokens, dtype=np.int64), start)
        self.length = end
        return logits

    @abstractmethod
    def _feed(self, tokens: np.ndarray, start: int) -> np.ndarray:
        """Process the tokens, int64 [T], as `feed` does; `feed` has already checked the arguments."""


class TorchDecoder(Decoder):
    """A decoder that runs the float32 network in PyTorch."""

    def __init__(self, model: CausalLM) -> None:
        super().__init__(model.config.n_positions)
        self._model, self._cache = model, KVCache(model.config)

    def _feed(self, tokens: np.ndarray, start: int) -> np.ndarray:
        self._cache.rewind(start)
        with torch.no_grad():
            logits = finite(self._model, torch.from_numpy(tokens)[None], cache=self._cache)
        last: np.ndarray = logits[0, -1].numpy()
        return last
