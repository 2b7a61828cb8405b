"""The layout of a model file as text: the peak of its arena, and the size of its layers."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nf_edge.backends.file_layout import (
    CACHE,
    EMBEDDINGS,
    HEAD_LAYER,
    INPUT,
    UNKNOWN_LAYER,
    ArenaTensor,
    ArenaUse,
    FileLayout,
)
from nf_edge.core.figures import format_bytes
from nf_edge.render.table import Table
from nf_edge.render.text import counted

# The kinds of layers in charts; the last one has all other layers.
KINDS = (EMBEDDINGS, "attention", "MLP", HEAD_LAYER, CACHE, INPUT, "norms", "other")
PARTS = {"attn": "attention", "mlp": "MLP", "ln_1": "norms", "ln_2": "norms", "ln_f": "norms"}
MODULES = {EMBEDDINGS: ("transformer.wte", "transformer.wpe"), HEAD_LAYER: ("lm_head", "score")}
PREDICTED = (
    "use of activations: predicted, because the file has no plan; a buffer that layers share has the name "
    "of the first; outputs and scratch buffers follow the others"
)
UNKNOWN = "the layer to shrink is not known: a delegate runs the layer norms, which show where a layer starts"
# Names in a line, and rows of a table; more are counted.
MOST_NAMES, MOST_ROWS = 3, 12


def kind_of(layer: str) -> str:
    """The kind of a layer, one of `KINDS`."""
    kind = PARTS.get(layer.rpartition(".")[2], layer)
    return kind if kind in KINDS else KINDS[-1]


def arena_lines(layout: FileLayout) -> list[str]:
    """Lines with the peak of the arena and the layers to shrink, or with the reason why it is unknown."""
    arena = layout.arena
    if arena is None:
        return [f"use of the arena by operator: not known: {layout.reason}"]
    lines = [peak_line(arena), _shrink_line(arena)]
    if arena.how == "predicted":
        return [PREDICTED, *lines]
    if arena.holes > 0:
        lines.append(f"{format_bytes(arena.holes)} of the arena are empty at the peak: the plan leaves gaps")
    return lines


def peak_line(arena: ArenaUse) -> str:
    """The line with the operator at the peak and its largest tensors."""
    operator = arena.operators[arena.peak]
    name = f"{operator_text(operator.name)} in " if operator.name else ""
    largest = ", ".join(tensor_text(tensor) for tensor in arena.peak_tensors[:MOST_NAMES])
    more = len(arena.peak_tensors) - MOST_NAMES
    rest = f" and {counted(more, 'smaller tensor')}" if more > 0 else ""
    return (
        f"peak of the {'arena' if arena.how == 'planned' else 'activations'}: "
        f"{format_bytes(arena.alive[arena.peak])} of {format_bytes(arena.planned)} in use at operator "
        f"{arena.peak + 1} of {len(arena.operators)}, {name}{operator.layer}: {largest}{rest}"
    )


def _shrink_line(arena: ArenaUse) -> str:
    if UNKNOWN_LAYER in arena.peak_layers:
        return UNKNOWN
    fixed = sum(tensor.bytes for tensor in arena.peak_tensors if tensor.layer in (CACHE, INPUT))
    held = f"; cache and inputs take {format_bytes(fixed)} of it" if fixed else ""
    after = ""
    if arena.next_layer:
        layer, most = arena.next_layer
        after = f"; the next layer is {layer} with {format_bytes(most)}"
    return f"to lower the peak, shrink {_names(arena.peak_layers)}, or take fewer tokens{held}{after}"


def tensor_text(tensor: ArenaTensor) -> str:
    """A tensor in words, such as `32.77 kB float32 1×64×128 of transformer.h.0.mlp`."""
    return f"{format_bytes(tensor.bytes)} {_kind(tensor)} of {tensor.layer}"


def _kind(tensor: ArenaTensor) -> str:
    """The dtype and shape of a tensor, or a word for it if they are unknown."""
    return f"{tensor.dtype} {_shape(tensor)}" if tensor.dtype else tensor.operator or "buffer"


def _shape(tensor: ArenaTensor) -> str:
    return "×".join(map(str, tensor.shape)) or "scalar"


def peak_table(arena: ArenaUse) -> Table:
    """The tensors in use at the peak, the largest first, then their sum.

    Equal tensors of a layer share a row, and so do all that have no row of their own.
    """
    groups: dict[tuple[str, str, str], list[int]] = {}
    for each in arena.peak_tensors:
        tensor = _kind(each)
        groups.setdefault((short_name(each.layer), operator_text(each.operator), tensor), []).append(
            each.bytes
        )
    largest = sorted(groups.items(), key=lambda group: -sum(group[1]))
    rows = [
        (layer, f"{len(sizes)} × {tensor}" if len(sizes) > 1 else tensor, format_bytes(sum(sizes)), operator)
        for (layer, operator, tensor), sizes in largest
    ]
    if rest := largest[MOST_ROWS:]:
        size = sum(sum(sizes) for _, sizes in rest)
        count = counted(sum(len(sizes) for _, sizes in rest), "more tensor")
        rows[MOST_ROWS:] = [(_names(layer for (layer, _, _), _ in rest), count, format_bytes(size), "")]
    rows.append(("in use", "", format_bytes(arena.alive[arena.peak]), ""))
    rows.append(("empty, and padding", "", format_bytes(arena.planned - arena.alive[arena.peak]), ""))
    return Table("Tensors at the peak", ("layer", "tensor", "bytes", "written by"), tuple(rows), (2,))


def short_name(layer: str) -> str:
    """A layer's name for narrow places, such as `h.0.attn`."""
    return layer.removeprefix("transformer.")


def operator_text(name: str) -> str:
    """The name of an operator or delegate, such as `add`, without namespace and overload; – for none."""
    return name.rpartition("::")[2].partition(".")[0].removeprefix("delegate ") or "–"


def weights_table(weights: Mapping[str, int], dtypes: Mapping[str, str]) -> Table:
    """The bytes of weights in the file by layer, with the sum.

    Args:
        dtypes: the dtypes of each layer's weights, in words.
    """
    total = sum(weights.values())
    rows = [
        (layer, dtypes.get(layer, ""), format_bytes(size), f"{100 * size / total:.1f} %")
        for layer, size in weights.items()
    ]
    rows.append(("weights and embeddings", "", format_bytes(total), "100 %"))
    return Table("Weights by layer", ("layer", "dtype", "bytes", "share"), tuple(rows), (2, 3))


def dtypes_of(weights: Iterable[str], modules: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Map each layer to the dtypes of its modules, such as `int8, float32`.

    Args:
        modules: entries of the manifest's `quantization`.
    """
    texts = {}
    for layer in weights:
        starts = MODULES.get(layer, (layer,))
        dtypes = [
            entry["dtype"].split(";")[0].split(",")[0]
            for entry in modules
            if any(f"{entry['module']}.".startswith(f"{start}.") for start in starts)
        ]
        texts[layer] = ", ".join(dict.fromkeys(dtypes))
    return texts


def _names(layers: Iterable[str]) -> str:
    names = list(dict.fromkeys(layers))
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more
