"""Read the token ids and the label of a record, and check that they suit a model.

The functions raise ValueError with the row's problem; the caller adds the line number.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from nf_edge.model.config import ModelConfig
from nf_edge.model.data.columns import CONTENT_COLUMNS, TEXT_COLUMNS
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
        raise ValueError(
            f"has {' and '.join(content_names) or 'neither text nor input_ids'}; give exactly one"
        )
    value = fields[content_names[0]]
    _check_other_inputs(fields)
    if encode is None or content_names[0] == "input_ids":
        ids = _list_of_ids(value)
        if _is_given(fields, MASK):
            ids = _unmasked(ids, fields[MASK])
        encoded = Encoded(tuple(ids[:length]), length is not None and len(ids) > length)
    elif _is_given(fields, MASK):
        raise ValueError(f"has {MASK} next to text; {MASK} is only for input_ids, so remove it")
    elif isinstance(value, str):
        encoded = encode(value)
        ids = list(encoded.ids)
    else:
        raise ValueError(f"{content_names[0]} must be text, not {_short(value)}")
    if not ids:
        raise ValueError(f"{content_names[0]} is empty; give at least one token")
    outside = next((i for i in ids if not 0 <= i < config.vocab_size), None)
    if outside is not None:
        raise ValueError(
            f"token id {outside} is outside the model's vocabulary, 0 to {config.vocab_size - 1}"
        )
    return encoded


def parse_label(fields: Mapping[str, Any], config: ModelConfig) -> int | float | None:
    """The label of a row: the id of a class, or a number for regression; None if the model has no single
    label.

    Raises:
        ValueError: the label is missing or invalid.
    """
    if not config.has_label:
        return None
    if fields.get("label") is None:
        raise ValueError("has no label, but this model needs one per row")
    if config.task == "regression":
        return _number(fields["label"])
    return _class(fields["label"], config.num_labels or 0, config.id2label or {})


def _list_of_ids(value: Any, name: str = "input_ids") -> list[int]:
    """The integers of a JSON list, or of its text in a TSV or CSV cell; commas and brackets are optional."""
    if isinstance(value, str):
        words = value.strip().removeprefix("[").removesuffix("]").replace(",", " ").split()
        if all(word.removeprefix("-").isdecimal() for word in words):
            return [int(word) for word in words]
    elif isinstance(value, list) and all(type(item) is int for item in value):
        return value
    raise ValueError(f"{name} must be a list of whole numbers, not {_short(value)}")


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
            raise ValueError(f"has {name}, which a NoiseFormer does not read; remove it")


def _unmasked(ids: list[int], mask: Any) -> list[int]:
    """The ids with mask 1: those before the padding on the right."""
    mask_values = _list_of_ids(mask, MASK)
    count = sum(mask_values)
    if len(mask_values) != len(ids) or mask_values != [1] * count + [0] * (len(ids) - count):
        raise ValueError(f"{MASK} must be 1 for each id, then 0 for padding on the right")
    return ids[:count]


def _class(value: Any, labels: int, id2label: Mapping[int, str]) -> int:
    if isinstance(value, str):
        # A name takes precedence over an id, because a class may be named "1".
        named = next((label for label, name in id2label.items() if name == value), None)
        if named is not None:
            return named
        value = int(value) if value.strip().isdecimal() else value
    if type(value) is not int:
        names = f" or one of: {', '.join(list(id2label.values())[:20])}" if id2label else ""
        raise ValueError(f"label {_short(value)} is unknown; it must be an id from 0 to {labels - 1}{names}")
    if not 0 <= value < labels:
        raise ValueError(f"label {value} is out of range; it must be from 0 to {labels - 1}")
    return value


def _number(value: Any) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"label must be a finite number for regression, not {_short(value)}")
    return number


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
