"""What quantizing each unit of a network alone costs its answers, all others being float32.

A unit is what is quantized together: a linear layer, K with its noise (which stays float32, but is multiplied
with the rounded K), a table, or a table and the head tied to it.  Its cost is the mean Kullback-Leibler
divergence of the answers from the checkpoint's, its weights and inputs being rounded as a runtime will.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nf_edge.accuracy.faithful import divergence
from nf_edge.compress.simulate import Change, changed
from nf_edge.data.rows import Row
from nf_edge.errors import BadInput
from nf_edge.intervals import clustered_error
from nf_edge.model import ModelConfig, NoiseFormer
from nf_edge.precision import Runtime
from nf_edge.progress import Progress
from nf_edge.recipe import Rule
from nf_edge.report import Figure
from nf_edge.rules import TOKENS

HEAD = "lm_head"
# Tokens whose logits are compared at once.
PIECE = 128


@dataclass(frozen=True)
class Unit:
    """Modules that are quantized together."""

    modules: tuple[str, ...]

    @property
    def name(self) -> str:
        return " + ".join(self.modules)


def units_of(config: ModelConfig) -> list[Unit]:
    """The units of a model, in its order."""
    names = list(config.matrix_shapes())
    if not (config.is_language_model and config.tie_word_embeddings):
        return [Unit((name,)) for name in names]
    return [Unit((TOKENS, HEAD) if name == TOKENS else (name,)) for name in names if name != HEAD]


@dataclass(frozen=True)
class Cost:
    """Of quantizing one unit to one precision.

    Attributes:
        rule: what asks for it.
        dtype: what its weights become, in words.
        kl: mean divergence of the answers from the checkpoint's, in nats.
        kl_error: its standard error; None where one text is all that was asked.
        output_snr: signal against the noise of its rounded weights, of its output; the lowest of its modules.
        bytes: what it takes of the model file, with its scales.
        saved: bytes less than in float32.
    """

    rule: Rule
    dtype: str
    kl: float
    kl_error: float | None
    output_snr: Figure
    bytes: int
    saved: int

    @property
    def kl_per_kb(self) -> float:
        """Nats for each kB that it saves."""
        return self.kl / (self.saved / 1000)

    def to_json(self) -> dict[str, Any]:
        return {
            "dtype": self.dtype,
            "kl": self.kl,
            "kl_error": self.kl_error,
            "output_snr": self.output_snr.to_json(),
            "bytes": self.bytes,
            "saved_bytes": self.saved,
            "kl_per_saved_kb": self.kl_per_kb,
        }


@dataclass(frozen=True)
class UnitCosts:
    """What a unit takes in float32, and what each of its other precisions costs, the widest first."""

    unit: Unit
    float_bytes: int
    costs: tuple[Cost, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "unit": self.unit.name,
            "modules": list(self.unit.modules),
            "float32_bytes": self.float_bytes,
            "costs": [cost.to_json() for cost in self.costs],
        }


def require_answers(config: ModelConfig, rows: Sequence[Row], source: str) -> None:
    """Refuse what has no probabilities to compare.

    Raises:
        BadInput: the model is a regression, or no row has a next token.
    """
    if config.num_labels == 1:
        raise BadInput("num_labels is 1: a regression answers with no probabilities", where=source)
    if config.is_language_model and all(len(row.input_ids) < 2 for row in rows):
        raise BadInput("no row has two tokens, so there is no next token to predict", where=source)


