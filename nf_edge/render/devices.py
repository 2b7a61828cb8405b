"""The reports of `nf-edge devices`: lists, facts, unverified facts, and new files."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nf_edge.core.device import UNKNOWN, Device, format_size
from nf_edge.core.figures import format_bytes
from nf_edge.render.table import Part, Table, body

if TYPE_CHECKING:
    from nf_edge.pipeline.device_files import DeviceFile


def device_table(devices: Sequence[Device]) -> list[Part]:
    rows = []
    for device in devices:
        ram = device.working_memory
        rows.append(
            (
                device.id,
                device.class_,
                "\n".join(f"{core.count.value}× {core.core}" for core in device.cpu),
                f"{format_size(ram.budget_bytes)}\nof {format_size(ram.size.value)}",
                "\n".join(device.backends) or "none",
                f"{len(device.unverified_facts())} of {len(device.facts())}",
            )
        )
    columns = ("device", "class", "CPU", "RAM for\na model", "backends", "facts\nunverified")
    return [Table("", columns, tuple(rows))]


def device_parts(device: Device, width: int) -> list[Part]:
    """The report of a device: every fact with its source, wrapped to `width` columns."""
    lines = [f"{device.name} ({device.id}, {device.class_})"]
    if device.url:
        lines.append(device.url)
    lines.append(f"backends, preferred first: {', '.join(device.backends) or 'none'}")
    for memory in device.budgets:
        exact, rounded = format_size(memory.budget_bytes), format_bytes(memory.budget_bytes)
        lines.append(f"a model may take {exact} ({rounded}) of {memory.name}")
    for path, fact in device.facts().items():
        unverified = "" if fact.verified else "  (unverified)"
        lines += ["", f"{path}: {fact_text(path, fact.value)}{unverified}"]
        # Addresses are not broken, so that terminals can open them.
        source = textwrap.wrap(fact.source, width - 2, break_long_words=False, break_on_hyphens=False)
        lines += [f"  {line}" for line in source]
    return [body(lines)]


def unverified_parts(devices: Sequence[Device]) -> list[Part]:
    """One line per device, then one line for each of its unverified facts."""
    lines = []
    for device in devices:
        unverified = device.unverified_facts()
        lines.append(f"{device.id}: valid, {len(unverified)} of {len(device.facts())} facts unverified")
        lines += [f"  {path}: {fact_text(path, fact.value)}" for path, fact in unverified.items()]
    return [body(lines)]


def written_parts(written: "DeviceFile") -> list[Part]:
    """The path of a new file, with what the user has to do or the unverified facts."""
    if written.device is None:
        todo = f"fill in each `{UNKNOWN}`, then run: nf-edge devices check {written.path.stem}"
        return [body([f"wrote {written.path}", todo])]
    return [body([f"wrote {written.path}"]), *unverified_parts([written.device])]


def fact_text(path: str, value: Any) -> str:
    """A value of a device file as text, with its unit.

    Args:
        path: the dotted key of the value, such as `memory.LPDDR4X.size`.
    """
    key = path.rpartition(".")[2]
    if value is None:
        return UNKNOWN
    if key in ("size", "usable", "reserve"):
        return format_size(value)
    if key == "mhz":
        return f"{value} MHz"
    return (", ".join(value) or "none") if isinstance(value, tuple) else str(value)
