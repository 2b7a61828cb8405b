"""Check the columns of a data file: required columns must exist, and no other column may contain text."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from unicodedata import east_asian_width

from nf_edge.core.errors import BadInput
from nf_edge.model.config import ModelConfig

TEXT_COLUMNS = ("text", "sentence")
CONTENT_COLUMNS = (*TEXT_COLUMNS, "input_ids")
LABEL = "label"
# Column names of the texts in data sets of text pairs; such columns count as text even if texts are short.
PAIR_COLUMNS = frozenset(
    ("text_a", "text_b", "text1", "text2", "text_pair", "sentence1", "sentence2", "question", "question1",
     "question2", "query", "premise", "hypothesis", "passage", "context", "document", "answer")
)  # fmt: skip
# Other columns count as text if at least half of their values have this many words.
PROSE = 3
# Letters that count as one word in scripts without spaces between words.
WIDE_LETTERS = 3
PAIR = "text pairs are not supported; join both into `text` as in training, or remove the unused column"


def require_columns(rows: Sequence[Mapping[str, Any]], config: ModelConfig, source: str) -> None:
    """Check that rows have the model's columns, and that all other columns contain no text.

    A column counts as text if its name is usual for a text of a pair.  It also counts as text if most of its
    values have three or more words.  Numbers, identifiers, categories and the label do not count.

    Raises:
        BadInput: a column is missing, or another column contains text.
    """
    columns = list(dict.fromkeys(name for fields in rows for name in fields))
    problems = []
    read = [name for name in CONTENT_COLUMNS if name in columns]
    unread = [name for name in columns if name not in read and _is_text(name, rows)]
    if not read:
        problems.append("has no column `text`, `sentence` or `input_ids`")
    if config.has_label and LABEL not in columns:
        problems.append("has no column `label`, which this model needs")
    if problems:
        fix = f"its columns are: {', '.join(columns)}"
        if not read and unread:
            fix += f"\n  its text is in {_names(unread)}; " + (
                PAIR if len(unread) > 1 else "rename this column to `text`"
            )
        raise BadInput.listing(problems, where=source, fix=fix)
    texts = [name for name in read if name in TEXT_COLUMNS]
    if texts and unread:
        raise BadInput(
            f"has text in {_names(unread)}, but only {_names(texts)} is read", where=source, fix=PAIR
        )


def _is_text(name: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a column contains text."""
    if name == LABEL:
        return False
    values = [fields.get(name) for fields in rows]
    if name in PAIR_COLUMNS or any(map(_names_a_text, values)):
        return any(_words(text) for value in values for text in _texts(value))
    words = [_words(value) for value in values if isinstance(value, str) and value.strip()]
    return 2 * sum(count >= PROSE for count in words) >= max(len(words), 1)


def _words(text: str) -> int:
    """The number of words in a text."""
    spaced = sum(any(map(str.isalpha, word)) for word in text.split())
    return max(spaced, sum(map(_is_wide, text)) // WIDE_LETTERS)


def _is_wide(letter: str) -> bool:
    """Whether a letter is Chinese, Japanese or Korean."""
    return not letter.isascii() and letter.isalpha() and east_asian_width(letter) == "W"


def _texts(value: Any) -> Iterator[str]:
    """The non-empty strings of a value, including those in lists and objects of JSONL."""
    if isinstance(value, str):
        if value.strip():
            yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)


def _names_a_text(value: Any) -> bool:
    """Whether an object has a key that usually names a text of a pair."""
    if isinstance(value, dict):
        return bool(PAIR_COLUMNS & value.keys()) or any(map(_names_a_text, value.values()))
    return isinstance(value, list) and any(map(_names_a_text, value))


def _names(columns: Sequence[str]) -> str:
    return " and ".join(f"`{name}`" for name in columns)
