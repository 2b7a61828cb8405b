"""YAML files with a closed schema: every error at once, each with its line."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.fields import FieldInfo

from nf_edge.core.errors import BadInput, quoted
from nf_edge.core.reading import KIB, read_text

# The longest of the bundled files has 7 kB.  Parsing takes seconds from some MB on.
MOST_BYTES = 128 * KIB
# Values of a document with its aliases written out: a few of them can stand for billions.
MOST_VALUES = 100_000
MOST_LEVELS, TOO_DEEP = 64, "it nests too deeply"
# Characters of a number: long ones take time, and `1:1:1:…`, which is one too, the most.
MOST_DIGITS = 40
# Infinity and NaN are refused by the keys that they stand for.
PLAIN_NUMBER = re.compile(
    r"[-+]?(0|[1-9][0-9]*|([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|\.(inf|Inf|INF|nan|NaN|NAN))"
)


class Closed(BaseModel):
    """A frozen value that refuses keys it does not know, and numbers that are none."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _no_truth_for_numbers(cls, document: Any) -> Any:
        return without_truths(document, cls.model_fields)


def without_truths(document: Any, fields: Mapping[str, FieldInfo]) -> Any:
    """A document with texts for `true` and `false` where numbers are meant, so that they are refused there:
    pydantic, like Python, takes them for 1 and 0."""
    if not isinstance(document, dict):
        return document
    texts = {
        key: str(value).lower()
        for key, value in document.items()
        if isinstance(value, bool) and key in fields and not _takes((bool, str), fields[key].annotation)
    }
    return {**document, **texts}


def _takes(kinds: tuple[type, ...], annotation: Any) -> bool:
    return annotation in (*kinds, Any) or any(_takes(kinds, part) for part in get_args(annotation))


Schema = TypeVar("Schema", bound=BaseModel)


def load(path: Path, schema: type[Schema]) -> Schema:
    """Read `path` and validate it against `schema`; validators find the path as `info.context["path"]`.

    Raises:
        BadInput: unreadable, too large, not YAML, or not of the schema; lists all errors, each with its line.
    """
    text = read_text(path, MOST_BYTES)
    try:
        node, document = _parse(text, path.name)
    # ValueError, OverflowError: a date or a character that does not exist.
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise BadInput(f"is not YAML: {error}", where=path) from error
    if not isinstance(document, dict):
        raise BadInput("must be a mapping of keys to values", where=path)
    if duplicates := _duplicate_keys(node, set()):
        raise BadInput.listing(duplicates, where=path)
    try:
        return schema.model_validate(document, context={"path": path})
    except ValidationError as error:
        raise BadInput.listing(_explain(error, node), where=path) from error


def _parse(text: str, name: str) -> tuple[yaml.Node | None, Any]:
    """The one document of a text, as nodes, which know their lines, and as values."""
    loader = _Loader(text)
    loader.name = name
    node = loader.get_single_node()
    _values(node, {})
    return node, loader.construct_document(node) if node else None


class _Loader(yaml.SafeLoader):
    """YAML without tags: no schema here asks for one, and a bad one ends PyYAML in errors of all classes."""

    levels = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        if getattr(event, "tag", None) is not None:
            raise _wrong("a tag (!) is not known here; leave it out", event)
        if isinstance(event, yaml.ScalarEvent) and not _is_text(event.value):
            raise _wrong("a character that cannot be printed", event)
        self.levels += 1
        if self.levels > MOST_LEVELS:
            raise _wrong(TOO_DEEP, event)
        node = super().compose_node(parent, index)
        self.levels -= 1
        is_number = isinstance(node, yaml.ScalarNode) and node.tag.endswith((":int", ":float"))
        if node is not None and is_number and len(node.value) > MOST_DIGITS:
            raise _wrong("a number of too many digits", event)
        if node is not None and is_number and not PLAIN_NUMBER.fullmatch(node.value):
            # YAML 1.1 reads 1:30 as 90, 1_0 as 10, and 010 as 8.
            raise _wrong(f"{node.value} is not a plain decimal number; write it as one", event)
        return node


def _wrong(what: str, event: yaml.Event) -> ValueError:
    return ValueError(f"{what}\n{event.start_mark}")


def _is_text(value: str) -> bool:
    """Whether a terminal prints it and nothing else, and a file can hold it."""
    return value.isprintable() or all(c in "\n\t" or c.isprintable() or c.isspace() for c in value)


def _values(node: yaml.Node | None, known: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """How many values a node stands for, aliases written out, and how many levels.

    Raises:
        ValueError: too many, or it contains itself.
    """
    if node is None or isinstance(node, yaml.ScalarNode):
        return 1, 1
    if id(node) not in known:
        known[id(node)] = (MOST_VALUES, MOST_LEVELS)  # what a part finds that contains the node itself
        parts = [part for pair in node.value for part in (pair if isinstance(pair, tuple) else (pair,))]
        found = [_values(part, known) for part in parts]
        count, levels = (
            1 + sum(count for count, _ in found),
            1 + max((level for _, level in found), default=0),
        )
        if count > MOST_VALUES:
            raise ValueError(f"with its aliases written out it has more than {MOST_VALUES:,} values")
        if levels > MOST_LEVELS:
            raise ValueError(TOO_DEEP)
        known[id(node)] = (count, levels)
    return known[id(node)]


# Of a mapping: what stands at a key, and the key.
_Entries = dict[str, tuple[yaml.Node, yaml.Node]]

# What pydantic says of these is about Python classes, not about the file.
PLAIN_WORDS = {
    "extra_forbidden": "unknown key; remove it or correct its spelling",
    "model_type": "must be a mapping of keys to values",
    "tuple_type": "must be a list",
}


def _explain(error: ValidationError, node: yaml.Node | None) -> list[str]:
    lines: list[str] = []
    entries: dict[int, _Entries] = {}
    for item in error.errors(include_url=False):
        key = ".".join(str(part) for part in item["loc"])
        message = PLAIN_WORDS.get(item["type"], item["msg"].removeprefix("Value error, "))
        if item["type"] not in ("extra_forbidden", "missing") and not isinstance(item["input"], dict | list):
            message += f" (found {quoted(item['input'])})"
        line = _line(node, item["loc"], entries)
        lines.append(f"line {line}: {key + ': ' if key else ''}{message}")
    return lines


def _line(node: yaml.Node | None, location: tuple[Any, ...], entries: dict[int, _Entries]) -> int:
    """Line (from 1) of the deepest part of `location` that the file has.

    Args:
        entries: of the mappings that were looked into before; a file may have thousands of errors.
    """
    line = node.start_mark.line if node else 0
    for part in location:
        if isinstance(node, yaml.MappingNode):
            if id(node) not in entries:
                entries[id(node)] = {pair[0].value: pair for pair in reversed(node.value)}
            entry = entries[id(node)].get(str(part))
            if entry is None:
                break
            line, node = entry[0].start_mark.line, entry[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line
        # Anything else is a label of pydantic's own (the branch of a union): no place in the file.
    return line + 1


def _duplicate_keys(node: yaml.Node | None, done: set[int]) -> list[str]:
    """YAML keeps the last of two equal keys in silence; a reader of the file sees the first.

    Args:
        done: nodes that aliases lead back to.
    """
    found = []
    if node is None or id(node) in done:
        return []
    done.add(id(node))
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.value in seen:
                found.append(f"line {line}: {key.value}: already given in line {seen[key.value]}")
            seen.setdefault(key.value, line)
            found += _duplicate_keys(value, done)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            found += _duplicate_keys(value, done)
    return found
