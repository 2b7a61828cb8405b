"""The data that pruning and recovery train, validate and test on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nf_edge.model import Checkpoint
from nf_edge.model.data import Batch
from nf_edge.model.data.blocks import read_blocks
from nf_edge.model.data.glue_files import Split
from nf_edge.model.data.parts import COMPLETE, Part
from nf_edge.model.data.row_format import DEFAULT, RowFormat
from nf_edge.model.data.rows import read_rows
from nf_edge.model.data.sources import is_text, locate, read_text
from nf_edge.model.data.text import text_encoder
from nf_edge.training.examples import BlockExamples, Examples, RowExamples

# Share of the training data that validates recovery if no validation data is given.
VALIDATION_SHARE = 0.05
# The fix if the data is so small that the part for training or for validation has no rows.
ADVICE = (
    "give more rows, or rows for validation with --valid "
    f"(without --valid, {VALIDATION_SHARE:.0%} of the training rows are used for validation)"
)
# The most tokens in a batch; the most examples and tokens that importance is computed from.
BATCH_TOKENS, MAX_SAMPLE, MAX_SAMPLE_TOKENS = 4096, 512, 65_536


@dataclass(frozen=True)
class Located:
    """A file or a named data set, how its rows are read, and the part to use."""

    source: str
    row_format: RowFormat
    part: Part = COMPLETE


@dataclass(frozen=True)
class Sources:
    """Data sources: files of labelled rows, text files for a language model, folders, or NAME:SPLIT.

    Attributes:
        train: the data to compute importance, to count tokens, and to train recovery.
        valid: the data to select the best step of recovery; None: a twentieth of `train`.
        test: the data to score the result; None: same as `valid`.
        row_format: how all rows are read.
    """

    train: str
    valid: str | None = None
    test: str | None = None
    row_format: RowFormat = DEFAULT

    def files(self) -> list[Path]:
        """The sources that are existing files or folders."""
        given = (Path(each) for each in (self.train, self.valid, self.test) if each)
        return [path for path in given if path.exists()]

    def located(self) -> dict[str, Located]:
        """Map "train", "valid" and "test" to their data."""
        train, valid = self._located(self.train, "train"), self._located(self.valid, "dev")
        assert train is not None
        if valid is None:
            split = 1 - VALIDATION_SHARE
            valid = replace(train, part=Part(split, 1, advice=ADVICE))
            train = replace(train, part=Part(0, split, advice=ADVICE))
        return {"train": train, "valid": valid, "test": self._located(self.test, "dev") or valid}

    def _located(self, source: str | None, split: Split) -> Located | None:
        if source is None:
            return None
        return Located(locate(source, self.row_format, split), self.row_format)


def examples(located: Located, checkpoint: Checkpoint, notes: list[str]) -> Examples:
    """The examples of a source, encoded with the checkpoint's tokenizer.

    Args:
        notes: receives the remarks on how rows were read.

    Raises:
        BadInput: the source cannot be read, its rows do not suit this model, or they have no labels.
    """
    config, tokenizer = checkpoint.config, checkpoint.tokenizer_file
    source, row_format, part = located.source, located.row_format, located.part
    if config.is_language_model:
        return BlockExamples(read_blocks(source, config, tokenizer, part, row_format).ids)
    rows = read_rows(source, config, tokenizer, part=part, row_format=row_format)
    rows.require_labels(config)
    notes += rows.warnings
    return RowExamples(rows.rows, config.pad_token_id)


def documents(located: Located, checkpoint: Checkpoint) -> list[tuple[int, ...]]:
    """The token ids of each row of a source; a text file counts as one row."""
    config, tokenizer = checkpoint.config, checkpoint.tokenizer_file
    source, row_format, part = located.source, located.row_format, located.part
    if is_text(source) and row_format.task is None:
        return [text_encoder(tokenizer, source)(part.of_text(read_text(source)[0])).ids]
    rows = read_rows(source, config, tokenizer, part=part, row_format=row_format)
    return [row.input_ids for row in rows.rows]


def batch_size(checkpoint: Checkpoint) -> int:
    """Number of examples per batch, small enough that a language model's logits fit into memory."""
    return max(1, min(32, BATCH_TOKENS // checkpoint.config.n_positions))


def in_batches(data: Examples, size: int) -> Iterator[Batch]:
    for start in range(0, len(data), size):
        yield data.batch(range(start, min(start + size, len(data))))


def spread(data: Examples, checkpoint: Checkpoint) -> Sequence[Batch]:
    """Batches of a sample that is evenly spaced over the data, because files are often sorted."""
    count = min(len(data), MAX_SAMPLE, max(MAX_SAMPLE_TOKENS // checkpoint.config.n_positions, 16))
    chosen = [i * len(data) // count for i in range(count)]
    size = batch_size(checkpoint)
    return [data.batch(chosen[start : start + size]) for start in range(0, count, size)]
