"""What came of pruning and recovery."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nf_edge.core.notebook import Shown
from nf_edge.measure.accuracy.divergence import Divergence
from nf_edge.model import Checkpoint
from nf_edge.training.evaluate import Evaluation


@dataclass(frozen=True)
class Sizes:
    """Of a checkpoint.

    Attributes:
        layers: (heads, inner units) of each.
    """

    parameters: int
    vocabulary: int
    layers: tuple[tuple[int, int], ...]

    @staticmethod
    def of(checkpoint: Checkpoint) -> "Sizes":
        config = checkpoint.config
        return Sizes(checkpoint.parameters, config.vocab_size, tuple(config.layer_sizes))


@dataclass(frozen=True)
class Shrunk(Shown):
    """A checkpoint made smaller.

    Attributes:
        tested_on: the data of `original`, `pruned`, `result` and `divergence`.
        otherwise: (how many, of how many) documents of it the smaller tokenizer encodes otherwise; None where
            no token was dropped.
        pruned: before recovery; None where there was none.
        divergence: the answers of `result` beside those of the original; None for a regression.
        best_step: of recovery; None where there was none.
        rounded: whether `pruned`, `result` and `divergence` are of the network that rounds as export will.
        zeros: share of the linear layers' weights that `prune.weights` made zero; None: it was not asked to.
        download: bytes of all weights, compressed, before and after: all that zeros save.
    """

    path: Path
    before: Sizes
    after: Sizes
    tested_on: str
    otherwise: tuple[int, int] | None
    original: Evaluation
    pruned: Evaluation | None
    result: Evaluation
    divergence: Divergence | None
    best_step: int | None
    rounded: bool
    zeros: float | None
    download: tuple[int, int]

    def to_json(self) -> dict[str, Any]:
        return {"path": str(self.path), **self.facts()}

    def facts(self) -> dict[str, Any]:
        """All but where it is, which is what the checkpoint itself records."""
        scores = (("original", self.original), ("pruned", self.pruned), ("result", self.result))
        return {
            "before": asdict(self.before),
            "after": asdict(self.after),
            "tested_on": self.tested_on,
            "encoded_otherwise": self.otherwise,
            **{name: None if score is None else score.to_json() for name, score in scores},
            "faithfulness": self.divergence.to_json() if self.divergence else None,
            "best_step": self.best_step,
            "rounded": self.rounded,
            "zeros": self.zeros,
            "compressed_bytes": self.download,
        }
