"""Text packed into blocks of equal length, for language models."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from nf_edge.core.errors import BadInput
from nf_edge.model.config import ModelConfig
from nf_edge.model.data.parts import WHOLE, Part
from nf_edge.model.data.rows import read_whole_rows
from nf_edge.model.data.sources import is_text, read_text
from nf_edge.model.data.text import text_encoder


@dataclass(frozen=True)
class Blocks:
    """Consecutive pieces of a text.

    Attributes:
        ids: int64 [N, n_positions + 1]; a block's last id is the next one's first, so that every id but
            the very first is predicted once, and every position of the model predicts.
        sha256: of the file's bytes.
    """

    ids: Tensor
    source: str
    sha256: str


def read_blocks(source: str, config: ModelConfig, tokenizer_file: Path | None, part: Part = WHOLE) -> Blocks:
    """Read a text file (`.txt`, one document), or a table of documents as `read_rows` takes it.

    Documents are joined by eos_token_id, the first of several, where the model has one.  The ids at the
    end that fill no block are left out.

    Raises:
        BadInput: it cannot be read, has bad rows, or is shorter than one block.
    """
    if is_text(source):
        documents, sha256 = _text_file(source, config, tokenizer_file, part)
    else:
        rows = read_whole_rows(source, config, tokenizer_file, part=part)
        documents, sha256 = [list(row.input_ids) for row in rows.rows], rows.sha256
    stream: list[int] = []
    for i, document in enumerate(documents):
        if i:
            stream += config.ends[:1]
        stream += document
    length = config.n_positions
    if len(stream) <= length:
        raise BadInput(
            f"has {len(stream)} tokens; one block takes n_positions + 1 = {length + 1}", where=source
        )
    return Blocks(torch.tensor(stream).unfold(0, length + 1, length).contiguous(), source, sha256)


def _text_file(
    source: str, config: ModelConfig, tokenizer_file: Path | None, part: Part
) -> tuple[list[list[int]], str]:
    text, sha256 = read_text(source)
    ids = text_encoder(tokenizer_file, source)(part.of_text(text)).ids
    largest = max(ids, default=0)
    if largest >= config.vocab_size:
        raise BadInput(
            f"is encoded to id {largest}, outside the vocabulary of {config.vocab_size}",
            where=source,
            fix="the tokenizer belongs to another model",
        )
    return [list(ids)], sha256
