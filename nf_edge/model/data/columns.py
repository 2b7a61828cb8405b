"""Choose the columns of a data file, and give them the names that nf-edge reads.

A row has its text in `text` or `sentence`, or token ids in `input_ids`; the second text of a pair is in
`text_pair`; the label is in `label`.  No other column may contain text, unless the user names the columns.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from unicodedata import east_asian_width

from nf_edge.core.errors import BadInput
from nf_edge.model.config import ModelConfig
from nf_edge.model.data.glue_files import task_label, task_texts
from nf_edge.model.data.row_format import RowFormat
from nf_edge.model.data.tables import Record, Table

TEXT_COLUMNS = ("text", "sentence")
CONTENT_COLUMNS = (*TEXT_COLUMNS, "input_ids")
SECOND_TEXT = "text_pair"
USUAL_PAIR = ("text", SECOND_TEXT)
LABEL = "label"
# The columns of text pairs that are read without `--text`, the first text first.
PAIRS = (
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("text_a", "text_b"),
    ("text1", "text2"),
    USUAL_PAIR,
)
# Column names of texts in data sets; such columns count as text even if texts are short.
NAMES_OF_TEXTS = frozenset(
    (*(name for pair in PAIRS for name in pair), "query", "passage", "context", "document", "answer")
) - {"text", "sentence"}
# Other columns count as text if at least half of their values have this many words.
PROSE = 3
# Letters that count as one word in scripts without spaces between words.
WIDE_LETTERS = 3
NAME_COLUMNS = (
    "name the column of the text with --text COLUMN, or both columns of a pair with --text FIRST,SECOND"
)


def with_usual_names(table: Table, columns: Sequence[str], row_format: RowFormat, source: str) -> Table:
    """A table whose columns have the names that nf-edge reads.

    If the row format or its task names the text, only the columns of the text and of the label stay.
    Otherwise all columns stay, and the two columns of a well-known pair become a text pair.

    Args:
        columns: the names of the table's columns.
        source: the name of the file, for messages.

    Raises:
        BadInput: a column of the row format is missing.
    """
    if not columns:
        return table
    if missing := [name for name in (*row_format.text, row_format.label) if name and name not in columns]:
        raise BadInput(
            f"has no column {_names(missing)}", where=source, fix=f"the columns are: {', '.join(columns)}"
        )
    task, texts, label = row_format.glue, row_format.text, row_format.label
    if task is not None:
        if not texts:
            texts = task_texts(task, columns, source)
            _require_no_other_text(table.records, columns, texts, task.name, source)
        label = label or task_label(task, columns, source)
    elif LABEL in columns:
        label = label or LABEL
    pair = () if texts else _known_pair(table.records, columns)
    names = dict(zip(texts or pair, _text_names(texts or pair), strict=True))
    if label is not None:
        names[label] = LABEL
    if not texts:
        # Of two columns with the same new name, the renamed one stays.
        names = {column: column for column in columns if column not in names.values()} | names
        if _is_empty(table.records, SECOND_TEXT):
            names.pop(SECOND_TEXT, None)
    notes = table.notes
    if pair and pair != USUAL_PAIR:
        notes += (f"each row is a pair of texts: {_names(pair)}",)
    in_file = {new: name for name, new in names.items() if new != name}
    return Table([_renamed(record, names) for record in table.records], notes, in_file)


def _require_no_other_text(
    records: Sequence[Record], columns: Sequence[str], texts: Sequence[str], task: str, source: str
) -> None:
    """Raise BadInput if a column that the task does not have contains text: the file is then of another
    task.

    Args:
        texts: the task's columns of text.
        source: the name of the file, for messages.
    """
    others = [name for name in columns if name in NAMES_OF_TEXTS or name in TEXT_COLUMNS]
    others = [name for name in others if name not in texts and not _is_empty(records, name)]
    if others:
        raise BadInput(
            f"is not a file of task {task}: it also has text in {_names(others)}",
            where=source,
            fix="give a file of the task, or name the columns of the text with --text",
        )


def _text_names(texts: Sequence[str]) -> tuple[str, ...]:
    if len(texts) == 1:
        return (texts[0] if texts[0] in TEXT_COLUMNS else "text",)
    return USUAL_PAIR[: len(texts)]


def _known_pair(records: Sequence[Record], columns: Sequence[str]) -> tuple[str, ...]:
    """Both columns of a well-known text pair, such as `premise` and `hypothesis`, if the table has them.

    () if the table has no such pair, or several.  Also () if another column may be the text, or if no row has
    a second text.
    """
    pairs = [pair for pair in PAIRS if set(pair) <= set(columns)]
    others = {name for name in CONTENT_COLUMNS if name in columns}
    if len(pairs) != 1 or others - set(pairs[0]) or _is_empty(records, pairs[0][1]):
        return ()
    return pairs[0]


def _is_empty(records: Sequence[Record], column: str) -> bool:
    """Whether no record has text in a column."""
    return not any(any(_texts(record.fields.get(column))) for record in records)


def _renamed(record: Record, names: Mapping[str, str]) -> Record:
    """A record with renamed columns; columns that `names` lacks are left out."""
    fields = {names[column]: value for column, value in record.fields.items() if column in names}
    return replace(record, fields=fields)


def require_columns(
    table: Table, rows: Sequence[Mapping[str, Any]], config: ModelConfig, row_format: RowFormat, source: str
) -> None:
    """Check that rows of a table have the model's columns, and that all other columns contain no text.

    A column counts as text if its name is usual for a text of a data set.  It also counts as text if most of
    its values have three or more words.  Numbers, identifiers, categories and the label do not count.

    Args:
        source: the name of the file, for messages.

    Raises:
        BadInput: a column is missing, another column contains text, or the model cannot read text pairs.
    """
    columns = list(dict.fromkeys(name for fields in rows for name in fields))
    read = [name for name in (*CONTENT_COLUMNS, SECOND_TEXT) if name in columns]
    unread = [name for name in columns if name not in read and _is_text(name, rows)]
    if not set(read) & set(CONTENT_COLUMNS):
        fix = f"the columns are: {', '.join(table.names.get(name, name) for name in columns)}"
        if texts := [name for name in columns if name not in CONTENT_COLUMNS and _is_text(name, rows)]:
            fix += f"\n  there is text in {_names(texts)}; {NAME_COLUMNS}"
        raise BadInput("has no column `text`, `sentence` or `input_ids`", where=source, fix=fix)
    texts = [name for name in read if name != "input_ids"]
    if texts and unread and not row_format.text:
        raise BadInput(
            f"has text in {_names(unread)}, but only {' and '.join(map(table.name_in_file, texts))} is read",
            where=source,
            fix=f"{NAME_COLUMNS}; a GLUE task needs only --task",
        )
    if SECOND_TEXT in read and config.is_language_model:
        raise BadInput(
            "has text pairs, but a language model reads one text per row",
            where=source,
            fix="name the column of the text with --text COLUMN",
        )


def _is_text(name: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the column `name` of these rows counts as text, by the rules in `require_columns`."""
    if name == LABEL:
        return False
    values = [fields.get(name) for fields in rows]
    if name in NAMES_OF_TEXTS or any(map(_names_a_text, values)):
        return any(_words(text) for value in values for text in _texts(value))
    words = [_words(value) for value in values if isinstance(value, str) and value.strip()]
    return 2 * sum(count >= PROSE for count in words) >= max(len(words), 1)


def _words(text: str) -> int:
    """The number of words in a text; Chinese, Japanese and Korean count by letters."""
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
    """Whether a JSON object has a key that usually names a text of a pair."""
    if isinstance(value, dict):
        return bool(NAMES_OF_TEXTS & value.keys()) or any(map(_names_a_text, value.values()))
    return isinstance(value, list) and any(map(_names_a_text, value))


def _names(columns: Sequence[str]) -> str:
    return " and ".join(f"`{name}`" for name in columns)
