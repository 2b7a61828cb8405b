"""The reports of `nf-edge backends` and `nf-edge doctor`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nf_edge.render.table import Lines, Part, Table, body
from nf_edge.render.text import grouped

if TYPE_CHECKING:
    from nf_edge.pipeline.capabilities import Capability
    from nf_edge.pipeline.doctor import Finding


def capability_parts(capabilities: Sequence[Capability]) -> list[Part]:
    return [Lines(f"{each.name}: {each.title}", _capability_lines(each)) for each in capabilities]


def _capability_lines(capability: Capability) -> list[str]:
    """The capabilities of a backend, one line per fact."""
    state = capability.here
    if capability.missing:
        state = f"not here: {', '.join(capability.missing)} not installed ({capability.install})"
    recipes = grouped([(precision, recipe) for recipe, precision in capability.precisions.items()])
    lines = [
        f"here       {state}",
        f"runtime    {capability.runtime}{', with kernels of nf-edge' if capability.own_kernels else ''}",
        f"attention  {capability.attention}",
    ]
    if capability.targets:
        lines.append(f"targets    {', '.join(capability.targets)}")
    # The same words as in an export's report of each layer.
    lines += [f"recipes    {', '.join(names)}: {precision}" for precision, names in recipes.items()]
    return [*lines, f"devices    {', '.join(capability.devices) or 'none bundled'}"]


def doctor_parts(findings: Sequence[Finding]) -> list[Part]:
    """The report of `doctor`: the state of each requirement, then commands that install the missing ones."""
    rows = tuple(
        (each.name, "ok" if each.ok else "missing", each.state, each.needed_for) for each in findings
    )
    table = Table("", ("what", "", "version or state", "for"), rows)
    fixes = [f"{each.name}: {each.fix}" for each in findings if each.fix]
    return [table, Lines("To get what is missing", fixes) if fixes else body(["Nothing is missing."])]
