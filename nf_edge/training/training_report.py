"""What a training came to."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nf_edge.training.evaluate import Evaluation


@dataclass(frozen=True)
class Trained:
    """One trained model.

    Attributes:
        attention: `standard`, or the kind of the learned noise.
        parameters: those that inference uses.
        test: on held-out data, with the weights rounded as they are saved.
        best_step: the step whose weights are kept, for their score on validation data.
        sigma: of the random noise as it was learned, a list of heads a layer; None without random noise.
        seconds: wall time of training and validation.
    """

    attention: str
    parameters: int
    test: Evaluation
    valid: Evaluation
    best_step: int
    sigma: tuple[tuple[float, ...], ...] | None
    seconds: float

    def to_json(self) -> dict[str, Any]:
        return {
            "attention": self.attention,
            "parameters": self.parameters,
            "test": self.test.to_json(),
            "valid": self.valid.to_json(),
            "best_step": self.best_step,
            "sigma": self.sigma,
            "seconds": round(self.seconds, 1),
        }


@dataclass(frozen=True)
class TrainingReport:
    """The checkpoint that was written, and what it was compared with.

    Attributes:
        examples: how a classifier answers the rows that go with it, or None.
        comparison: the same recipe with other attention.
        teachers: how those that the models learned from answer the validation data, or None.
        bytes_per_token: of the test text, to compare perplexities across vocabularies; None without text.
        notes: what a user should know besides.
    """

    path: Path
    recipe: str
    seed: int
    model: Trained
    examples: Evaluation | None
    comparison: tuple[Trained, ...]
    teachers: Evaluation | None
    bytes_per_token: float | None
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "checkpoint": str(self.path),
            "recipe": self.recipe,
            "seed": self.seed,
            **self.model.to_json(),
            "examples": None if self.examples is None else self.examples.to_json(),
            "comparison": [other.to_json() for other in self.comparison],
            "teachers": None if self.teachers is None else self.teachers.to_json(),
            "bytes_per_token": self.bytes_per_token,
            "notes": list(self.notes),
        }
