"""The report of `nf-edge compress`: effects of pruning and recovery on a checkpoint."""

from nf_edge.core.figures import format_bytes
from nf_edge.core.recipe.prune import Compression
from nf_edge.measure.accuracy.divergence import Divergence
from nf_edge.pruning.pruning_report import PruningReport
from nf_edge.render.accuracy import divergence_lines
from nf_edge.render.table import Part, Table, body


def pruning_parts(result: PruningReport) -> list[Part]:
    """The report: sizes and scores before and after pruning, the change of the predictions, and the
    savings.
    """
    return [*_tables(result), body(_lines(result))]


def _tables(result: PruningReport) -> list[Table]:
    before, after = result.before, result.after
    rows = [
        ("parameters", f"{before.parameters:,}", f"{after.parameters:,}"),
        ("vocabulary", f"{before.vocabulary:,}", f"{after.vocabulary:,}"),
        ("layers", str(len(before.layers)), str(len(after.layers))),
        ("heads", *(", ".join(str(heads) for heads, _ in sizes.layers) for sizes in (before, after))),
        ("inner units", *(", ".join(str(inner) for _, inner in sizes.layers) for sizes in (before, after))),
    ]
    rounded = ", rounded" if result.rounded else ""
    scores = [("before", str(result.original))]
    if result.pruned is not None:
        scores.append((f"pruned{rounded}", str(result.pruned)))
        scores.append((f"recovered{rounded}, at step {result.best_step:,}", str(result.result)))
    else:
        scores.append(("pruned", str(result.result)))
    return [
        Table("", ("", "before", "after"), tuple(rows), (1, 2)),
        Table("", (f"score on {result.tested_on}", ""), tuple(scores)),
    ]


def _lines(result: PruningReport) -> list[str]:
    lines = [] if result.divergence is None else divergence_lines(result.divergence)
    if result.reencoded is not None:
        changed, total = result.reencoded
        lines.append(f"test texts that the smaller tokenizer encodes differently: {changed:,} of {total:,}")
    if result.after != result.before:
        lines.append("every artifact exported from it has a smaller file and needs less RAM and time")
    if result.zeros is not None:
        old, new = map(format_bytes, result.download)
        lines.append(
            f"zeros: {100 * result.zeros:.1f} % of the weights of linear layers; they save no file size, RAM "
            f"or time, only a compressed download ({old} → {new}, by deflate)"
        )
    return [*lines, *(f"note: {note}" for note in result.notes)]


def compression_lines(compression: Compression) -> list[str]:
    """Lines about a pruned checkpoint: its original, the removed parts, and the change of the predictions."""
    report = compression.report
    before, after, divergence = report["before"], report["after"], report["faithfulness"]
    sizes = {
        "parameters": (before["parameters"], after["parameters"]),
        "vocabulary": (before["vocabulary"], after["vocabulary"]),
        "layers": (len(before["layers"]), len(after["layers"])),
        "heads": tuple(sum(heads for heads, _ in side["layers"]) for side in (before, after)),
        "inner units": tuple(sum(inner for _, inner in side["layers"]) for side in (before, after)),
    }
    changed = [f"{name} {old:,} → {new:,}" for name, (old, new) in sizes.items() if old != new]
    removed = ", ".join(changed) or "nothing was removed, but the model was trained further"
    lines = [f"made from {compression.original} by recipe {compression.recipe}: {removed}"]
    if divergence is not None:
        lines += divergence_lines(Divergence(**divergence), report["tested_on"])
    return lines
