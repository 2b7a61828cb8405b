"""The number of rows that a verdict is based on, and whether they are too few."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from nf_edge.core.limits import LEAST_ROWS
from nf_edge.model import ModelConfig


@dataclass(frozen=True)
class Sample:
    """The number of rows and predictions that a verdict is based on.

    Attributes:
        predictions: number of predictions: one per row, or one per scored token of a language model.
        rows: number of rows; of a language model, texts or windows, whose tokens depend on each other.
        unit: what `predictions` counts: `rows` or `tokens`.
        row_unit: what `rows` counts: `rows`, `texts` or `windows`.
    """

    predictions: int
    rows: int
    unit: str
    row_unit: str

    @classmethod
    def of(cls, config: ModelConfig, counts: Iterable[int], *, windows: bool = False) -> "Sample":
        """The sample of a model's predictions.

        Args:
            counts: number of predictions in each row; rows without a prediction are left out.
            windows: whether a language model's rows are windows of one text.
        """
        numbers, unit, row_unit = [count for count in counts if count > 0], "rows", "rows"
        if config.is_language_model:
            unit, row_unit = "tokens", "windows" if windows else "texts"
        return cls(sum(numbers), len(numbers), unit, row_unit)

    def too_few(self, what: str, needed: float = 0, *, of_rows: bool = False, about: bool = False) -> str:
        """The reason why the sample is too small; "" if it is large enough.

        It is too small with fewer than `LEAST_ROWS` rows, or with less than `needed`.

        Args:
            what: the figure to judge, in words.
            needed: the least number of predictions; may be infinite.
            of_rows: `needed` counts `rows` instead of `predictions`.
            about: `needed` is approximate.
        """
        unit = self.row_unit if of_rows else self.unit
        if math.isinf(needed):
            return f"no number of {unit} is enough to judge {what} by an interval"
        least = {self.row_unit: LEAST_ROWS}
        least[unit] = max(math.ceil(needed), least.get(unit, 0))
        for name, number in least.items():
            count = self.rows if name == self.row_unit else self.predictions
            if count < number:
                near = "about " if about and number > LEAST_ROWS else ""
                are = "is" if count == 1 else "are"
                return (
                    f"{_counted(count, name)} {are} too few to judge {what}; give at least {near}{number:,}"
                )
        return ""


def _counted(count: int, unit: str) -> str:
    return f"{count:,} {unit if count != 1 else unit.removesuffix('s')}"
