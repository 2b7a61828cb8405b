"""The logits of a row's predictions, from a network in PyTorch, a session or a decoder."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from nf_edge.backends.base import Session
from nf_edge.measure.accuracy.predict import step_by_step
from nf_edge.model import Decoder, ModelConfig, NoiseFormer
from nf_edge.model.data.batches import pad
from nf_edge.model.data.rows import Row
from nf_edge.model.finite import finite

# The logits [Q, C] of a row's Q predictions, and the index of the row in the data.
Predict = Callable[[Row, int], np.ndarray]


def of_network(network: NoiseFormer, source: str) -> Predict:
    """A function that computes the logits of a row with a network in PyTorch.

    Args:
        source: name of the data, for the message if logits are not finite.
    """

    @torch.no_grad()
    def predict(row: Row, index: int) -> np.ndarray:
        logits = finite(network, torch.tensor([row.input_ids]), rows=source, first=index).numpy()
        return logits[0, :-1] if network.config.is_language_model else logits

    return predict


def of_runner(runner: Session | Decoder, config: ModelConfig, length: int | None) -> Predict:
    """A function that computes the logits of a row in a session or a decoder; a decoder reads it token by
    token.

    Args:
        length: pad rows to this length; None: rows are not padded.
    """
    if isinstance(runner, Decoder):
        return partial(_decoded, runner, config.vocab_size)

    def predict(row: Row, index: int) -> np.ndarray:
        logits = runner.run(*pad([row], config.pad_token_id, length))
        return logits[0, : len(row.input_ids) - 1] if config.is_language_model else logits

    return predict


def _decoded(decoder: Decoder, vocabulary: int, row: Row, index: int) -> np.ndarray:
    ids = row.input_ids[:-1]
    return step_by_step(decoder, ids) if ids else np.zeros((0, vocabulary), np.float32)
