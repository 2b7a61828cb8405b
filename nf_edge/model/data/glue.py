"""The nine GLUE tasks by name: their files, columns, labels and official metrics.

Source: Wang et al., GLUE, ICLR 2019, table 1, and the files of https://gluebenchmark.com/tasks.
"""

from dataclasses import dataclass
from typing import Literal

Metric = Literal["accuracy", "f1", "matthews", "pearson", "spearman", "mse", "f1_micro", "f1_macro"]


@dataclass(frozen=True)
class GlueTask:
    """A GLUE task.

    Attributes:
        name: the value of `--task`.
        folder: the task's folder in the GLUE download.
        labels: names of the classes in the official order of their ids; () for a score (regression).
        metrics: the official metrics, the main one first.
    """

    name: str
    folder: str
    labels: tuple[str, ...]
    metrics: tuple[Metric, ...]


ENTAILMENT = ("entailment", "not_entailment")
THREE_WAYS = ("entailment", "neutral", "contradiction")
TASKS = {
    task.name: task
    for task in (
        GlueTask("cola", "CoLA", ("unacceptable", "acceptable"), ("matthews",)),
        GlueTask("sst2", "SST-2", ("negative", "positive"), ("accuracy",)),
        GlueTask("mrpc", "MRPC", ("not_equivalent", "equivalent"), ("f1", "accuracy")),
        GlueTask("stsb", "STS-B", (), ("pearson", "spearman")),
        GlueTask("qqp", "QQP", ("not_duplicate", "duplicate"), ("f1", "accuracy")),
        GlueTask("mnli", "MNLI", THREE_WAYS, ("accuracy",)),
        GlueTask("mnli-mm", "MNLI", THREE_WAYS, ("accuracy",)),
        GlueTask("qnli", "QNLI", ENTAILMENT, ("accuracy",)),
        GlueTask("rte", "RTE", ENTAILMENT, ("accuracy",)),
        GlueTask("wnli", "WNLI", ("not_entailment", "entailment"), ("accuracy",)),
    )
}
