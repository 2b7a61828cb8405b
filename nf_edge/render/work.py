"""The report of a processor's work: estimated instructions of one run, by operator."""

from nf_edge.artifact.manifest import Manifest
from nf_edge.render.table import Table


def work_lines(manifest: Manifest) -> list[str]:
    """The instructions of one run, and how to reduce most of them; empty if no costs were measured."""
    work = manifest.reports.get("work")
    if work is None or not work["kinds"]:
        return []
    line = f"{work['instructions'] / 1e6:,.3g} million instructions a run (predicted; {work['source']})"
    most = work["kinds"][0]
    advice = f": {most['advice']}" if most["advice"] else ""
    return [line, f"most work: {most['operator']}, {100 * most['share']:.1f} % of the instructions{advice}"]


def work_table(manifest: Manifest) -> Table | None:
    """The instructions by operator, the most first; None if no costs were measured."""
    work = manifest.reports.get("work")
    if work is None or not work["kinds"]:
        return None
    rows = tuple(
        (kind["operator"], f"{kind['count']}", f"{kind['instructions']:,}", f"{100 * kind['share']:.1f} %")
        for kind in work["kinds"]
    )
    columns = ("operator", "count", "instructions", "share")
    return Table("Instructions by operator (predicted)", columns, rows, (1, 2, 3))


def work_shares(manifest: Manifest) -> dict[str, float]:
    """Each operator's share of the instructions, by name; empty if no costs were measured."""
    work = manifest.reports.get("work")
    return {} if work is None else {kind["operator"]: kind["share"] for kind in work["kinds"]}
