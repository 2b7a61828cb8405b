"""The part of a report's page about the layout of the model file."""

from collections.abc import Mapping, Sequence
from typing import Any

from nf_edge.backends.file_layout import FileLayout
from nf_edge.core.figures import format_bytes
from nf_edge.render.html.layout_charts import arena_chart, weights_chart
from nf_edge.render.layout import arena_lines, dtypes_of, peak_line, peak_table, weights_table


def layout_facts(layout: FileLayout | None, modules: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The template's variables for the arena and the weights; charts are "" and tables None if unknown.

    Args:
        modules: entries of the manifest's `quantization`.
    """
    weights = layout.weights if layout else {}
    arena = layout.arena if layout else None
    dtypes = dtypes_of(weights, modules)
    label = f"Weights by layer, {format_bytes(sum(weights.values()))}"
    return {
        "arena_chart": arena_chart(arena, peak_line(arena)) if layout and arena else "",
        "arena_title": "Activations" if arena and arena.how == "predicted" else "Arena",
        "arena_table": peak_table(arena) if arena else None,
        "arena_lines": arena_lines(layout) if layout else [],
        "weights_chart": weights_chart(weights, dtypes, label) if len(weights) > 1 else "",
        "weights_table": weights_table(weights, dtypes) if weights else None,
    }
