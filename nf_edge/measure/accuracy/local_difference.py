"""The difference between a model file's logits on another core and on this machine."""

import math
from dataclasses import dataclass

import numpy as np

from nf_edge.backends.base import Session
from nf_edge.measure.accuracy.predictions import NOTHING, answers_of
from nf_edge.model import Decoder
from nf_edge.model.config import Task


@dataclass
class LocalDifference:
    """The difference of a core's predictions from this machine's, accumulated over runs.

    Attributes:
        questions: number of predictions.
        flips: number of predictions that differ, or that are not finite; for a regression, only the latter.
        off: the largest difference of a logit.
        largest: the largest absolute logit on this machine.
        task: the model's task.
    """

    questions: int = 0
    flips: int = 0
    off: float = 0.0
    largest: float = 0.0
    task: Task = "classification"

    def note(self, remote: np.ndarray, local: np.ndarray) -> None:
        """Add one run: the logits [..., C] on the core (`remote`) and on this machine (`local`)."""
        there, here = (answers_of(logits, self.task) for logits in (remote, local))
        # Two cores rarely compute exactly the same number of a regression.
        flipped = np.isnan(there) if self.task == "regression" else (there != here) | (there == NOTHING)
        if self.task == "multi-label classification":
            flipped = flipped.any(axis=-1)
        largest = _most(remote - local), _most(local)
        self.add(LocalDifference(flipped.size, int(flipped.sum()), *largest))

    def add(self, other: "LocalDifference") -> None:
        self.questions += other.questions
        self.flips += other.flips
        self.off, self.largest = max(self.off, other.off), max(self.largest, other.largest)

    def to_array(self) -> np.ndarray:
        """`questions`, `flips`, `off` and `largest` as float64 [4]; `from_array` is the inverse."""
        return np.array([self.questions, self.flips, self.off, self.largest], np.float64)

    @classmethod
    def from_array(cls, array: np.ndarray) -> "LocalDifference":
        questions, flips, off, largest = array.tolist()
        return cls(int(questions), int(flips), off, largest)

    @property
    def share(self) -> float:
        """The largest difference of a logit / the largest absolute logit.

        Infinite if the largest logit is 0, or if a logit is not finite.
        """
        if not self.off:
            return 0.0
        return self.off / self.largest if math.isfinite(self.off) and self.largest else math.inf


def _most(logits: np.ndarray) -> float:
    """The largest absolute logit; infinite if a logit is NaN."""
    largest = float(np.abs(logits).max(initial=0.0))
    return math.inf if math.isnan(largest) else largest


def compared_with_local(
    remote: Session | Decoder, local: Session | Decoder, difference: LocalDifference
) -> Session | Decoder:
    """A session that runs a row in both sessions, and returns `remote`'s logits.

    Each run adds the difference of the logits to `difference`.
    """
    if isinstance(remote, Decoder):
        assert isinstance(local, Decoder)
        return _ComparedDecoder(remote, local, difference)
    assert not isinstance(local, Decoder)
    return _ComparedSession(remote, local, difference)


class _ComparedSession:
    def __init__(self, remote: Session, local: Session, difference: LocalDifference) -> None:
        self._remote, self._local, self._difference = remote, local, difference

    def run(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        remote, local = (session.run(input_ids, attention_mask) for session in (self._remote, self._local))
        # A classifier has logits per row.  A language model has logits per token; those of padding are
        # ignored.
        self._difference.note(*(x[attention_mask > 0] if x.ndim == 3 else x for x in (remote, local)))
        return remote


class _ComparedDecoder(Decoder):
    def __init__(self, remote: Decoder, local: Decoder, difference: LocalDifference) -> None:
        super().__init__(remote.capacity)
        self._remote, self._local, self._difference = remote, local, difference

    def _feed(self, tokens: np.ndarray, start: int) -> np.ndarray:
        remote, local = (decoder.feed(tokens.tolist(), start) for decoder in (self._remote, self._local))
        self._difference.note(remote, local)
        return remote
