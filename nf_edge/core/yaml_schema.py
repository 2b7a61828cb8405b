"""Read YAML files that must match a schema; all errors are reported at once, each with its line."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.fields import FieldInfo
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

from nf_edge.core.errors import BadInput, quoted
from nf_edge.core.reading import KIB, read_text

# The longest bundled file has 7 kB.  Parsing several MB would take seconds.
MOST_BYTES = 128 * KIB
# Largest number of values in a document with expanded aliases: a few aliases can expand to billions.
MOST_VALUES = 100_000
MOST_LEVELS = 64
TOO_DEEP = f"lists and mappings may nest at most {MOST_LEVELS} levels deep"
# Largest number of characters in a number.  Long numbers parse slowly, especially YAML's `1:1:1:…`.
MOST_DIGITS = 40
# Infinity and NaN match here; the schema of each key refuses them.
PLAIN_NUMBER = re.compile(
    r"[-+]?(0|[1-9][0-9]*|([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|\.(inf|Inf|INF|nan|NaN|NAN))"
)


BOOLEAN = "tag:yaml.org,2002:bool"


class Closed(BaseModel):
    """Base of frozen models that refuse unknown keys, NaN, infinity, and booleans in place of numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _refuse_booleans(cls, document: Any) -> Any:
        return booleans_as_text(document, cls.model_fields)


def booleans_as_text(document: Any, fields: Mapping[str, FieldInfo]) -> Any:
    """A copy of the document in which `true` and `false` are texts in numeric fields.

    Validation then refuses them; pydantic would accept booleans as 1 and 0.
    """
    if not isinstance(document, dict):
        return document
    texts = {
        key: str(value).lower()
        for key, value in document.items()
        if isinstance(value, bool) and key in fields and not _accepts((bool, str), fields[key].annotation)
    }
    return {**document, **texts}


def _accepts(kinds: tuple[type, ...], annotation: Any) -> bool:
    return annotation in (*kinds, Any) or any(_accepts(kinds, part) for part in get_args(annotation))


Schema = TypeVar("Schema", bound=BaseModel)


def load(path: Path, schema: type[Schema]) -> Schema:
    """Read a YAML file into a `schema` object; validators get the path as `info.context["path"]`.

    Raises:
        BadInput: the file is unreadable, too large, not YAML, or violates the schema.  The message lists all
            errors, each with its line.
    """
    text = read_text(path, MOST_BYTES)
    try:
        node, document = _parse(text, path.name)
    # ValueError and OverflowError: a date or character that does not exist.
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise BadInput(f"cannot be read as YAML:\n{error}", where=path) from error
    if not isinstance(document, dict):
        raise BadInput("must be a mapping of keys to values", where=path)
    if duplicates := _duplicate_keys(node, set()):
        raise BadInput.listing(duplicates, where=path)
    try:
        return schema.model_validate(document, context={"path": path})
    except ValidationError as error:
        raise BadInput.listing(_explain(error, node), where=path) from error


def _parse(text: str, name: str) -> tuple[yaml.Node | None, Any]:
    """Parse a YAML text, which must be one document.

    Args:
        name: the name of the file, for messages.

    Returns:
        The root node, whose nodes have line numbers, and the document; None for both if the text is empty.
    """
    if _FastLoader is not None:
        try:
            return _parsed(_FastLoader(text))
        except (yaml.YAMLError, ValueError, OverflowError):
            pass  # The messages of the other loader quote the line.
    loader = _Loader(text)
    loader.name = name
    return _parsed(loader)


def _parsed(loader: Any) -> tuple[yaml.Node | None, Any]:
    node = loader.get_single_node()
    _measure(node, {})
    return node, loader.construct_document(node) if node else None


