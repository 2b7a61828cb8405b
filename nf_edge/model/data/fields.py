"""Read the token ids of a record, and check that they suit a model.

The functions raise ValueError with the row's problem; the caller adds the line number.
"""

from collections.abc import Callable, Mapping
from typing import Any

from nf_edge.model.config import ModelConfig
from nf_edge.model.data.columns import CONTENT_COLUMNS, SECOND_TEXT, TEXT_COLUMNS
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
    fields: Mapping[str, Any], config: ModelConfig, encode: Encode | None, length: int | None
) -> Encoded:
    """The token ids of a row.

    Args:
        encode: encodes and cuts text; None if no row has text.
        length: `input_ids` are cut to this many ids; None: not cut.

    Raises:
        ValueError: the ids are missing, invalid or outside the vocabulary.
    """
    content_names = [name for name in CONTENT_COLUMNS if name in fields]
    if len(content_names) != 1:
        names = " and ".join(f"`{name}`" for name in content_names)
        raise ValueError(f"has {names or 'neither `text` nor `input_ids`'}; give exactly one")
    value = fields[content_names[0]]
    if SECOND_TEXT in fields and content_names[0] != "text":
        raise ValueError(f"has `{SECOND_TEXT}` next to `{content_names[0]}`; put the first text in `text`")
    _check_other_inputs(fields)
    if encode is None or content_names[0] == "input_ids":
        ids = _list_of_ids(value)
        if _is_given(fields, MASK):
            ids = _unmasked(ids, fields[MASK])
        encoded = Encoded(tuple(ids[:length]), length is not None and len(ids) > length)
    elif _is_given(fields, MASK):
        raise ValueError(f"has `{MASK}` next to text; `{MASK}` is only for `input_ids`, so remove `{MASK}`")
    elif isinstance(value, str):
        encoded = encode(value, _second_text(fields))
        ids = list(encoded.ids)
    else:
        raise ValueError(f"`{content_names[0]}` must be text, not {_short(value)}")
    if not ids:
        raise ValueError(f"`{content_names[0]}` is empty; give at least one token")
    outside = next((i for i in ids if not 0 <= i < config.vocab_size), None)
    if outside is not None:
        raise ValueError(
            f"token id {outside} is outside the model's vocabulary, 0 to {config.vocab_size - 1}"
        )
    return encoded


def _second_text(fields: Mapping[str, Any]) -> str | None:
    """The second text of a pair; None if the row is not a pair."""
    second = fields.get(SECOND_TEXT)
    if SECOND_TEXT in fields and not isinstance(second, str):
        raise ValueError(f"`{SECOND_TEXT}` must be text, not {_short(second)}")
    return second


def _list_of_ids(value: Any, name: str = "input_ids") -> list[int]:
    """The integers of a JSON list, or of a TSV or CSV cell, where commas and brackets are optional."""
    if isinstance(value, str):
        words = value.strip().removeprefix("[").removesuffix("]").replace(",", " ").split()
        if all(word.removeprefix("-").isdecimal() for word in words):
            return [int(word) for word in words]
    elif isinstance(value, list) and all(type(item) is int for item in value):
        return value
    raise ValueError(f"`{name}` must be a list of whole numbers, not {_short(value)}")


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


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
