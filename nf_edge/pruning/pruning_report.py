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
    """The result of `compress_checkpoint`: sizes and scores before and after."""

    path: Path
    """The new checkpoint."""
    before: Sizes
    after: Sizes
    tested_on: str
    """The source of the data that scores and divergence are measured on."""
    reencoded: tuple[int, int] | None
    """Number of test documents that the smaller tokenizer encodes differently, and number of all test
    documents; None if no token was dropped.
    """
    original: Evaluation
    """Scores of the original checkpoint."""
    pruned: Evaluation | None
    """Scores before recovery; None without recovery."""
    result: Evaluation
    """Scores of the new checkpoint."""
    divergence: Divergence | None
    """Divergence of the new checkpoint's predictions from the original's; None for a regression."""
    best_step: int | None
    """The step of recovery whose weights were kept; None without recovery."""
    rounded: bool
    """Whether `pruned`, `result` and `divergence` are measured with rounding as in the export."""
    zeros: float | None
    """Share of the linear layers' weights that are zero; None without `prune.weights`."""
    download: tuple[int, int]
    """Compressed bytes of all weights, before and after; zeros reduce only this size."""
    notes: tuple[str, ...]
    """Remarks on how the rows were read."""

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
