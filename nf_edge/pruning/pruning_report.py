"""The result of pruning and recovery: sizes and scores before and after."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nf_edge.core.notebook import HtmlValue
from nf_edge.measure.accuracy.divergence import Divergence
from nf_edge.model import Checkpoint
from nf_edge.training.evaluate import Evaluation


@dataclass(frozen=True)
class Sizes:
    """The size of a checkpoint.

    Attributes:
        vocabulary: number of tokens.
        layers: (heads, inner units) of each layer.
    """

    parameters: int
    vocabulary: int
    layers: tuple[tuple[int, int], ...]

    @staticmethod
    def of(checkpoint: Checkpoint) -> "Sizes":
        config = checkpoint.config
        return Sizes(checkpoint.parameters, config.vocab_size, tuple(config.layer_sizes))


@dataclass(frozen=True)
class PruningReport(HtmlValue):
    """The result of `compress_checkpoint`.

    Attributes:
        path: the new checkpoint.
        tested_on: the source of the data that scores and divergence are measured on.
        reencoded: number of test documents that the smaller tokenizer encodes differently, and number of all
            test documents; None if no token was dropped.
        original: scores of the original checkpoint.
        pruned: scores before recovery; None when there was no recovery.
        result: scores of the new checkpoint.
        divergence: predictions of the new checkpoint compared with the original's; None for a regression.
        best_step: the step of recovery whose weights were kept; None when there was no recovery.
        rounded: whether `pruned`, `result` and `divergence` were measured with weights and activations
            rounded as in the export.
        zeros: share of the linear layers' weights that are zero; None without `prune.weights`.
        download: compressed bytes of all weights, before and after; zeros reduce only this size.
        notes: remarks on how the rows were read.
    """

    path: Path
    before: Sizes
    after: Sizes
    tested_on: str
    reencoded: tuple[int, int] | None
    original: Evaluation
    pruned: Evaluation | None
    result: Evaluation
    divergence: Divergence | None
    best_step: int | None
    rounded: bool
    zeros: float | None
    download: tuple[int, int]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {"path": str(self.path), **self.facts()}

    def facts(self) -> dict[str, Any]:
        """All fields except the path as JSON values, as `compression.json` stores them."""
        scores = (("original", self.original), ("pruned", self.pruned), ("result", self.result))
        return {
            "before": asdict(self.before),
            "after": asdict(self.after),
            "tested_on": self.tested_on,
            "encoded_otherwise": self.reencoded,
            **{name: None if score is None else score.to_json() for name, score in scores},
            "faithfulness": self.divergence.to_json() if self.divergence else None,
            "best_step": self.best_step,
            "rounded": self.rounded,
            "zeros": self.zeros,
            "compressed_bytes": self.download,
            "notes": list(self.notes),
        }
