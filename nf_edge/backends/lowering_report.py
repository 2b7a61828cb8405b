"""The results of lowering: coverage, a compiler's estimate, and rounded weights."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from torch import Tensor

from nf_edge.backends.coverage.coverage import Coverage
from nf_edge.backends.coverage.work import Work
from nf_edge.core.figures import Figure


@dataclass(frozen=True)
class Kind:
    """Operators of one kind on an accelerator: their number, and their share of its cycles."""

    operator: str
    count: int
    cycles: int
    share: float


@dataclass(frozen=True)
class Estimate:
    """A compiler's estimate for an accelerator, without the host's part.

    Attributes:
        source: the compiler and its model of the hardware.
        sram: bytes of SRAM that the accelerator uses during a run.
        flash: bytes of the accelerator's weights and commands.
        cycles: cycles of one run.
        time: time of one run in ms.
        kinds: the cycles by kind of operator, the largest first.  Operators may run in parallel, so the sum
            may exceed `cycles`.
    """

    source: str
    sram: Figure
    flash: Figure
    cycles: Figure
    time: Figure
    kinds: tuple[Kind, ...]

    def to_json(self) -> dict[str, Any]:
        figures = {name: getattr(self, name).to_json() for name in ("sram", "flash", "cycles", "time")}
        return {"source": self.source, **figures, "kinds": [asdict(kind) for kind in self.kinds]}


@dataclass(frozen=True)
class LoweringReport:
    """The result of lowering.

    Attributes:
        coverage: the operators that the library executes.
        estimate: the compiler's estimate; None if the compiler gives none.
        work: the estimated instructions by operator; None if no costs were measured for the target.
        weights: dequantized weights of the linear layers that the lowering quantized, by name.
    """

    coverage: Coverage
    estimate: Estimate | None = None
    work: Work | None = None
    weights: Mapping[str, Tensor] = field(default_factory=dict)

    def recounted(self, operators: int) -> "LoweringReport":
        """A copy of the report with `operators` operators, all of which the library executes."""
        return replace(self, coverage=replace(self.coverage, delegated=operators))
