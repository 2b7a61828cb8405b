"""What came of pruning and recovery, as tables and lines."""

from nf_edge.core.figures import format_bytes
from nf_edge.pruning.pruning_report import Shrunk
from nf_edge.render import Table, flips_text, kl_text


def shrunk_tables(result: Shrunk) -> list[Table]:
    """What the checkpoint has, and its scores, before and after."""
    before, after = result.before, result.after
    rows = [
        ("parameters", f"{before.parameters:,}", f"{after.parameters:,}"),
        ("vocabulary", f"{before.vocabulary:,}", f"{after.vocabulary:,}"),
        ("layers", str(len(before.layers)), str(len(after.layers))),
        ("heads", *(", ".join(str(heads) for heads, _ in sizes.layers) for sizes in (before, after))),
        ("inner units", *(", ".join(str(inner) for _, inner in sizes.layers) for sizes in (before, after))),
    ]
    how = ", rounded" if result.rounded else ""
    scores = [("before", str(result.original))]
    if result.pruned is not None:
        scores.append((f"pruned{how}", str(result.pruned)))
        scores.append((f"recovered{how}, at step {result.best_step:,}", str(result.result)))
    else:
        scores.append(("pruned", str(result.result)))
    return [
        Table("", ("what it has", "before", "after"), tuple(rows), (1, 2)),
        Table("", (f"on {result.tested_on}", ""), tuple(scores), ()),
    ]


def shrunk_lines(result: Shrunk) -> list[str]:
    """How faithful the answers are, and what is saved."""
    lines = []
    if result.divergence is not None:
        lines.append(f"answers that changed: {flips_text(result.divergence)}")
        lines.append(f"KL divergence from the answers before: {kl_text(result.divergence)}")
    if result.otherwise is not None:
        changed, total = result.otherwise
        lines.append(f"texts with other tokens than before: {changed:,} of {total:,}")
    if result.after != result.before:
        lines.append("saved: file, RAM and time of whatever is exported from it")
    if result.zeros is not None:
        old, new = map(format_bytes, result.download)
        lines.append(
            f"zeros: {100 * result.zeros:.1f} % of the weights of linear layers; they save no file, RAM or "
            f"time, only a compressed download ({old} → {new}, by deflate)"
        )
    return lines