class _Strict:
    """YAML without tags.  No schema here needs tags, and a bad tag makes PyYAML raise arbitrary errors.

    Only `true` and `false` are booleans, as in YAML 1.2.  In YAML 1.1 the key `on` is one too.
    """

    levels = 0

    def compose_node(self: Any, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        if getattr(event, "tag", None) is not None:
            raise _error_at("a tag (!) is not supported; remove it", event)
        if isinstance(event, yaml.ScalarEvent) and not _is_printable(event.value):
            raise _error_at("an unprintable character; remove it", event)
        self.levels += 1
        if self.levels > MOST_LEVELS:
            raise _error_at(TOO_DEEP, event)
        node: yaml.Node | None = Composer.compose_node(self, parent, index)
        self.levels -= 1
        is_number = isinstance(node, yaml.ScalarNode) and node.tag.endswith((":int", ":float"))
        if node is not None and is_number and len(node.value) > MOST_DIGITS:
            raise _error_at(f"a number may have at most {MOST_DIGITS} characters", event)
        if node is not None and is_number and not PLAIN_NUMBER.fullmatch(node.value):
            # YAML 1.1 parses 1:30 as 90, 1_0 as 10, and 010 as 8.
            raise _error_at(
                f"{node.value} is not a plain decimal number; write a number such as 10 or 0.5", event
            )
        return node


class _Loader(_Strict, yaml.SafeLoader):
    """A YAML loader with PyYAML's parser in Python, whose error messages quote the line."""


_FastLoader: Any = None
if yaml.__with_libyaml__:
    from yaml._yaml import CParser

    class _LibyamlLoader(_Strict, Composer, CParser, SafeConstructor, Resolver):
        """A YAML loader with the C parser of libyaml, which takes about a sixth of the time of `_Loader`."""

        def __init__(self, text: str) -> None:
            CParser.__init__(self, text)
            Composer.__init__(self)
            SafeConstructor.__init__(self)
            Resolver.__init__(self)

    _FastLoader = _LibyamlLoader

for _each in filter(None, (_Loader, _FastLoader)):
    _each.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != BOOLEAN]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    _each.add_implicit_resolver(BOOLEAN, re.compile("(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


def _error_at(what: str, event: yaml.Event) -> ValueError:
    return ValueError(f"{what}\n{event.start_mark}")


def _is_printable(value: str) -> bool:
    """Whether a text has only printable characters and white space."""
    return value.isprintable() or all(c in "\n\t" or c.isprintable() or c.isspace() for c in value)


def _measure(node: yaml.Node | None, known: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """The number of values of a node with its aliases expanded, and its number of levels.

    Args:
        known: the results for nodes that were already measured, by id; this function adds to it.

    Raises:
        ValueError: there are too many values or levels, or the node contains itself.
    """
    if node is None or isinstance(node, yaml.ScalarNode):
        return 1, 1
    if id(node) not in known:
        known[id(node)] = (MOST_VALUES, MOST_LEVELS)  # the limit, in case a part contains the node itself
        parts = [part for pair in node.value for part in (pair if isinstance(pair, tuple) else (pair,))]
        measured = [_measure(part, known) for part in parts]
        count = 1 + sum(count for count, _ in measured)
        levels = 1 + max((level for _, level in measured), default=0)
        if count > MOST_VALUES:
            raise ValueError(f"a file may have at most {MOST_VALUES:,} values after its aliases are expanded")
        if levels > MOST_LEVELS:
            raise ValueError(TOO_DEEP)
        known[id(node)] = (count, levels)
    return known[id(node)]


# The entries of a mapping: key → (key node, value node).
_Entries = dict[str, tuple[yaml.Node, yaml.Node]]

# Pydantic's messages for these error types describe Python classes instead of the file.
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
    """The line (from 1) of the value at `location`; if there is none, of its closest parent in the file.

    Args:
        location: the keys and indices that lead to the value, as pydantic reports them.
        entries: a cache of the mappings' entries; a file may have thousands of errors.
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
        # Other parts of a location are labels of pydantic (such as the branch of a union), not keys in the
        # file.
    return line + 1


def _duplicate_keys(node: yaml.Node | None, done: set[int]) -> list[str]:
    """One problem per repeated key.  YAML would silently use the last value; a human reader sees the first.

    Args:
        done: ids of checked nodes; aliases can lead back to them.
    """
    problems = []
    if node is None or id(node) in done:
        return []
    done.add(id(node))
    if isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.value in lines:
                problems.append(
                    f"line {line}: {key.value} is already in line {lines[key.value]}; remove one of them"
                )
            lines.setdefault(key.value, line)
            problems += _duplicate_keys(value, done)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            problems += _duplicate_keys(value, done)
    return problems
