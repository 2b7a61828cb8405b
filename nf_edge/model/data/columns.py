"""Which columns of a data file are read, and why a file with others may be refused."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from unicodedata import east_asian_width

from nf_edge.core.errors import BadInput
from nf_edge.model.config import ModelConfig

TEXT_COLUMNS = ("text", "sentence")
CONTENT_COLUMNS = (*TEXT_COLUMNS, "input_ids")
LABEL = "label"
# What data sets of pairs call their texts, which may be of a word or two.
PAIR_COLUMNS = frozenset(
    ("text_a", "text_b", "text1", "text2", "text_pair", "sentence1", "sentence2", "question", "question1",
     "question2", "query", "premise", "hypothesis", "passage", "context", "document", "answer")
)  # fmt: skip
# Words that at least half of the values of any other column of text have.
PROSE = 3
# Letters that count as a word in scripts that put no spaces between words.
WIDE_LETTERS = 3
PAIR = "a pair is not read yet: join both into `text` as in training, or remove what the model never saw"


def require_columns(rows: Sequence[Mapping[str, Any]], config: ModelConfig, source: str) -> None:
    """Raises BadInput where rows lack a column that the model needs, or have text in one that is not read.

    A column of text is one of strings, other than the label, that is named as data sets name a text of a
    pair, or whose values mostly have three words or more.  Numbers, identifiers and categories are none.
    """
    columns = list(dict.fromkeys(name for fields in rows for name in fields))
    problems = []
    read = [name for name in CONTENT_COLUMNS if name in columns]
    unread = [name for name in columns if name not in read and _is_text(name, rows)]
    if not read:
        problems.append("has no column `text`, `sentence` or `input_ids`")
    if config.has_label and LABEL not in columns:
        problems.append("has no column `label`, which a classifier needs")
    if problems:
        fix = f"its columns are: {', '.join(columns)}"
        if not read and unread:
            fix += f"; its text is in {_names(unread)}: " + (PAIR if len(unread) > 1 else "call it `text`")
        raise BadInput.listing(problems, where=source, fix=fix)
    texts = [name for name in read if name in TEXT_COLUMNS]
    if texts and unread:
        raise BadInput(
            f"has text in {_names(unread)}, of which only {_names(texts)} is read", where=source, fix=PAIR
        )


def _is_text(name: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    if name == LABEL:
        return False
    given = [fields.get(name) for fields in rows]
    if name in PAIR_COLUMNS or any(map(_names_a_text, given)):
        return any(_words(text) for value in given for text in _texts(value))
    words = [_words(value) for value in given if isinstance(value, str) and value.strip()]
    return 2 * sum(count >= PROSE for count in words) >= max(len(words), 1)


def _words(text: str) -> int:
    spaced = sum(any(map(str.isalpha, word)) for word in text.split())
    return max(spaced, sum(map(_is_wide, text)) // WIDE_LETTERS)


def _is_wide(letter: str) -> bool:
    """Whether a letter is of Chinese, Japanese or Korean."""
    return not letter.isascii() and letter.isalpha() and east_asian_width(letter) == "W"


def _texts(value: Any) -> Iterator[str]:
    """The strings of a value, also those within lists and objects, as JSONL can have them."""
    if isinstance(value, str):
        if value.strip():
            yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)


def _names_a_text(value: Any) -> bool:
    """Whether an object calls one of its parts as data sets name a text of a pair."""
    if isinstance(value, dict):
        return bool(PAIR_COLUMNS & value.keys()) or any(map(_names_a_text, value.values()))
    return isinstance(value, list) and any(map(_names_a_text, value))


def _names(columns: Sequence[str]) -> str:
    return " and ".join(f"`{name}`" for name in columns)
