"""Reports of the operators that the accelerated library executes, and of an accelerator's cost."""

from nf_edge.artifact.entries import CoverageEntry, LeftEntry
from nf_edge.artifact.manifest import Manifest
from nf_edge.core.figures import Figure
from nf_edge.render.table import Lines, Part, Table
from nf_edge.render.work import work_lines, work_shares, work_table


def coverage_parts(manifest: Manifest) -> list[Part]:
    """The report of the operators, of the accelerator, and of the processor's work, as far as known."""
    parts: list[Part] = [Lines("Operators", coverage_lines(manifest))]
    if (table := accelerator_table(manifest)) is not None:
        parts += [Lines("Accelerator", accelerator_lines(manifest)), table]
    if (table := work_table(manifest)) is not None:
        parts += [Lines("Work", work_lines(manifest)), table]
    return parts


def coverage_lines(manifest: Manifest) -> list[str]:
    """Lines about the operators that the accelerated library executes, and about all others, with reason and
    fix.
    """
    coverage = manifest.coverage
    line = f"{coverage_text(coverage)}, run in {coverage['library']}"
    if coverage.get("total_macs"):
        line += f" ({coverage['total_macs']:,} in a run on {coverage['length']} tokens)"
    groups: dict[tuple[str, str], list[LeftEntry]] = {}
    for left in coverage["left"]:
        groups.setdefault((left["reason"], left.get("fix", "")), []).append(left)
    lines = [f"{line}; the others:" if groups else line]
    shares = work_shares(manifest)

    def work(entries: list[LeftEntry]) -> float:
        return sum(shares.get(entry["operator"], 0.0) for entry in entries)

    for (reason, fix), entries in sorted(groups.items(), key=lambda group: work(group[1]), reverse=True):
        operators = ", ".join(f"{entry['count']} {entry['operator']}" for entry in entries)
        if shares:
            operators += f", {100 * work(entries):.1f} % of instructions"
        if coverage.get("total_macs"):
            operators += f", {macs_text(sum(entry['macs'] for entry in entries), coverage)}"
            reason += f"; fix: {fix}" if fix else "; no fix known"
        lines.append(f"  {operators}: {reason}")
    return lines


def coverage_text(coverage: CoverageEntry) -> str:
    """The coverage in words, such as `48 of 66 operators, 99.99 % of multiply-accumulates`."""
    delegated, total = coverage["delegated"], coverage["total"]
    operators = f"all {total} operators" if delegated == total else f"{delegated} of {total} operators"
    # Artifacts of earlier versions do not have this figure.
    if not coverage.get("total_macs"):
        return operators
    return f"{operators}, {macs_text(coverage['macs'], coverage)}"


def macs_text(macs: int, coverage: CoverageEntry) -> str:
    """The share of the program's multiply-accumulates, such as `99.99 % of multiply-accumulates`."""
    return f"{share_text(macs, coverage['total_macs'])} of multiply-accumulates"


def share_text(part: int, total: int) -> str:
    """A share such as `99.99 %`, rounded down, so that only the total is 100 %."""
    hundredths = 10_000 * part // total
    return f"{hundredths / 100:.4g} %" if hundredths or not part else "less than 0.01 %"


def accelerator_lines(manifest: Manifest) -> list[str]:
    """Lines with the compiler's estimates of the accelerator's cycles, time and memory; empty without one."""
    estimate = manifest.reports.get("accelerator")
    if estimate is None:
        return []
    sram, flash, cycles, time = (Figure(**estimate[name]) for name in ("sram", "flash", "cycles", "time"))
    return [
        f"{cycles} cycles, {time} a run ({cycles.how}: {estimate['source']}; without the host's part)",
        f"{sram} of SRAM ({sram.how}), {flash} of {flash.note or 'flash'} ({flash.how})",
    ]


def accelerator_table(manifest: Manifest) -> Table | None:
    """The accelerator's cycles by kind of operator; None without an accelerator."""
    estimate = manifest.reports.get("accelerator")
    if estimate is None:
        return None
    rows = tuple(
        (kind["operator"], f"{kind['count']}", f"{kind['cycles']:,}", f"{100 * kind['share']:.1f} %")
        for kind in estimate["kinds"]
    )
    return Table("Cycles by operator (simulated)", ("operator", "count", "cycles", "share"), rows, (1, 2, 3))
