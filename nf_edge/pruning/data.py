"""What pruning and recovery learn from and are scored on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nf_edge.model import Checkpoint
from nf_edge.model.data import Batch
from nf_edge.model.data.blocks import read_blocks
from nf_edge.model.data.parts import WHOLE, Part
from nf_edge.model.data.rows import read_rows
from nf_edge.model.data.sources import is_text, read_text
from nf_edge.model.data.text import text_encoder
from nf_edge.training.examples import BlockExamples, Examples, RowExamples

# Of the training data, for choosing the best step of recovery, where no other data is given for it.
VALIDATION_SHARE = 0.05
# Tokens of a batch, and examples and tokens that importance is taken over.
BATCH_TOKENS, MOST_SEEN, MOST_SEEN_TOKENS = 4096, 512, 65_536


@dataclass(frozen=True)
class Sources:
    """Files of labelled rows, of text for a language model, or NAME:SPLIT.

    Attributes:
        train: what importance is taken over, tokens are counted in, and recovery learns from.
        valid: what the best step of recovery is chosen by; None: a twentieth of `train`.
        test: what is only looked at in the end; None: what `valid` is.
    """

    train: str
    valid: str | None = None
    test: str | None = None

    def files(self) -> list[Path]:
        """Those of them that are files."""
        given = (Path(each) for each in (self.train, self.valid, self.test) if each)
        return [path for path in given if path.exists()]

    def located(self) -> dict[str, tuple[str, Part]]:
        split = 1 - VALIDATION_SHARE
        own = self.valid is None
        train = (self.train, Part(0, split) if own else WHOLE)
        valid = (self.train, Part(split, 1)) if own else (self.valid or "", WHOLE)
        return {"train": train, "valid": valid, "test": (self.test, WHOLE) if self.test else valid}


def examples(located: tuple[str, Part], checkpoint: Checkpoint) -> Examples:
    """What a source is for a checkpoint, in its tokens.

    Raises:
        BadInput: it cannot be read, or its rows are not for this model.
    """
    source, part = located
    config, tokenizer = checkpoint.config, checkpoint.tokenizer_file
    if config.is_language_model:
        return BlockExamples(read_blocks(source, config, tokenizer, part).ids)
    return RowExamples(read_rows(source, config, tokenizer, part=part).rows, config.pad_token_id)


def documents(located: tuple[str, Part], checkpoint: Checkpoint) -> list[tuple[int, ...]]:
    """The ids of every row, or of a text as a whole."""
    source, part = located
    config, tokenizer = checkpoint.config, checkpoint.tokenizer_file
    if is_text(source):
        return [text_encoder(tokenizer, source)(part.of_text(read_text(source)[0])).ids]
    return [row.input_ids for row in read_rows(source, config, tokenizer, part=part).rows]


def batch_size(checkpoint: Checkpoint) -> int:
    """Examples in a batch, so that a language model's logits of them fit into memory."""
    return max(1, min(32, BATCH_TOKENS // checkpoint.config.n_positions))


def in_batches(of: Examples, size: int) -> Iterator[Batch]:
    for start in range(0, len(of), size):
        yield of.batch(range(start, min(start + size, len(of))))


def spread(of: Examples, checkpoint: Checkpoint) -> Sequence[Batch]:
    """A sample to look at, evenly from first to last, for files are often sorted."""
    count = min(len(of), MOST_SEEN, max(MOST_SEEN_TOKENS // checkpoint.config.n_positions, 16))
    chosen = [i * len(of) // count for i in range(count)]
    size = batch_size(checkpoint)
    return [of.batch(chosen[start : start + size]) for start in range(0, count, size)]
