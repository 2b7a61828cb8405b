"""The `examples.jsonl` of a checkpoint: typical inputs of the model."""

from dataclasses import dataclass, replace
from functools import cached_property

from nf_edge.model.checkpoint import Checkpoint
from nf_edge.model.data.rows import Rows, rows_of_table
from nf_edge.model.data.sources import read_records
from nf_edge.model.data.tables import Table


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
        table, sha256 = self._table
        tokenizer_file = self.checkpoint.tokenizer_file
        rows = rows_of_table(
            table, sha256, str(file), self.checkpoint.config, tokenizer_file, length=self.length
        )
        return replace(rows, source=file.name)

    @property
    def texts(self) -> list[str]:
        """Every text in the examples, not encoded.

        Raises:
            BadInput: the file cannot be read.
        """
        if self.checkpoint.examples_file is None:
            return []
        records = self._table[0].records
        return [value for record in records for value in record.fields.values() if isinstance(value, str)]

    @cached_property
    def _table(self) -> tuple[Table, str]:
        """The table of the file, and the SHA-256 of its bytes."""
        return read_records(str(self.checkpoint.examples_file))
