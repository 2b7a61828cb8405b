"""The `examples.jsonl` of a checkpoint: typical inputs of the model."""

from dataclasses import dataclass, replace
from functools import cached_property

from nf_edge.model.checkpoint import Checkpoint
from nf_edge.model.data.rows import Rows, rows_of_table
from nf_edge.model.data.sources import SourceTable, read_table


@dataclass(frozen=True)
class ExampleFile:
    """The examples of a checkpoint; their file is read once, at first use.

    Attributes:
        length: number of tokens that rows are cut to.
    """

    checkpoint: Checkpoint
    length: int

    @cached_property
    def rows(self) -> Rows | None:
        """The examples as rows; None if the checkpoint has no examples.

        Raises:
            BadInput: the file cannot be read, or has bad rows.
        """
        file = self.checkpoint.examples_file
        if file is None:
            return None
        config, tokenizer_file = self.checkpoint.config, self.checkpoint.tokenizer_file
        rows = rows_of_table(self._table, config, tokenizer_file, length=self.length)
        return replace(rows, source=file.name)

    @property
    def texts(self) -> list[str]:
        """Every text in the examples, not encoded.

        Raises:
            BadInput: the file cannot be read.
        """
        if self.checkpoint.examples_file is None:
            return []
        records = self._table.table.records
        return [value for record in records for value in record.fields.values() if isinstance(value, str)]

    @cached_property
    def _table(self) -> SourceTable:
        return read_table(str(self.checkpoint.examples_file))
