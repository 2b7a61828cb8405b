"""The result of `nf-edge check`: the accuracy, and explanations of where it was lost."""

from dataclasses import dataclass
from typing import Any

from nf_edge.core.errors import AccuracyGate
from nf_edge.measure.accuracy.check import AccuracyReport
from nf_edge.measure.accuracy.cores import CoresReport
from nf_edge.measure.accuracy.layers import LayersReport
from nf_edge.measure.accuracy.stages import StagesReport


@dataclass(frozen=True)
class Explained:
    """An accuracy report, with the explanations that were requested.

    Attributes:
        accuracy: the accuracy report.  If there is an explanation, its gate also requires that lowering the
            checkpoint again gives the artifact's files.
        stages: the accuracy after each stage; None if it was not requested.
        layers: the error of each layer; None if it was not requested.
    """

    accuracy: AccuracyReport | CoresReport
    stages: StagesReport | None = None
    layers: LayersReport | None = None

    @classmethod
    def of(
        cls, accuracy: AccuracyReport | CoresReport, stages: StagesReport | None, layers: LayersReport | None
    ) -> "Explained":
        """Add explanations to an accuracy report; at least one of `stages` and `layers` is not None.

        The report then also fails if lowering the checkpoint again gave other files than the artifact's.
        """
        explanation = stages or layers
        assert explanation is not None
        return cls(accuracy.with_lowered_again(explanation.lowered_again), stages, layers)

    @property
    def failure(self) -> AccuracyGate | None:
        """The accuracy gate's error; None if the artifact does not fail."""
        return self.accuracy.failure

    def to_json(self) -> dict[str, Any] | list[dict[str, Any]]:
        """The accuracy report, and the keys `stages` and `layers` if these were requested.

        On emulated cores the report is a list.  With `stages` or `layers` it is the value of the key `cores`.
        """
        reports = {"stages": self.stages, "layers": self.layers}
        explanations = {name: report.to_json() for name, report in reports.items() if report}
        if isinstance(self.accuracy, CoresReport):
            cores = self.accuracy.to_json()
            return {"cores": cores, **explanations} if explanations else cores
        return self.accuracy.to_json() | explanations
