"""The result of a training: scores, times, and the written checkpoint."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nf_edge.training.evaluate import Evaluation


@dataclass(frozen=True)
class Trained:
    """One trained model.

    Attributes:
        attention: `standard`, or the kind of the learned noise.
        parameters: number of parameters for inference.
        test: score on held-out data, with the weights as saved.
        valid: score on validation data at `best_step`.
        best_step: the step with the best validation score, whose weights are saved.
        sigma: learned σ of the random noise, one tuple per layer with a value per head; None without random
            noise.
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
    """The written checkpoint, and the models with other attention that it is compared with.

    Attributes:
        path: the written checkpoint.
        examples: score of a classifier on the rows saved with it; None if there are none.
        comparison: models of the same recipe with other attention.
        teachers: score of the teachers on the validation data; None without teachers.
        bytes_per_token: bytes per token of the test text, to compare perplexities across vocabularies; None
            unless the data is a language model's text file.
        notes: other remarks for the user.
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
