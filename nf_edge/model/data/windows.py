"""Overlapping windows of a long text, in which a language model predicts each token once."""

from dataclasses import dataclass
from pathlib import Path

from nf_edge.core.errors import BadInput
from nf_edge.core.files import utf8_text
from nf_edge.model.config import ModelConfig
from nf_edge.model.data.rows import Row, Rows
from nf_edge.model.data.scored_text import ScoredText
from nf_edge.model.data.sources import read_text
from nf_edge.model.data.text import text_encoder
from nf_edge.model.tokenizer import tokenizer_errors


@dataclass(frozen=True)
class _Encoded:
    """Token ids of a text, and the position of each token's end in the text, in characters; 0 for special
    tokens.
    """

    ids: list[int]
    ends: list[int]


def read_windows(
    source: str,
    config: ModelConfig,
    tokenizer_file: Path | None,
    length: int,
    stride: int | None = None,
    limit: int | None = None,
) -> Rows:
    """Read a text file (`.txt`, one document) as overlapping windows of tokens; each window is a row.

    The first window scores all tokens but its first.  Each further window scores its last `stride` tokens;
    the tokens before are context.  So each token is scored once, with at least length − stride tokens of
    context.

    Args:
        length: tokens of a window.
        stride: tokens by which windows move; None: half a window.
        limit: largest number of windows; None: all windows.

    Raises:
        BadInput: the file or the tokenizer cannot be read, the text has fewer than two tokens, or the stride
            leaves no context.
    """
    stride = max(1, length // 2) if stride is None else stride
    if not 1 <= stride < length:
        raise BadInput(
            f"a stride of {stride} leaves tokens without context, because a window has {length} tokens",
            where=source,
            fix=f"give a stride from 1 to {length - 1}",
        )
    text, sha256 = read_text(source)
    encoded = _encode(text, tokenizer_file, config, source)
    rows: list[Row] = []
    end = 0
    while end < len(encoded.ids) and len(rows) != limit:
        before, end = end, min(end + stride if end else length, len(encoded.ids))
        ids = encoded.ids[max(0, end - length) : end]
        rows.append(Row(tuple(ids), None, scored=end - max(before, 1)))
    if end < 2:
        what = "has fewer than two tokens, so there is no next token to predict"
        raise BadInput(what, where=source, fix="give a longer text")
    last = len(text) if end == len(encoded.ids) else max(encoded.ends[:end])
    scored = ScoredText(
        tokens=len(encoded.ids),
        scored=end - 1,
        bytes=len(text[encoded.ends[0] : last].encode()),
        window=length,
        stride=stride,
    )
    return Rows(tuple(rows), utf8_text(source), sha256, 0, length, text=scored)


def _encode(text: str, tokenizer_file: Path | None, config: ModelConfig, source: str) -> _Encoded:
    """Encode a text, and record where each token ends in it.

    Args:
        source: the name of the text, for messages.

    Raises:
        BadInput: there is no tokenizer, it cannot encode the text, or its ids are not the model's.
    """
    encode = text_encoder(tokenizer_file, source)
    with tokenizer_errors(encode.tokenizer_file, "cannot encode a text"):
        encoding = encode.tokenizer.encode(text)
    encode.require_ids_of(config, encoding.ids, source)
    return _Encoded(encoding.ids, [end for _, end in encoding.offsets])
