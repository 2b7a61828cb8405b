"""Read the label of a record, and check that it suits a model."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from nf_edge.core.errors import BadInput, quoted
from nf_edge.model.config import ModelConfig
from nf_edge.model.data.glue import GlueTask
from nf_edge.model.data.row_format import RowFormat

# A class, the number of a regression, or zeros and ones of a multi-label classifier.
Label = int | float | tuple[int, ...]
# The class of rows without a label in the data sets of the Hugging Face hub.
NO_CLASS = -1
SHOWN_NAMES = 20


@dataclass(frozen=True)
class LabelReader:
    """Reads labels for a model.

    Attributes:
        renamed: maps each label of the row format's `labels`, in lower case, to the model's class.
        classes: maps each official label of the task, in lower case and in the task's order, to the model's
            class; {} without a task, or if the task's label is a score.
        notes: remarks for the user on how labels are read.
    """

    config: ModelConfig
    task: GlueTask | None
    renamed: Mapping[str, int]
    classes: Mapping[str, int]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, config: ModelConfig, row_format: RowFormat, source: str) -> "LabelReader":
        """The reader for a model and a row format.

        Args:
            source: the name of the data, for messages.

        Raises:
            BadInput: the task does not suit the model, or `labels` names a class that does not exist.
        """
        task = row_format.glue
        if row_format.labels and "classification" not in config.task:
            raise BadInput(
                f"a {config.kind} has no classes, so --labels cannot name a class for a label",
                where=source,
                fix="leave out --labels",
            )
        renamed = {
            _key(label): _class_of_option(name, config, source) for label, name in row_format.labels.items()
        }
        contrary = _contrary_notes(row_format.labels, renamed, config)
        if task is None:
            return cls(config, None, renamed, {}, contrary)
        _require_suitable(task, config, source)
        unnamed = _has_no_names(config)
        classes = _classes(task, config, renamed, unnamed, source) if task.labels else {}
        notes = contrary
        if unnamed and task.labels and not renamed:
            order = ", ".join(f"{index} {name}" for index, name in enumerate(task.labels))
            notes += (
                f"the checkpoint does not name its labels, so they have task {task.name}'s order: {order}",
            )
        return cls(config, task, renamed, classes, notes)

    def read(self, fields: Mapping[str, Any]) -> Label | None:
        """The label of a row; None if it has none, or if the model has no labels.

        Args:
            fields: the values of the row, by column.

        Raises:
            ValueError: the label is invalid; the message does not name the row.
        """
        value = fields.get("label")
        if not has_labels(self.config) or value is None or value == "":
            return None
        if self.config.task == "multi-label classification":
            return self._classes_of(value)
        if self._is_no_class(value):
            return None
        return _number(value) if self.config.task == "regression" else self._class(value)

    @cached_property
    def _has_minus_one(self) -> bool:
        """Whether −1 is a real label of the model: a score, or the name of a class."""
        named = {_key(name) for name in (self.config.id2label or {}).values()} | self.renamed.keys()
        return str(NO_CLASS) in named or (self.config.task == "regression" and self.task is None)

    def _is_no_class(self, value: Any) -> bool:
        """Whether a label in the data is −1 and means "no label"."""
        if self._has_minus_one:
            return False
        try:
            return not isinstance(value, bool) and float(value) == NO_CLASS
        except (TypeError, ValueError, OverflowError):
            return False

    def _class(self, value: Any) -> int:
        names = self.config.id2label or {}
        if isinstance(value, str | int) and not isinstance(value, bool) and _key(value) in self.renamed:
            return self.renamed[_key(value)]
        if self.task is not None:
            return self._class_of_task(value, self.task)
        if isinstance(value, str):
            # A name takes precedence over an id, because a class may be named "1".
            named = _class_by_name(value, names)
            if named is not None:
                return named
        # With --labels, a number that it does not name is no id: two labels could become one class.
        index = None if self.renamed else _index(value)
        count = self.config.num_labels or 0
        if index is None:
            known = f" or one of: {_listed(names)}" if names else ""
            raise ValueError(
                f"label {quoted(value)} is unknown; it must be an id from 0 to {count - 1}{known}"
                + ("; give its class with --labels LABEL=CLASS" if isinstance(value, str) else "")
            )
        if not 0 <= index < count:
            raise ValueError(f"label {value} is out of range; it must be from 0 to {count - 1}")
        return index

    def _class_of_task(self, value: Any, task: GlueTask) -> int:
        index = _index(value)
        name = task.labels[index] if index is not None and 0 <= index < len(task.labels) else value
        if not isinstance(name, str) or _key(name) not in self.classes:
            names = ", ".join(task.labels)
            raise ValueError(
                f"label {quoted(value)} is unknown; task {task.name} has the labels {names}, or 0 to "
                f"{len(task.labels) - 1} in this order; give its class with --labels LABEL=CLASS"
            )
        return self.classes[_key(name)]

    def _classes_of(self, value: Any) -> tuple[int, ...]:
        """A 0 or 1 for each class, from a label: a list of classes, or a list of zeros and ones."""
        count = self.config.num_labels or 0
        items = _items(value)
        numbers = [_index(item) if not isinstance(item, float) else item for item in items]
        is_vector = len(items) == count and all(number in (0, 1) for number in numbers)
        as_floats = any(isinstance(item, float) for item in items)
        if is_vector and not as_floats and count <= 2 and len(set(numbers)) == len(numbers):
            raise ValueError(
                f"label {quoted(value)} can mean classes, or zeros and ones; write names of classes, or "
                "0.0 and 1.0"
            )
        if is_vector:
            return tuple(int(number or 0) for number in numbers)
        if as_floats:
            raise ValueError(f"label {quoted(value)} must be {count} zeros and ones")
        classes = [self._class(item) for item in items]
        return tuple(int(index in classes) for index in range(count))


def has_labels(config: ModelConfig) -> bool:
    """Whether nf-edge reads labels for a model: true for classifiers and for regressions with one output."""
    return config.has_label or config.task == "multi-label classification"


def _require_suitable(task: GlueTask, config: ModelConfig, source: str) -> None:
    expected = f"a classifier of {len(task.labels)} labels" if task.labels else "a regression of one number"
    suits = (
        config.task == "classification" and config.num_labels == len(task.labels)
        if task.labels
        else config.task == "regression" and config.num_labels == 1
    )
    if not suits:
        raise BadInput(
            f"task {task.name} needs {expected}, but the model is a {config.kind}",
            where=source,
            fix="use a model that was trained on this task, or read the file with --text instead of --task",
        )


def _has_no_names(config: ModelConfig) -> bool:
    names = config.id2label or {}
    return all(name in (f"LABEL_{index}", str(index)) for index, name in names.items())


def _classes(
    task: GlueTask, config: ModelConfig, renamed: Mapping[str, int], unnamed: bool, source: str
) -> dict[str, int]:
    """Map each official label of the task, in lower case, to the model's class.

    Args:
        renamed: as in `LabelReader`.
        unnamed: whether the model's classes have no names.
        source: the name of the data, for messages.

    Raises:
        BadInput: a label has no class, or two labels have the same class.
    """
    classes: dict[str, int] = {}
    for index, name in enumerate(task.labels):
        given = renamed.get(_key(name), renamed.get(str(index)))
        named = index if unnamed and not renamed else _class_by_name(name, config.id2label or {})
        chosen = named if given is None else given
        if chosen is not None:
            classes[_key(name)] = chosen
    missing = [name for name in task.labels if _key(name) not in classes]
    if missing or len(set(classes.values())) < len(classes):
        names = config.id2label or {}
        wrong = (
            f"; no class is named {' or '.join(missing)}" if missing else "; two labels have the same class"
        )
        raise BadInput(
            f"task {task.name} has the labels {', '.join(task.labels)}, and the model has "
            f"{', '.join(names.values()) or f'classes 0 to {len(task.labels) - 1}'}{wrong}",
            where=source,
            fix="name the class of every label with --labels "
            + ",".join(f"{name}=CLASS" for name in task.labels),
        )
    return classes


def _class_of_option(name: str, config: ModelConfig, source: str) -> int:
    """The id of the class that `--labels` names or numbers; raise BadInput if the model does not have it."""
    names = config.id2label or {}
    named = _class_by_name(name, names)
    index = _index(name) if named is None else named
    if index is None or not 0 <= index < (config.num_labels or 0):
        known = _listed(names) or f"0 to {(config.num_labels or 0) - 1}"
        raise BadInput(
            f"--labels names the class {quoted(name)}, which the model does not have",
            where=source,
            fix=f"write --labels LABEL=CLASS,… with the model's classes: {known}",
        )
    return index


def _contrary_notes(
    labels: Mapping[str, str], renamed: Mapping[str, int], config: ModelConfig
) -> tuple[str, ...]:
    """A note for each label of `--labels` that names a class of the model, but gets another class.

    Args:
        labels, renamed: the class of each label, as text and as id.
    """
    names = config.id2label or {}
    return tuple(
        f"--labels gives {quoted(label)} the class {quoted(labels[label])}, although the model has a class "
        f"{quoted(names[named])}"
        for label in labels
        if (named := _class_by_name(label, names)) is not None and named != renamed[_key(label)]
    )


def _listed(id2label: Mapping[int, str]) -> str:
    """The names of the first classes, and "…" if there are more."""
    more = ["…"] if len(id2label) > SHOWN_NAMES else []
    return ", ".join([*list(id2label.values())[:SHOWN_NAMES], *more])


def _class_by_name(name: str, id2label: Mapping[int, str]) -> int | None:
    """The id of the class with this name; if there is none, of the only class that differs only in case.

    None if no class or several classes have such a name.
    """
    exact = [index for index, each in id2label.items() if each == name]
    similar = [index for index, each in id2label.items() if _key(each) == _key(name)]
    return exact[0] if exact else similar[0] if len(similar) == 1 else None


def _key(value: str | int | float) -> str:
    return str(value).strip().casefold()


def _index(value: Any) -> int | None:
    """The integer of a value that is an int or a text of digits; None for other values."""
    if isinstance(value, str):
        value = int(value) if value.strip().isdecimal() and len(value) <= 20 else None
    return value if type(value) is int else None


def _items(value: Any) -> list[Any]:
    """The items of a JSON list, or of a TSV or CSV cell, where brackets are optional."""
    if isinstance(value, str):
        inner = value.strip().removeprefix("[").removesuffix("]")
        return [_float_or_text(item.strip().strip("\"'")) for item in inner.split(",") if item.strip()]
    items = value if isinstance(value, list | tuple) else [value]
    if any(isinstance(item, bool) or not isinstance(item, str | int | float) for item in items):
        raise ValueError(f"the label must be a list of names, ids, or zeros and ones, not {quoted(value)}")
    return list(items)


def _float_or_text(item: str) -> str | float:
    return float(item) if item in ("0.0", "1.0") else item


def _number(value: Any) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"the label must be a finite number for regression, not {quoted(value)}")
    return number
