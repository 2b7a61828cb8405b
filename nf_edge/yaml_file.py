"""YAML files with a closed schema: every error at once, each with its line."""

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from nf_edge.errors import BadInput


class Closed(BaseModel):
    """A frozen value that refuses keys it does not know, and numbers that are none."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


Schema = TypeVar("Schema", bound=BaseModel)


def load(path: Path, schema: type[Schema]) -> Schema:
    """Read `path` and validate it against `schema`; validators find the path as `info.context["path"]`.

    Raises:
        BadInput: unreadable, not YAML, or not of the schema; lists all errors, each with its line.
    """
    try:
        text = path.read_text(encoding="utf-8")
        document = yaml.safe_load(text)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        duplicates = _duplicate_keys(node)
    except OSError as error:
        raise BadInput(f"cannot be read ({error.strerror})", where=path) from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: not UTF-8, or a date that does not exist.
        raise BadInput(f"is not YAML: {error}", where=path) from error
    except RecursionError as error:
        raise BadInput("is nested too deeply, or an alias contains itself", where=path) from error
    if not isinstance(document, dict):
        raise BadInput("must be a mapping of keys to values", where=path)
    if duplicates:
        raise BadInput.listing(duplicates, where=path)
    try:
        return schema.model_validate(document, context={"path": path})
    except ValidationError as error:
        raise BadInput.listing(_explain(error, node), where=path) from error


# What pydantic says of these is about Python classes, not about the file.
PLAIN_WORDS = {
    "extra_forbidden": "unknown key; remove it or correct its spelling",
    "model_type": "must be a mapping of keys to values",
    "tuple_type": "must be a list",
}


def _explain(error: ValidationError, node: yaml.Node | None) -> list[str]:
    lines = []
    for item in error.errors(include_url=False):
        key = ".".join(str(part) for part in item["loc"])
        message = PLAIN_WORDS.get(item["type"], item["msg"].removeprefix("Value error, "))
        if item["type"] not in ("extra_forbidden", "missing") and not isinstance(item["input"], dict | list):
            message += f" (found {item['input']!r})"
        lines.append(f"line {_line(node, item['loc'])}: {key + ': ' if key else ''}{message}")
    return lines


def _line(node: yaml.Node | None, location: tuple[Any, ...]) -> int:
    """Line (from 1) of the deepest part of `location` that the file has."""
    line = node.start_mark.line if node else 0
    for part in location:
        if isinstance(node, yaml.MappingNode):
            entry = next(((key, value) for key, value in node.value if key.value == str(part)), None)
            if entry is None:
                break
            line, node = entry[0].start_mark.line, entry[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line
        # Anything else is a label of pydantic's own (the branch of a union): no place in the file.
    return line + 1


def _duplicate_keys(node: yaml.Node | None) -> list[str]:
    """YAML keeps the last of two equal keys in silence; a reader of the file sees the first."""
    found = []
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.value in seen:
                found.append(f"line {line}: {key.value}: already given in line {seen[key.value]}")
            seen.setdefault(key.value, line)
            found += _duplicate_keys(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            found += _duplicate_keys(value)
    return found
