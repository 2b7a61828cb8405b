"""Reports as text: the same tables and lines on a terminal and in `REPORT.md`."""

from collections.abc import Sequence
from dataclasses import dataclass

from nf_edge.accuracy.check import AccuracyReport
from nf_edge.accuracy.compare import Score
from nf_edge.accuracy.parity import Parity
from nf_edge.artifact.manifest import Manifest
from nf_edge.memory import MemoryReport, Verdict
from nf_edge.memory.accounts import UNACCOUNTED
from nf_edge.memory.report import Line
from nf_edge.report import Figure, format_bytes

BAR_WIDTH = 30


@dataclass(frozen=True)
class Table:
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: tuple[int, ...]
    """Columns, from 0, that are aligned right."""


def memory_tables(report: MemoryReport) -> list[Table]:
    return [
        # What the file is made of is planned; its size is all that could be measured of it.
        _account_table("Model file", (*report.file, report.file_total), ("predicted", "planned")),
        _account_table(
            "Memory of the process that runs it",
            (*report.process, report.process_total),
            ("predicted", "planned", "measured"),
        ),
    ]


def _account_table(title: str, lines: Sequence[Line], accounts: tuple[str, ...]) -> Table:
    rows = [(line.name, *(_cell(line.figures()[account]) for account in accounts)) for line in lines]
    return Table(title, ("part", *accounts), tuple(rows), tuple(range(1, len(accounts) + 1)))


def _cell(figure: Figure) -> str:
    return "–" if figure.value is None else str(figure)


def memory_lines(report: MemoryReport) -> list[str]:
    """Where it was measured, what is not known and why, notes, and the verdict."""
    lines = [f"measured on {report.machine}" if report.machine else ""]
    # Each reason once, with all the figures that it explains.
    reasons: dict[str, list[str]] = {}
    for line in report.process:
        for how, figure in line.figures().items():
            # A plan accounts for all that it has; only a measurement can have something left over.
            if figure.value is None and not (line.name == UNACCOUNTED and how != "measured"):
                reasons.setdefault(figure.note, []).append(f"{line.name} ({how})")
    lines += [f"not known: {', '.join(names)}: {reason}" for reason, names in reasons.items()]
    lines += [f"note: {note}" for note in report.notes]
    return [line for line in lines if line]


def verdict_lines(verdict: Verdict) -> list[str]:
    lines = []
    for share in verdict.shares:
        filled = min(BAR_WIDTH, round(share.used * BAR_WIDTH))
        bar = "#" * filled + "." * (BAR_WIDTH - filled)
        lines.append(
            f"{share.memory} ({share.kind}): [{bar}] {share.need} ({share.need.how}) "
            f"of {format_bytes(share.budget)}, {100 * share.used:.1f} %"
        )
        for path, source in share.unverified.items():
            lines.append(f"  leans on an unverified figure, {path}: {source}")
    reason = f": {verdict.problem}" if verdict.problem else ""
    lines.append(f"{verdict.outcome.upper()} on {verdict.device} ({verdict.device_name}){reason}")
    return lines


def parity_lines(parity: Parity) -> list[str]:
    inputs = f"{parity.count} rows of {parity.rows}"
    if parity.rows == "synthetic":
        inputs = f"{parity.count} rows of random token ids (synthetic: no data was given)"
    limit = "no limit" if parity.limit is None else f"limit {parity.limit:g}"
    return [
        f"logits against PyTorch fp32, on {inputs}: off by at most {parity.error:.2g} of the largest "
        f"({limit}); {100 * parity.agreement:.1f} % give the same answer"
    ]


def accuracy_table(report: AccuracyReport) -> Table:
    comparison = report.comparison
    rows = [("checkpoint (PyTorch, fp32)", *_score(comparison.reference))]
    rows.append(("artifact", *_score(comparison.artifact)))
    columns = ["", "right", "accuracy", "95 % interval"]
    if comparison.reference.perplexity is not None:
        columns.append("perplexity")
    return Table("Accuracy", tuple(columns), tuple(rows), (1, 2, 3, 4))


