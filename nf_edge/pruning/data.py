"""The data that pruning and recovery train, validate and test on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nf_edge.model import Checkpoint
from nf_edge.model.data import Batch
from nf_edge.model.data.blocks import read_blocks
from nf_edge.model.data.parts import COMPLETE, Part
from nf_edge.model.data.rows import read_rows
from nf_edge.model.data.sources import is_text, read_text
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
class Sources:
    """Data sources: files of labelled rows, text files for a language model, or NAME:SPLIT.

    Attributes:
        train: the data to compute importance, to count tokens, and to train recovery.
        valid: the data to select the best step of recovery; None: a twentieth of `train`.
        test: the data to score the result; None: same as `valid`.
    """

    train: str
    valid: str | None = None
    test: str | None = None

    def files(self) -> list[Path]:
        """The sources that are existing files."""
        given = (Path(each) for each in (self.train, self.valid, self.test) if each)
        return [path for path in given if path.exists()]

    def located(self) -> dict[str, tuple[str, Part]]:
        """Map "train", "valid" and "test" to a source and the part of the source to use."""
        split = 1 - VALIDATION_SHARE
        splits_train = self.valid is None
        train = (self.train, Part(0, split, advice=ADVICE) if splits_train else COMPLETE)
        valid = (self.train, Part(split, 1, advice=ADVICE)) if splits_train else (self.valid or "", COMPLETE)
        return {"train": train, "valid": valid, "test": (self.test, COMPLETE) if self.test else valid}


def examples(located: tuple[str, Part], checkpoint: Checkpoint) -> Examples:
    """The examples of a source, encoded with the checkpoint's tokenizer.

    Raises:
        BadInput: the source cannot be read, or its rows do not suit this model.
    """
    source, part = located
    config, tokenizer = checkpoint.config, checkpoint.tokenizer_file
    if config.is_language_model:
        return BlockExamples(read_blocks(source, config, tokenizer, part).ids)
    return RowExamples(read_rows(source, config, tokenizer, part=part).rows, config.pad_token_id)


def documents(located: tuple[str, Part], checkpoint: Checkpoint) -> list[tuple[int, ...]]:
    """The token ids of each row of a source; a text file counts as one row."""
    source, part = located
    config, tokenizer = checkpoint.config, checkpoint.tokenizer_file
    if is_text(source):
        return [text_encoder(tokenizer, source)(part.of_text(read_text(source)[0])).ids]
    return [row.input_ids for row in read_rows(source, config, tokenizer, part=part).rows]


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
