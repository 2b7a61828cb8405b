"""Results of the gates for continuous integration: JUnit XML, and Markdown for a job summary."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from nf_edge.measure.accuracy.check import AccuracyReport
from nf_edge.measure.accuracy.cores import CoresReport
from nf_edge.measure.accuracy.divergence import not_finite_text
from nf_edge.render.accuracy import accuracy_lines, accuracy_tables, limit_amount, limit_name
from nf_edge.render.table import Table

if TYPE_CHECKING:
    from nf_edge.pipeline.export import Export

    GateReport: TypeAlias = AccuracyReport | CoresReport | Export


@dataclass(frozen=True)
class Case:
    """One gate and its outcome, which becomes a test case.

    Attributes:
        problem: the reason why the gate fails; "" if it does not fail.
        not_judged: the reason why the gate has no verdict; "" if it has one.
    """

    name: str
    problem: str = ""
    not_judged: str = ""

    @property
    def outcome(self) -> str:
        return self.problem or self.not_judged or "passes"


NO_LIMIT = Case("accuracy", not_judged="accuracy not judged: no limit")
NO_DATA = Case("accuracy", not_judged="accuracy not judged: no data")


def junit_xml(report: GateReport, title: str) -> bytes:
    """A JUnit file with one test case per gate: in one test suite, or in one suite per emulated core.

    A gate without a verdict is a skipped test case.

    Args:
        title: the name of the artifact.
    """
    from junitparser import Failure, JUnitXml, Skipped, TestCase, TestSuite

    document = JUnitXml("nf-edge")
    for name, cases in _suites(report, title):
        suite = TestSuite(name)
        for case in cases:
            test = TestCase(case.name, f"nf-edge.{title}")
            if case.problem:
                test.result = [Failure(case.problem, "gate")]
            elif case.not_judged:
                test.result = [Skipped(case.not_judged)]
            suite.add_testcase(test)
        document.add_testsuite(suite)
    document.update_statistics()
    content: bytes = document.tostring()
    return b'<?xml version="1.0" encoding="utf-8"?>\n' + content + b"\n"


def summary_markdown(report: GateReport, title: str) -> str:
    """The outcome, the gates, and the tables of the accuracy, as Markdown.

    Args:
        title: the name of the artifact.
    """
    accuracies = _accuracies(report)
    judged = accuracies and all(each.judged for each in accuracies)
    outcome = "FAILS" if not report.passed else "passes" if judged else "accuracy not judged"
    parts = [f"## {title}: {outcome}"]
    for name, cases in _suites(report, title):
        rows = tuple((case.name, case.outcome) for case in cases)
        parts.append(_markdown(Table(name, ("gate", "outcome"), rows)))
    for accuracy in accuracies:
        parts += [_markdown(table) for table in accuracy_tables(accuracy)]
        parts.append("\n".join(f"- {_escaped(line)}" for line in accuracy_lines(accuracy)))
    return "\n\n".join(parts) + "\n\n"


def _suites(report: GateReport, title: str) -> list[tuple[str, list[Case]]]:
    """The test suites of a report: the name of each suite, and its cases."""
    if isinstance(report, AccuracyReport):
        return [(title, accuracy_cases(report))]
    if isinstance(report, CoresReport):
        return [(f"{title} on {each.core.name}", accuracy_cases(each.accuracy)) for each in report.cores]
    no_limit = "the recipe has no limit on logits" if report.parity.limit is None else ""
    parity = Case("logits equal PyTorch's within the recipe's limit", report.parity.problem, no_limit)
    memory = report.memory.failure
    cases = [
        parity,
        *([Case("memory fits the device", memory.what if memory else "")] if report.memory.verdict else []),
    ]
    return [(title, [*cases, *(accuracy_cases(report.accuracy) if report.accuracy else [NO_DATA])])]


def _accuracies(report: GateReport) -> Sequence[AccuracyReport]:
    if isinstance(report, AccuracyReport):
        return [report]
    if isinstance(report, CoresReport):
        return [each.accuracy for each in report.cores]
    return [report.accuracy] if report.accuracy else []


def accuracy_cases(report: AccuracyReport) -> list[Case]:
    """The gates of an accuracy report: finite logits, each limit, the baseline, and lowering again.

    A gate that was not requested has no case.  If there is neither a limit nor a baseline, one case says that
    the accuracy is not judged.
    """
    comparison = report.comparison
    count = comparison.not_finite
    finite = Case(
        "logits are finite", not_finite_text(count, comparison.questions, report.unit) if count else ""
    )
    limits = [
        Case(f"{limit_name(each)}: at most {limit_amount(each)}", each.problem) for each in report.limits
    ]
    baseline = report.baseline
    regression = [Case(f"no regression against {baseline.name}", baseline.problem)] if baseline else []
    judged = [*limits, *regression] if report.judged else [NO_LIMIT]
    again = report.lowered_again
    if again is None or again.same is None:
        return [finite, *judged]
    return [finite, *judged, Case("the file is what its recipe gives", again.problem)]


def _markdown(table: Table) -> str:
    head = _row(table.columns)
    line = _row("--:" if number in table.right else "---" for number in range(len(table.columns)))
    return "\n".join([f"**{_escaped(table.title)}**\n", head, line, *map(_row, table.rows)])


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(map(_escaped, cells))} |"


def _escaped(text: str) -> str:
    """The text with all characters escaped that would end a table cell or start HTML."""
    return text.replace("\n", " ").replace("|", "\\|").replace("<", "&lt;")