def _score(score: Score) -> tuple[str, ...]:
    low, high = score.interval
    cells = (
        f"{score.right:,} of {score.total:,}",
        f"{100 * score.share:.2f} %",
        f"{100 * low:.2f} to {100 * high:.2f} %",
    )
    if score.perplexity is None:
        return cells
    error = "" if score.perplexity_error is None else f" ± {score.perplexity_error:.2g}"
    return (*cells, f"{score.perplexity:.4g}{error}")


def accuracy_lines(report: AccuracyReport) -> list[str]:
    comparison = report.comparison
    low, high = comparison.drop_interval
    limit = "no limit" if report.max_drop is None else f"limit {100 * report.max_drop:g}"
    cut = f", {report.truncated} cut to the model's length" if report.truncated else ""
    return [
        f"data: {report.data}{cut}",
        f"drop {100 * comparison.drop:+.2f} points "
        f"(95 % interval {100 * low:+.2f} to {100 * high:+.2f}; {limit})",
        f"{comparison.flips} of {comparison.questions} {report.unit} flipped: "
        f"{comparison.lost} lost, {comparison.gained} gained",
        "PASSES the accuracy gate" if report.passed else "FAILS the accuracy gate",
    ]


def quantization_lines(manifest: Manifest) -> list[str]:
    """What became of the modules, a line a dtype; exceptions with their reasons."""
    groups: dict[tuple[str, str], list[str]] = {}
    for fate in manifest.quantization:
        groups.setdefault((fate["dtype"], fate["reason"]), []).append(fate["module"])
    return [
        f"{len(modules)} modules {dtype}{f' ({reason})' if reason else ''}: {_some(modules)}"
        for (dtype, reason), modules in groups.items()
    ]


def _some(names: Sequence[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def coverage_lines(manifest: Manifest) -> list[str]:
    coverage = manifest.coverage
    if not coverage["left"]:
        return [f"all {coverage['total']} operators run in {coverage['library']}"]
    lines = [
        f"{coverage['delegated']} of {coverage['total']} operators run in {coverage['library']}; the others:"
    ]
    reasons: dict[str, list[str]] = {}
    for left in coverage["left"]:
        reasons.setdefault(left["reason"], []).append(f"{left['count']} {left['operator']}")
    return lines + [f"  {', '.join(operators)}: {reason}" for reason, operators in reasons.items()]


def export_report(
    manifest: Manifest, parity: Parity, memory: MemoryReport, accuracy: AccuracyReport | None
) -> str:
    """The text of `REPORT.md`."""
    origin, model = manifest.checkpoint, manifest.model
    parts = [
        f"# {origin.name}, by {manifest.recipe.name}: {manifest.status}",
        f"{manifest.recipe.description}. {origin.parameters:,} parameters; `{model.name}` of "
        f"{format_bytes(model.bytes)}, SHA-256 `{model.sha256}`.",
        "## Agreement",
        _list(parity_lines(parity)),
        "## Accuracy",
    ]
    if accuracy is None:
        parts.append("Not checked: no labelled data was given (`--data`).")
    else:
        parts += [_markdown(accuracy_table(accuracy)), _list(accuracy_lines(accuracy))]
    parts.append("## Memory")
    for table in memory_tables(memory):
        parts += [f"{table.title}:", _markdown(table)]
    parts.append(_list(memory_lines(memory)))
    if memory.verdict:
        parts.append("```\n" + "\n".join(verdict_lines(memory.verdict)) + "\n```")
    parts += ["## Quantization", _list(quantization_lines(manifest))]
    parts += ["## Operators", _list(coverage_lines(manifest))]
    return "\n\n".join(parts) + "\n"


def _markdown(table: Table) -> str:
    rule = ["---:" if i in table.right else "---" for i in range(len(table.columns))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (table.columns, rule, *table.rows))


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"  - {line.strip()}" if line.startswith("  ") else f"- {line}" for line in lines)
