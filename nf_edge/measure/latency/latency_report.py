"""The latency report: medians of the rounds with quartiles, and ratios to the first artifact."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from nf_edge.core.figures import Figure, Unit
from nf_edge.core.intervals import ratio_of_medians
from nf_edge.core.notebook import HtmlValue

Phase = Literal["load", "prefill", "decode"]
Finding = Literal["faster", "slower", "no difference shown"]


@dataclass(frozen=True)
class Distribution:
    """Median and quartiles of a figure over the rounds."""

    median: Figure
    quartiles: tuple[Figure, Figure]

    @classmethod
    def of(cls, samples: Sequence[float], unit: Unit) -> "Distribution":
        low, middle, high = (
            Figure.of(float(value), unit, "measured") for value in np.quantile(samples, (0.25, 0.5, 0.75))
        )
        return cls(middle, (low, high))


@dataclass(frozen=True)
class Timing:
    """The times of one artifact.

    Attributes:
        time: ms to load, for a complete prefill, or for one decoded token.
        rate: tokens/s of a prefill or of decoding; None for loading.
    """

    time: Distribution
    rate: Distribution | None

    @classmethod
    def of(cls, samples: Sequence[float], tokens: int | None) -> "Timing":
        """Compute the timing from samples in milliseconds.

        Args:
            tokens: number of tokens that each sample processed; None for loading, which has no rate.
        """
        rate = None
        if tokens is not None:
            rate = Distribution.of([1e3 * tokens / ms if ms else math.inf for ms in samples], "tokens/s")
        return cls(Distribution.of(samples, "ms"), rate)


@dataclass(frozen=True)
class Speed:
    """The speed of the first artifact relative to another.

    Attributes:
        ratio: median time of the other artifact / median time of the first.
        interval: 95 % interval of the ratio.
    """

    ratio: Figure
    interval: tuple[Figure, Figure]

    @classmethod
    def of(cls, first: Sequence[float], other: Sequence[float]) -> "Speed":
        """Compute the speed from both artifacts' times in the same rounds."""
        note = "median time of the other artifact / of the first"
        with np.errstate(divide="ignore", invalid="ignore"):  # times of 0 have no ratio
            ratio = Figure.of(float(np.median(other) / np.median(first)), "ratio", "measured", note)
            low, high = (Figure.of(value, "ratio", "measured") for value in ratio_of_medians(other, first))
        return cls(ratio, (low, high))

    @property
    def inverse(self) -> "Speed":
        """The speed of the other artifact relative to the first."""
        note = "median time of the first artifact / of the other"
        ratio, high, low = (
            Figure.of(1 / figure.value if figure.value else math.inf, "ratio", "measured", text)
            for figure, text in ((self.ratio, note), (self.interval[0], ""), (self.interval[1], ""))
        )
        return Speed(ratio, (low, high))

    @property
    def finding(self) -> Finding:
        """The finding that the interval shows: the first artifact is faster, slower, or neither."""
        low, high = self.interval
        if low.value is not None and low.value > 1:
            return "faster"
        if high.value is not None and high.value < 1:
            return "slower"
        return "no difference shown"

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"finding": self.finding}


@dataclass(frozen=True)
class BenchRow:
    """One measurement.

    Attributes:
        phase: loading, prefill or decoding.
        threads: size of the runtime's thread pool.
        tokens: tokens of the prefill, or tokens in the cache before decoding; None for loading.
        rounds: number of samples of each artifact.
        timings: the times of each artifact.
        speeds: the speed of the first artifact relative to each of the others.
    """

    phase: Phase
    threads: int
    tokens: int | None
    rounds: int
    timings: tuple[Timing, ...]
    speeds: tuple[Speed, ...]

    @classmethod
    def of(
        cls, phase: Phase, threads: int, tokens: int | None, samples: Sequence[Sequence[float]]
    ) -> "BenchRow":
        """Make a row from samples in milliseconds: one list per artifact, with one entry per round."""
        processed = {"load": None, "prefill": tokens, "decode": 1}[phase]
        return cls(
            phase,
            threads,
            tokens,
            len(samples[0]),
            tuple(Timing.of(side, processed) for side in samples),
            tuple(Speed.of(samples[0], other) for other in samples[1:]),
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"speeds": [speed.to_json() for speed in self.speeds]}


@dataclass(frozen=True)
class Peak:
    """The peak memory of each artifact's process during the complete measurement, in bytes."""

    threads: int
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class Measured:
    """A measured artifact: its path, checkpoint, recipe and runtime."""

    path: str
    checkpoint: str
    recipe: str
    runtime: str
    version: str


@dataclass(frozen=True)
class LatencyReport(HtmlValue):
    """Latency of one artifact, or of several in interleaved rounds.

    Attributes:
        artifacts: the measured artifacts.
        inputs: batch size, seed of the random token ids, and size of their vocabulary.
        lines: the measurements.
        peaks: the peak memory for each number of threads.
        machine: the machine and the runner.
        no_decoding: the reason why decoding was not timed; "" if it was.
        notes: remarks about the figures.
    """

    artifacts: tuple[Measured, ...]
    inputs: dict[str, int]
    lines: tuple[BenchRow, ...]
    peaks: tuple[Peak, ...]
    machine: str
    no_decoding: str
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "artifacts": [asdict(artifact) for artifact in self.artifacts],
            "inputs": self.inputs,
            "lines": [line.to_json() for line in self.lines],
            "peak_memory": [asdict(peak) for peak in self.peaks],
            "machine": self.machine,
            "no_decoding": self.no_decoding or None,
            "notes": list(self.notes),
        }
