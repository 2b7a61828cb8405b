"""The size of the data of a verdict, and whether the data is too small for it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from nf_edge.core.limits import LEAST_ROWS
from nf_edge.model import ModelConfig


@dataclass(frozen=True)
class Sample:
    """The rows that a verdict rests on.

    Attributes:
        predictions: number of predictions: one per row, or one per scored token of a language model.
        rows: number of rows, or of texts or windows of a language model.  Tokens of one text or window
            depend on each other.
        unit: what `predictions` counts: `rows` or `tokens`.
        row_unit: what `rows` counts: `rows`, `texts` or `windows`.
    """

    predictions: int
    rows: int
    unit: str
    row_unit: str

    @classmethod
    def of(cls, config: ModelConfig, counts: Iterable[int], *, windows: bool = False) -> "Sample":
        """The sample with this number of predictions in each row; rows without a prediction do not count.

        Args:
            windows: whether a language model's rows are windows of one text.
        """
        numbers, unit, row_unit = [count for count in counts if count > 0], "rows", "rows"
        if config.is_language_model:
            unit, row_unit = "tokens", "windows" if windows else "texts"
        return cls(sum(numbers), len(numbers), unit, row_unit)

    def too_few(self, what: str, needed: float = 0, *, of_rows: bool = False, about: bool = False) -> str:
        """The problem if there are fewer than `LEAST_ROWS` rows, or less data than `needed`.

        Args:
            what: what cannot be judged, in words.
            needed: the least number of predictions; may be infinite.
            of_rows: whether `needed` counts rows, texts or windows.
            about: whether `needed` is approximate.

        Returns:
            The problem, in words; "" if the data is enough.
        """
        unit = self.row_unit if of_rows else self.unit
        if math.isinf(needed):
            return (
                f"no number of {unit} shows {what} with an interval; raise the limit, or judge the estimate"
            )
        least = {self.row_unit: LEAST_ROWS}
        least[unit] = max(math.ceil(needed), least.get(unit, 0))
        for name, number in least.items():
            count = self.rows if name == self.row_unit else self.predictions
            if count < number:
                near = "about " if about and number > LEAST_ROWS else ""
                return f"{_counted(count, name)} cannot show {what}; give at least {near}{number:,}"
        return ""


def _counted(count: int, unit: str) -> str:
    return f"{count:,} {unit if count != 1 else unit.removesuffix('s')}"
