"""The checkpoint and data of a sweep, which are read once."""

from dataclasses import dataclass

from nf_edge.backends import backend_for
from nf_edge.backends.input_shape import InputShape
from nf_edge.core.device import Device
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.model import Checkpoint
from nf_edge.model.data.glue_files import Split
from nf_edge.model.data.row_format import RowFormat
from nf_edge.model.data.rows import Rows, rows_of_table
from nf_edge.model.data.sources import read_table
from nf_edge.quantization.calibration import calibration_purposes


class RowSource:
    """A data file or a named data set, read once for several models and lengths."""

    def __init__(self, source: str, row_format: RowFormat, split: Split, limit: int | None = None) -> None:
        """Read the source.

        Args:
            source: a TSV, CSV or JSONL file, a folder, or NAME:SPLIT.
            limit: read only the first `limit` rows; None: all rows.
            row_format, split: as for `load_rows`.

        Raises:
            BadInput: the source cannot be read.
            MissingTool: a folder of the datasets package needs that package.
        """
        self._table, self._limit = read_table(source, row_format, split), limit
        self._rows: dict[tuple[str, int], Rows] = {}

    def rows(self, checkpoint: Checkpoint, length: int | None = None) -> Rows:
        """The rows encoded for a checkpoint; calls with equal arguments return the same object.

        Args:
            length: longer rows are cut to this many tokens; None: to the checkpoint's number of positions.

        Raises:
            BadInput: rows are bad; the message lists them by line.
        """
        length = length or checkpoint.config.n_positions
        key = str(checkpoint.path), length
        if key not in self._rows:
            self._rows[key] = rows_of_table(
                self._table,
                checkpoint.config,
                checkpoint.tokenizer_file,
                self._limit,
                length=length,
            )
        return self._rows[key]


@dataclass(frozen=True)
class SweepJob:
    """The common inputs of all exports in a sweep.

    Attributes:
        data: labelled rows to check accuracy on.
        calibration: calibration rows; None: the checkpoint's examples.
        train: rows or text for pruning and recovery; None: recipes that prune or recover are left out.
        row_format: how the rows of `train` are read.
        overwrite: whether existing artifacts are replaced.
    """

    checkpoint: Checkpoint
    data: RowSource
    calibration: RowSource | None
    train: str | None
    row_format: RowFormat
    device: Device | None
    overwrite: bool

    @property
    def checkpoint_rows(self) -> Rows:
        """The labelled rows encoded for the checkpoint, cut to its number of positions."""
        return self.data.rows(self.checkpoint)

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks about the data of the sweep, such as calibration on the checked rows."""
        if self.calibration is None:
            return ()
        if self.calibration.rows(self.checkpoint).sha256 != self.checkpoint_rows.sha256:
            return ()
        return ("calibrated on the rows that are checked, which favours the recipes that calibrate",)

    def input_shape(self, recipe: Recipe) -> InputShape:
        return InputShape.of(recipe, self.checkpoint.config)

    def rows_for(self, checkpoint: Checkpoint, recipe: Recipe) -> Rows:
        """The labelled rows encoded for a checkpoint, cut to a recipe's input length."""
        return self.data.rows(checkpoint, InputShape.of(recipe, checkpoint.config).length)

    def calibration_for(self, checkpoint: Checkpoint, recipe: Recipe) -> Rows | None:
        """Calibration rows for a checkpoint and a recipe, cut to the recipe's input length.

        None if the sweep has no source of them or the recipe calibrates nothing.
        """
        input_shape = InputShape.of(recipe, checkpoint.config)
        cache = backend_for(recipe).cache_dtype(checkpoint.config, input_shape, recipe)
        if self.calibration is None or not calibration_purposes(recipe, cache):
            return None
        return self.calibration.rows(checkpoint, input_shape.length)
