"""What lowering reports: coverage, a compiler's estimate, and rounded weights."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from torch import Tensor

from nf_edge.backends.coverage.coverage import Coverage
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
    """A compiler's estimate for an accelerator; the host's part is not in it.

    Attributes:
        source: whose model of which hardware it is.
        sram, flash: bytes that its part takes while it runs, and that its weights and commands rest in.
        cycles, time: of one run, the latter in ms.
        kinds: the cycles by kind of operator, most first.  Operators run at the same time, so that these
            may add up to more than `cycles`.
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
        estimate: where a compiler for an accelerator gives one.
        weights: those of linear layers that lowering itself quantized, dequantized, by their names.
    """

    coverage: Coverage
    estimate: Estimate | None = None
    weights: Mapping[str, Tensor] = field(default_factory=dict)

    def recounted(self, operators: int) -> "LoweringReport":
        """The report for a file with this number of operators, all of which the library executes."""
        return replace(self, coverage=replace(self.coverage, delegated=operators))
