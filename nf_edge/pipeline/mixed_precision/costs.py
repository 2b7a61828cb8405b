"""The result of a sensitivity measurement: what each precision of each unit costs and saves."""

import math
from dataclasses import dataclass
from typing import Any

from nf_edge.core.figures import Figure
from nf_edge.core.recipe.quantize import Rule
from nf_edge.core.strict_json import number


@dataclass(frozen=True)
class Unit:
    """Modules that are quantized together, such as a table with its tied head."""

    modules: tuple[str, ...]

    @property
    def name(self) -> str:
        return " + ".join(self.modules)


@dataclass(frozen=True)
class Cost:
    """The cost of quantizing one unit to one precision.

    Attributes:
        rule: the recipe rule with this precision.
        dtype: the dtype of the unit's weights, in words.
        kl: mean KL divergence of the predictions from the checkpoint's, in nats; infinite if a prediction is
            not finite.
        kl_error: standard error of `kl`; None for a single text.
        output_snr: signal-to-noise ratio of the unit's output with rounded weights, in dB; the lowest of its
            modules.
        saved: bytes that this precision saves in the model file, compared with float32.
    """

    rule: Rule
    dtype: str
    kl: float
    kl_error: float | None
    output_snr: Figure
    saved: int

    @property
    def kl_per_kb(self) -> float | None:
        """KL divergence in nats per kB that the precision saves; None if it saves nothing."""
        return self.kl / (self.saved / 1000) if self.saved > 0 else None

    def to_json(self) -> dict[str, Any]:
        return {
            "dtype": self.dtype,
            "kl": number(self.kl),
            "kl_error": self.kl_error,
            "output_snr": self.output_snr.to_json(),
            "saved_bytes": self.saved,
            "kl_per_saved_kb": number(self.kl_per_kb),
        }


@dataclass(frozen=True)
class UnitCosts:
    """The costs of one unit, for each precision except float32, widest first."""

    unit: Unit
    costs: tuple[Cost, ...]

    @property
    def usable(self) -> tuple[Cost, ...]:
        """The costs whose KL divergence is finite."""
        return tuple(cost for cost in self.costs if math.isfinite(cost.kl))

    def to_json(self) -> dict[str, Any]:
        return {
            "unit": self.unit.name,
            "modules": list(self.unit.modules),
            "costs": [cost.to_json() for cost in self.costs],
        }


@dataclass(frozen=True)
class Sensitivity:
    """What it costs to quantize each unit (a layer or a table) alone, and the data of the measurement.

    Attributes:
        units: the KL divergence and the size of each unit's precisions, in the order of the model.
        float_bytes: predicted bytes of the model file with all weights in float32.
        truncated: number of rows that were cut to the model's largest input.
    """

    recipe: str
    units: tuple[UnitCosts, ...]
    float_bytes: int
    data: str
    data_sha256: str
    rows: int
    truncated: int

    @property
    def worst_first(self) -> list[tuple[Unit, Cost]]:
        every = [(each.unit, cost) for each in self.units for cost in each.costs]
        return sorted(every, key=lambda pair: -pair[1].kl)

    def to_json(self) -> dict[str, Any]:
        return {
            "recipe": self.recipe,
            "data": self.data,
            "data_sha256": self.data_sha256,
            "rows": self.rows,
            "truncated_rows": self.truncated,
            "float32_file_bytes": self.float_bytes,
            "units": [unit.to_json() for unit in self.units],
        }
