"""The fields of a record, checked against a model: token ids and the label.

All functions raise ValueError with what is wrong with the row, for their caller to say where.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from nf_edge.model.config import ModelConfig
from nf_edge.model.data.columns import CONTENT_COLUMNS, TEXT_COLUMNS
from nf_edge.model.data.text import Encode, Encoded

MASK = "attention_mask"
# Inputs of other transformers, with the ids that mean the same as no such input, by their number.
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
    """The token ids of a row, those of input_ids cut to a length, if there is one.

    Args:
        encode: cuts text to it; not needed where the row has no text.
    """
    given = [name for name in CONTENT_COLUMNS if name in fields]
    if len(given) != 1:
        raise ValueError(f"has {' and '.join(given) or 'neither text nor input_ids'}; give one of them")
    value = fields[given[0]]
    _check_other_inputs(fields)
    if encode is None or given[0] == "input_ids":
        ids = _list_of_ids(value)
        if _is_given(fields, MASK):
            ids = _unmasked(ids, fields[MASK])
        found = Encoded(tuple(ids[:length]), length is not None and len(ids) > length)
    elif _is_given(fields, MASK):
        raise ValueError(f"has {MASK}, which belongs to input_ids: all tokens of a text are read")
    elif isinstance(value, str):
        found = encode(value)
        ids = list(found.ids)
    else:
        raise ValueError(f"{given[0]} {_short(value)} is not text")
    if not ids:
        raise ValueError(f"{given[0]} is empty")
    outside = next((i for i in ids if not 0 <= i < config.vocab_size), None)
    if outside is not None:
        raise ValueError(f"id {outside} is outside the vocabulary of {config.vocab_size}")
    return found


def parse_label(fields: Mapping[str, Any], config: ModelConfig) -> int | float | None:
    """The id of a class, the number that regression should give, or None where a row has no one label."""
    if not config.has_label:
        return None
    if fields.get("label") is None:
        raise ValueError("has no label")
    if config.task == "regression":
        return _number(fields["label"])
    return _class(fields["label"], config.num_labels or 0, config.id2label or {})


def _list_of_ids(value: Any, name: str = "input_ids") -> list[int]:
    """A JSON list, or its text in a TSV or CSV cell, where spaces alone may separate the ids."""
    if isinstance(value, str):
        words = value.strip().removeprefix("[").removesuffix("]").replace(",", " ").split()
        if all(word.removeprefix("-").isdecimal() for word in words):
            return [int(word) for word in words]
    elif isinstance(value, list) and all(type(item) is int for item in value):
        return value
    raise ValueError(f"{name} must be a list of whole numbers, not {_short(value)}")


def _is_given(fields: Mapping[str, Any], name: str) -> bool:
    """Whether a row has a value there, which an empty cell and `null` are not."""
    return fields.get(name) not in (None, "")


def _check_other_inputs(fields: Mapping[str, Any]) -> None:
    for name, nothing in OTHER_INPUTS.items():
        if not _is_given(fields, name):
            continue
        try:
            ids = _list_of_ids(fields[name], name)
        except ValueError:
            is_nothing = False
        else:
            is_nothing = ids == nothing(len(ids))
        if not is_nothing:
            raise ValueError(f"has {name}, an input that a NoiseFormer does not have")


def _unmasked(ids: list[int], mask: Any) -> list[int]:
    """The ids that a mask shows: all before the padding on the right."""
    shown = _list_of_ids(mask, MASK)
    count = sum(shown)
    if len(shown) != len(ids) or shown != [1] * count + [0] * (len(ids) - count):
        raise ValueError(f"{MASK} must have a 1 for each id, and a 0 for padding, on the right")
    return ids[:count]


def _class(value: Any, labels: int, id2label: Mapping[int, str]) -> int:
    if isinstance(value, str):
        # A name wins over an id: a model that names a class "1" means that one.
        named = next((label for label, name in id2label.items() if name == value), None)
        if named is not None:
            return named
        value = int(value) if value.strip().isdecimal() else value
    if type(value) is not int:
        names = f" or one of: {', '.join(list(id2label.values())[:20])}" if id2label else ""
        raise ValueError(f"label {_short(value)} is unknown; it must be an id from 0 to {labels - 1}{names}")
    if not 0 <= value < labels:
        raise ValueError(f"label {value} is out of range; the model has the labels 0 to {labels - 1}")
    return value


def _number(value: Any) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"label {_short(value)} is not a finite number, which regression needs")
    return number


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
