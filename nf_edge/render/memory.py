"""The report of `nf-edge profile`: memory and verdicts."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from nf_edge.core.figures import Figure, format_bytes
from nf_edge.measure.memory import MemoryReport, Verdict
from nf_edge.measure.memory.accounts import UNACCOUNTED
from nf_edge.measure.memory.memory_report import MemoryPart
from nf_edge.measure.memory.spread import Repeats
from nf_edge.measure.memory.verdict import Share
from nf_edge.render.layout import arena_lines
from nf_edge.render.table import Part, Table, body
from nf_edge.render.text import counted, figure_cell, grouped

BAR_WIDTH = 30
# Marks of figures in tables: a planned figure that is predicted, and a total without an unknown part.
TAKEN_OVER, LEAST = " *", "≥ "


def memory_parts(report: MemoryReport) -> list[Part]:
    """The report of memory: tables and remarks; with a device, also the verdict."""
    lines = memory_lines(report) + (arena_lines(report.layout) if report.layout else [])
    parts: list[Part] = [*memory_tables(report), *firmware_tables(report), body(lines)]
    if report.verdict:
        parts.append(body(verdict_lines(report.verdict, _context(report))))
    return parts


def memory_tables(report: MemoryReport) -> list[Table]:
    accounts = report.hows, {"measured": "emulated"} if report.emulated else {}
    return [
        # The plan has the sizes of the file's parts; a measurement has only the total.
        _account_table("Model file", (*report.file, report.file_total), report.hows[:2]),
        _account_table(
            f"Memory of the process that runs it{_context(report)}",
            (*report.process, report.steady, report.load_peak, report.process_total),
            *accounts,
        ),
        _account_table("Steady state by kind of page", (*report.kinds, report.steady), *accounts),
    ]


def firmware_tables(report: MemoryReport) -> list[Table]:
    """The table of a microcontroller's flash and SRAM; empty for other backends."""
    if not report.firmware:
        return []
    return [_account_table("Memory of a firmware that runs it", report.firmware, report.hows[:2])]


def _context(report: MemoryReport) -> str:
    """Words for the run of the figures, such as ` with a context of 8 tokens and a batch of 4 rows`.

    The longest context and one row are not named.
    """
    parts = []
    if report.tokens < report.longest:
        parts.append(f"a context of {counted(report.tokens, 'token')}")
    if report.batch > 1:
        parts.append(f"a batch of {report.batch} rows")
    return f" with {' and '.join(parts)}" if parts else ""


def _account_table(
    title: str,
    memory_parts: Sequence[MemoryPart],
    accounts: tuple[str, ...],
    headings: Mapping[str, str] = MappingProxyType({}),
) -> Table:
    rows = [
        (part.name, *(_cell(part.figures()[account], account) for account in accounts))
        for part in memory_parts
    ]
    columns = ("part", *(headings.get(account, account) for account in accounts))
    return Table(title, columns, tuple(rows), tuple(range(1, len(columns))))


def _cell(figure: Figure, account: str) -> str:
    """A figure as text, marked if it is a lower bound or if the account `planned` has a predicted figure."""
    least = LEAST if figure.value is not None and figure.note.startswith("without ") else ""
    mark = TAKEN_OVER if account == "planned" and figure.how == "predicted" else ""
    return f"{least}{figure_cell(figure)}{mark}"


def repeats_lines(repeats: Repeats) -> list[str]:
    """One line with the median and the range of each total that several processes measured."""
    spreads = [
        f"{name} {format_bytes(spread.median)} ({format_bytes(spread.low)} to {format_bytes(spread.high)})"
        for name, spread in repeats.totals.items()
    ]
    text = ", ".join(spreads)
    return [f"{repeats.processes} processes, median and range: {text}; the table has the highest process"]


def memory_lines(report: MemoryReport) -> list[str]:
    """Lines with the machine and the spread of the measurement, unknown figures with reasons, and notes."""
    lines = [f"{'' if report.emulated else 'measured '}on {report.machine}" if report.machine else ""]
    if not report.firmware:
        lines.append(f"predicted for {report.processor}")
    if report.contexts:
        sizes = ", ".join(
            f"{_cell(each.process, 'predicted')} with {each.tokens}" for each in report.contexts
        )
        lines.append(f"predicted by tokens in the context: {sizes}")
    lines += repeats_lines(report.repeats) if report.repeats else []
    if any(part.planned.how == "predicted" for part in report.process):
        lines.append(f"{TAKEN_OVER.strip()} predicted, because the file does not contain it")
    unknown = []
    for part in (*report.process, report.load_peak):
        for how in report.hows:
            figure = part.figures()[how]
            # Only measurements have unaccounted memory.
            if figure.value is None and not (part.name == UNACCOUNTED and how != "measured"):
                account = "emulated" if report.emulated and how == "measured" else how
                unknown.append((figure.note, f"{part.name} ({account})"))
    lines += [f"not known: {'; '.join(names)}: {reason}" for reason, names in grouped(unknown).items()]
    basis = grouped([(part.predicted.note, part.name) for part in report.file if part.predicted.note])
    lines += [f"predicted file: {', '.join(parts)}: {how}" for how, parts in basis.items()]
    lines += [f"note: {note}" for note in report.notes]
    return [line for line in lines if line]


def verdict_lines(verdict: Verdict, context: str = "") -> list[str]:
    """A line for each memory of the device, then a line with the outcome.

    Args:
        context: words about the length of the context, for the outcome's line; "" for none.
    """
    lines = []
    for share in verdict.shares:
        budget = format_bytes(share.budget)
        if share.used is None:
            lines.append(f"{share.memory} ({share.kind}): {need_text(share)} of {budget}")
        else:
            filled = min(BAR_WIDTH, round(share.used * BAR_WIDTH))
            bar = "#" * filled + "." * (BAR_WIDTH - filled)
            lines.append(
                f"{share.memory} ({share.kind}): [{bar}] {need_text(share)} of {budget}, "
                f"{100 * share.used:.1f} %"
            )
        lines += [f"  {line}" for line in share_lines(share)]
    reason = f": {verdict.problem}" if verdict.problem else ""
    device = f"{verdict.device} ({verdict.device_name})"
    lines.append(f"{verdict.outcome.upper()} on {device}{context}{reason}")
    return lines


def need_text(share: Share) -> str:
    if share.need.value is None:
        return f"not known ({share.need.note})"
    return f"{'at least ' if share.unknown else ''}{share.need} ({share.origin})"


def share_lines(share: Share) -> list[str]:
    """Lines with the parts that the verdict leaves out, by reason, and with the device's unverified facts."""
    uncounted = grouped([(reason, part) for part, reason in share.unknown.items()])
    lines = [
        f"{share.memory}: not counted: {'; '.join(parts)}: {reason}" for reason, parts in uncounted.items()
    ]
    return lines + unverified_lines(share)


def unverified_lines(share: Share) -> list[str]:
    """A line for each unverified fact of the device that the budget depends on."""
    return [f"uses an unverified figure, {path}: {source}" for path, source in share.unverified.items()]
