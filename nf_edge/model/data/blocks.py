"""Pack text into blocks of equal length, for language models."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from nf_edge.core.errors import BadInput
from nf_edge.model.config import ModelConfig
from nf_edge.model.data.parts import COMPLETE, Part
from nf_edge.model.data.row_format import DEFAULT, RowFormat
from nf_edge.model.data.rows import rows_of_table
from nf_edge.model.data.sources import is_text, read_table, read_text
from nf_edge.model.data.text import text_encoder


@dataclass(frozen=True)
class Blocks:
    """Consecutive pieces of a text.

    Attributes:
        ids: int64 [N, n_positions + 1].  The last id of a block is the first id of the next block.  So every
            id except the first is predicted exactly once.
        source: the path of the file.
        sha256: SHA-256 of the file's bytes.
    """

    ids: Tensor
    source: str
    sha256: str


def read_blocks(
    source: str,
    config: ModelConfig,
    tokenizer_file: Path | None,
    part: Part = COMPLETE,
    row_format: RowFormat = DEFAULT,
) -> Blocks:
    """Read a text file (`.txt`, one document), or a table with one document per row.

    The model's first eos_token_id, if it has one, separates documents.  Ids at the end that do not fill a
    block are left out.

    Args:
        part: the part of the source to read.
        row_format: how the rows of a table are read.

    Raises:
        BadInput: the source cannot be read, has bad rows, or is shorter than one block.
    """
    if is_text(source):
        row_format.require_default(source, "is one text without columns")
        documents, sha256 = _text_file(source, config, tokenizer_file, part)
    else:
        rows = rows_of_table(read_table(source, row_format), config, tokenizer_file, part=part, length=None)
        documents, sha256 = [list(row.input_ids) for row in rows.rows], rows.sha256
    stream: list[int] = []
    for i, document in enumerate(documents):
        if i:
            stream += config.end_tokens[:1]
        stream += document
    length = config.n_positions
    if len(stream) <= length:
        raise BadInput(
            f"has {len(stream)} tokens, but one block needs {length + 1} (n_positions + 1)",
            where=source,
            fix="give a longer text",
        )
    return Blocks(torch.tensor(stream).unfold(0, length + 1, length).contiguous(), source, sha256)


def _text_file(
    source: str, config: ModelConfig, tokenizer_file: Path | None, part: Part
) -> tuple[list[list[int]], str]:
    text, sha256 = read_text(source)
    encode = text_encoder(tokenizer_file, source)
    ids = encode(part.of_text(text)).ids
    encode.require_ids_of(config, ids, source)
    return [list(ids)], sha256
