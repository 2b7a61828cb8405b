"""Find and read the files of GLUE tasks: the official layouts, and those of Hugging Face's `datasets`.

Sources: the files of https://gluebenchmark.com/tasks, and the columns of the data set `glue` on the Hugging
Face hub.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from nf_edge.core.errors import BadInput
from nf_edge.model.data.glue import TASKS, GlueTask
from nf_edge.model.data.tables import Cells, Record, Table, parse_table, plain_rows, table_of

# The role of a source: training and calibration rows, or rows to evaluate on.
Split = Literal["train", "dev"]
# Kinds of files with cells between tabs; the original files of MRPC end in .txt.
TAB_SUFFIXES = (".tsv", ".txt")
FOLDER_SUFFIXES = (".tsv", ".jsonl", ".csv")
# The largest share of rows of a QQP file that may be broken.
MOST_BROKEN = 0.01
QUESTIONS = ("question1", "question2")
# CoLA's files have no header.
COLA_HEADER = ["source", "label", "original_label", "sentence"]


@dataclass(frozen=True)
class Layout:
    """The columns of a task.

    Attributes:
        texts: one entry per file layout, the official one first: the column of the text, or both columns of a
            pair.
        labels: the possible names of the label's column, the official one first.
    """

    texts: tuple[tuple[str, ...], ...]
    labels: tuple[str, ...]


SENTENCE = Layout((("sentence",),), ("label",))
SENTENCES = Layout((("sentence1", "sentence2"),), ("label",))
MNLI = Layout((("sentence1", "sentence2"), ("premise", "hypothesis")), ("gold_label", "label"))
LAYOUTS = {
    "cola": SENTENCE,
    "sst2": SENTENCE,
    "mrpc": Layout((("#1 String", "#2 String"), ("sentence1", "sentence2")), ("Quality", "label")),
    "stsb": Layout((("sentence1", "sentence2"),), ("score", "label")),
    "qqp": Layout((QUESTIONS,), ("is_duplicate", "label")),
    "mnli": MNLI,
    "mnli-mm": MNLI,
    "qnli": Layout((("question", "sentence"),), ("label",)),
    "rte": SENTENCES,
    "wnli": SENTENCES,
}
# The columns of all tasks' texts and labels; a first line with one of them is a header.
COLUMNS = frozenset(
    name for layout in LAYOUTS.values() for names in (*layout.texts, layout.labels) for name in names
)


def split_names(task: GlueTask | None, split: Split) -> tuple[str, ...]:
    """Possible names of a split's file or folder: `dev` in the GLUE download, `validation` in `datasets`.

    Args:
        task: the GLUE task, because the halves of MNLI have other names; None: no task.
    """
    if split == "train":
        return ("train",)
    half = {"mnli": "_matched", "mnli-mm": "_mismatched"}.get(task.name if task else "", "")
    return (f"dev{half}", f"validation{half}")


def file_of_task(folder: Path, task: GlueTask, split: Split) -> Path:
    """The file of a split in the GLUE folder, or in the task's folder.

    Raises:
        BadInput: there is no such file.
    """
    tried = [folder / task.folder, folder]
    names = split_names(task, split)
    for each in tried:
        for name in names:
            for suffix in FOLDER_SUFFIXES:
                if (each / (name + suffix)).is_file():
                    return each / (name + suffix)
    if task.name == "mrpc" and split == "train":
        for each in tried:
            if (each / "msr_paraphrase_train.txt").is_file():
                return each / "msr_paraphrase_train.txt"
    raise BadInput(
        f"has no {names[0]}.tsv of task {task.name}, neither in {task.folder} nor in the folder itself",
        where=folder,
        fix="give the path of the file",
    )


def require_folder_of(task: GlueTask, source: str) -> None:
    """Raise BadInput if the path `source` is in the folder of another task, which may have equal columns."""
    path = Path(os.path.abspath(source))
    folders = {name.casefold(): each.folder for each in TASKS.values() for name in (each.folder, each.name)}
    for name in (path.name, path.parent.name):
        folder = folders.get(name.casefold(), "")
        if folder == task.folder:
            return
        if folder:
            raise BadInput(
                f"is in the folder {name}, so it is not a file of task {task.name}",
                where=source,
                fix=f"give a file of {task.folder}, or name the task of this folder with --task",
            )


def parse_task_table(content: bytes, suffix: str, task: GlueTask, texts: Sequence[str], where: str) -> Table:
    """Parse a file of a task.  In TSV files, quotes are part of the text.

    Args:
        suffix: the file's suffix, such as `.tsv`.
        texts: the columns that the user names; () for those of the task.
        where: the name of the file, for messages.

    Raises:
        BadInput: the content cannot be parsed as this kind of table.
    """
    if suffix not in TAB_SUFFIXES:
        return parse_table(content, suffix, where)
    rows = plain_rows(content, where)
    if task.name == "cola" and rows and not {*COLUMNS, *texts} & {cell.strip() for cell in rows[0][1]}:
        rows = _with_cola_header(rows, where)
    table = table_of(rows, where)
    return _without_broken_rows(table, texts or QUESTIONS) if task.name == "qqp" else table


def task_texts(task: GlueTask, columns: Sequence[str], where: str) -> tuple[str, ...]:
    """The text columns of a task's file.

    Args:
        columns: the columns of the file.
        where: the name of the file, for messages.

    Raises:
        BadInput: the file does not have the columns of the task.
    """
    layout = LAYOUTS[task.name]
    texts = next((names for names in layout.texts if set(names) <= set(columns)), None)
    if texts is None:
        expected = " or ".join(" with ".join(f"`{name}`" for name in names) for names in layout.texts)
        raise BadInput(
            f"is not a file of task {task.name}: it has the columns {', '.join(columns)}, but the "
            f"task's text is in {expected}",
            where=where,
            fix="give a file of the task, or name the columns of the text with --text",
        )
    return texts


def task_label(task: GlueTask, columns: Sequence[str], where: str) -> str | None:
    """The label column of a task's file; None if the file has no labels (test files have none).

    Args:
        columns: the columns of the file.
        where: the name of the file, for messages.

    Raises:
        BadInput: the file has two label columns.
    """
    labels = [name for name in LAYOUTS[task.name].labels if name in columns]
    if len(labels) > 1:
        both = " and ".join(f"`{name}`" for name in labels)
        raise BadInput(f"has two label columns: {both}", where=where, fix="name one of them with --label")
    return labels[0] if labels else None


def _with_cola_header(rows: list[Cells], where: str) -> list[Cells]:
    line, cells = rows[0]
    if len(cells) != len(COLA_HEADER):
        raise BadInput(
            f"has no header: line {line} has {len(cells)} columns, but CoLA's files without a header have "
            f"{len(COLA_HEADER)} ({', '.join(COLA_HEADER)})",
            where=where,
            fix="give a file of CoLA, or one whose header names the column `sentence`",
        )
    return [(0, COLA_HEADER), *rows]


def _without_broken_rows(table: Table, texts: Sequence[str]) -> Table:
    """A table without its broken rows, which lack a column or a text.

    The official QQP files have a few of them.  If many rows are broken, all rows stay and are errors later,
    because the file is then damaged.
    """
    complete = [record for record in table.records if not (record.problem or _lacks(record, texts))]
    count, broken = len(table.records), len(table.records) - len(complete)
    if not 0 < broken <= MOST_BROKEN * count:
        return table
    note = f"rows left out, because a column or a question is missing: {broken} of {count:,}"
    return replace(table, records=complete, notes=(*table.notes, note))


def _lacks(record: Record, texts: Sequence[str]) -> bool:
    """Whether one of the texts of a record is empty."""
    return any(name in record.fields and not record.fields[name].strip() for name in texts)
