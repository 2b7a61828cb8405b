"""Read the token ids of a record, and check that they suit a model.

The functions raise ValueError with the row's problem; the caller adds the line number.
"""

from collections.abc import Callable, Mapping
from typing import Any

from nf_edge.core.errors import quoted
from nf_edge.model.config import ModelConfig
from nf_edge.model.data.columns import CONTENT_COLUMNS, SECOND_TEXT, TEXT_COLUMNS
from nf_edge.model.data.tables import Table
from nf_edge.model.data.text import Encode, Encoded

MASK = "attention_mask"
# Further inputs of transformers: name → the values that have no effect, for a row of `count` ids.
OTHER_INPUTS: dict[str, Callable[[int], list[int]]] = {
    "position_ids": lambda count: list(range(count)),
    "token_type_ids": lambda count: [0] * count,
    "decoder_input_ids": lambda _: [],
    "inputs_embeds": lambda _: [],
}


def has_text(fields: Mapping[str, Any]) -> bool:
    return any(name in fields for name in TEXT_COLUMNS)


def parse_ids(
    fields: Mapping[str, Any], table: Table, config: ModelConfig, encode: Encode | None, length: int | None
) -> Encoded:
    """The token ids of a row.

    Args:
        fields: the values of the row, by column.
        table: the table of the row, which has the names of its columns in the file.
        encode: encodes and cuts text; None if no row has text.
        length: `input_ids` are cut to this many ids; None: not cut.

    Raises:
        ValueError: the ids are missing, invalid or outside the vocabulary, or a text is empty.
    """
    content_names = [name for name in CONTENT_COLUMNS if name in fields]
    if not content_names and "text" in table.names:
        raise ValueError(f"has no {table.name_in_file('text')}")
    if len(content_names) != 1:
        names = " and ".join(map(table.name_in_file, content_names))
        raise ValueError(f"has {names or 'neither `text` nor `input_ids`'}; give exactly one")
    (name,) = content_names
    value = fields[name]
    if SECOND_TEXT in fields and name != "text":
        raise ValueError(f"has `{SECOND_TEXT}` next to `{name}`; put the first text in `text`")
    _check_other_inputs(fields)
    if encode is None or name == "input_ids":
        ids = _list_of_ids(value)
        if _is_given(fields, MASK):
            ids = _unmasked(ids, fields[MASK])
        encoded = Encoded(tuple(ids[:length]), length is not None and len(ids) > length)
    elif _is_given(fields, MASK):
        raise ValueError(f"has `{MASK}` next to text; `{MASK}` is only for `input_ids`, so remove `{MASK}`")
    else:
        encoded = encode(*_texts(fields, name, table, config))
        ids = list(encoded.ids)
    if not ids:
        raise ValueError(f"{table.name_in_file(name)} is empty; give at least one token")
    outside = next((i for i in ids if not 0 <= i < config.vocab_size), None)
    if outside is not None:
        raise ValueError(
            f"token id {outside} is outside the model's vocabulary, 0 to {config.vocab_size - 1}"
        )
    return encoded


def _texts(fields: Mapping[str, Any], name: str, table: Table, config: ModelConfig) -> list[str]:
    """The text of a row, or both texts of a pair.

    Args:
        fields: the values of the row, by column.
        name: the field with the first text.

    Raises:
        ValueError: a text is not a string, or it is blank and the model is not a language model.
    """
    texts = {each: fields[each] for each in (name, SECOND_TEXT) if each in fields}
    for each, text in texts.items():
        if not isinstance(text, str):
            raise ValueError(f"{table.name_in_file(each)} must be text, not {quoted(text)}")
        if not (config.is_language_model or text.strip()):
            raise ValueError(f"{table.name_in_file(each)} is empty; give a text in every row")
    return list(texts.values())


def _list_of_ids(value: Any, name: str = "input_ids") -> list[int]:
    """The integers of a JSON list, or of a TSV or CSV cell, where commas and brackets are optional.

    Raises:
        ValueError: the value is not a list of integers; the message has the field's name, `name`.
    """
    if isinstance(value, str):
        words = value.strip().removeprefix("[").removesuffix("]").replace(",", " ").split()
        if all(word.removeprefix("-").isdecimal() for word in words):
            return [int(word) for word in words]
    elif isinstance(value, list) and all(type(item) is int for item in value):
        return value
    raise ValueError(f"`{name}` must be a list of whole numbers, not {quoted(value)}")


def _is_given(fields: Mapping[str, Any], name: str) -> bool:
    """Whether a row has a value for a field; an empty cell or `null` counts as no value."""
    return fields.get(name) not in (None, "")


def _check_other_inputs(fields: Mapping[str, Any]) -> None:
    for name, no_input in OTHER_INPUTS.items():
        if not _is_given(fields, name):
            continue
        try:
            ids = _list_of_ids(fields[name], name)
        except ValueError:
            has_no_effect = False
        else:
            has_no_effect = ids == no_input(len(ids))
        if not has_no_effect:
            raise ValueError(f"has `{name}`, which a NoiseFormer does not read; remove this field")


def _unmasked(ids: list[int], mask: Any) -> list[int]:
    """The ids with mask 1: those before the padding on the right."""
    mask_values = _list_of_ids(mask, MASK)
    count = sum(mask_values)
    if len(mask_values) != len(ids) or mask_values != [1] * count + [0] * (len(ids) - count):
        raise ValueError(f"`{MASK}` must be 1 for each id, then 0 for padding on the right")
    return ids[:count]
