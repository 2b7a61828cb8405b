"""How the rows of a source are read: the GLUE task, or the columns and the names of the labels."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from nf_edge.core.errors import BadInput, quoted
from nf_edge.model.data.glue import TASKS, GlueTask


@dataclass(frozen=True)
class RowFormat:
    """How the rows of a source are read.

    Attributes:
        task: a name in `TASKS`, whose file layouts, labels and metrics apply; None: no task.
        text: the column of the text, or the two columns of a text pair, in the model's order; (): the task's
            columns, or the usual names.
        label: the column of the label; None: the task's column, or `label`.
        labels: label in the file → name or id of the checkpoint's class, where the names differ.

    Raises:
        BadInput: the task is unknown, or another value is not as described.
    """

    task: str | None = None
    text: tuple[str, ...] = ()
    label: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.task is not None and self.task not in TASKS:
            raise BadInput(
                f"there is no task {quoted(self.task)}",
                fix=f"use one of: {', '.join(TASKS)}; or leave out the task",
            )
        if not isinstance(self.text, tuple) or len(self.text) > 2 or not all(map(_is_name, self.text)):
            raise BadInput(
                f"`text` must be a tuple of one or two columns, not {quoted(self.text)}",
                fix='write `text=("review",)` or `text=("premise", "hypothesis")`',
            )
        if len(set(self.text)) < len(self.text):
            raise BadInput(f"`text` has the column `{self.text[0]}` twice", fix="name two different columns")
        if "input_ids" in self.text:
            raise BadInput(
                "`input_ids` are token ids, not text",
                fix="leave out `text`: nf-edge reads the column `input_ids`",
            )
        if self.label is not None and not _is_name(self.label):
            raise BadInput(f"`label` must be the name of a column, not {quoted(self.label)}")
        if self.label in self.text:
            raise BadInput(
                f"`{self.label}` cannot be both the text and the label", fix="name two different columns"
            )
        if not isinstance(self.labels, Mapping) or not all(map(_is_name, _items(self.labels))):
            raise BadInput(
                f"`labels` must map labels in the file to the model's classes, not {quoted(self.labels)}",
                fix='write labels={"label in the file": "class of the model"}',
            )

    @property
    def glue(self) -> GlueTask | None:
        """The GLUE task that `task` names; None if it names none."""
        return None if self.task is None else TASKS[self.task]

    def require_default(self, source: str, reason: str) -> None:
        """Raise BadInput if this format has a task, a column or labels, which `source` cannot use.

        Args:
            reason: why it cannot use them, for the message, such as "is one text without columns".
        """
        if self != DEFAULT:
            raise BadInput(reason, where=source, fix="leave out --task, --text, --label and --labels")


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _items(labels: Mapping[str, str]) -> list[str]:
    return [*labels, *labels.values()]


# Files with the usual column names, without a task.
DEFAULT = RowFormat()
