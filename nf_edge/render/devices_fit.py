"""The report of `nf-edge devices fit`."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nf_edge.core.figures import format_bytes
from nf_edge.render.table import Part, Table, body
from nf_edge.render.text import UNKNOWN, counted, grouped

if TYPE_CHECKING:
    from nf_edge.core.recipe.recipe import Recipe
    from nf_edge.pipeline.devices_fit import DeviceFits, DevicesFit, Fit


# A table is then at most 100 columns wide.
MEMORY_WIDTH = 12


def devices_fit_parts(report: DevicesFit) -> list[Part]:
    """The report: a table, the recipes and devices that do not run, and unverified budgets.

    With one recipe or one device, the table has a row per verdict; otherwise a row per device.
    """
    unverified = body(_unverified(report.devices))
    if len(report.recipes) == 1:
        fits = [(each.device.id, each.fits[0]) for each in report.devices]
        title = f"{report.checkpoint} with {report.recipes[0].name}"
        return [_verdicts(title, "device", fits), body(_refusals(fits)), unverified]
    if len(report.devices) == 1:
        device = report.devices[0]
        title = f"{report.checkpoint} on {device.device.id} ({device.device.name})"
        return [*device_parts(device, report.recipes, title), unverified]
    lines = [line for each in report.devices for line in _nothing_fits(each, report.recipes)]
    return [_overview(report), body(lines), unverified]


def device_parts(each: DeviceFits, recipes: Sequence[Recipe], title: str = "") -> list[Part]:
    """The report of one device: a row per recipe that runs on it, and the reasons why others do not."""
    backends = {recipe.name: recipe.backend for recipe in recipes}
    elsewhere = {name for name, backend in backends.items() if backend not in each.device.backends}
    fits = [(fit.recipe, fit) for fit in each.fits if fit.recipe not in elsewhere]
    lines = _refusals(fits)
    if elsewhere:
        # One line instead of one per backend.
        counts = Counter(backends[name] for name in backends if name in elsewhere)
        others = ", ".join(f"{backend} ({count})" for backend, count in counts.items())
        supported = f"the device supports {', '.join(each.device.backends)}"
        reason = supported if each.device.backends else each.fits[0].verdict.problem
        lines.append(f"does not run: {counted(len(elsewhere), 'recipe')} of {others}: {reason}")
    return [_verdicts(title, "recipe", fits), body(lines)]


def count_text(each: DeviceFits) -> str:
    """How many recipes fit a device, such as `12 of 16 fit`, among those that run there."""
    runs = sum(fit.runs for fit in each.fits)
    return f"{len(each.passing)} of {runs} fit" if runs else "runs none"


def need_text(fit: Fit) -> str:
    """The bytes needed in the memory with the worst outcome; with "≥" if the size of a part is unknown."""
    if fit.share is None or fit.share.need.value is None:
        return UNKNOWN
    return f"{'≥ ' if fit.share.unknown else ''}{fit.share.need}"


def headroom_text(fit: Fit | None) -> str:
    """The budget minus the artifact's need, as text; with "≤" if the need has parts of unknown size."""
    if fit is None or fit.share is None or fit.share.headroom is None:
        return UNKNOWN
    return f"{'≤ ' if fit.share.unknown else ''}{format_bytes(fit.share.headroom)}"


def would_fit(fit: Fit) -> str:
    """What fits if an artifact is over budget: fewer tokens, or a smaller recipe; "" if neither is known."""
    options = [counted(fit.context, "token") if fit.context else "", fit.smaller]
    return " or ".join(option for option in options if option)


def memory_text(fit: Fit | None) -> str:
    """The name of the memory with the worst outcome, in lines of at most `MEMORY_WIDTH` characters."""
    if fit is None or fit.share is None:
        return UNKNOWN
    return textwrap.fill(fit.share.memory, MEMORY_WIDTH)


def _overview(report: DevicesFit) -> Table:
    columns = (
        "device",
        "run",
        "fit",
        "as far\nas known",
        "least compressed\nrecipe that fits",
        "head-room",
        "memory",
    )
    rows = []
    for each in report.devices:
        best, certain = each.best, sum(fit.verdict.outcome == "fits" for fit in each.fits)
        rows.append(
            (
                each.device.id,
                str(sum(fit.runs for fit in each.fits)),
                str(certain),
                str(len(each.passing) - certain),
                best.recipe if best else UNKNOWN,
                headroom_text(best),
                memory_text(best),
            )
        )
    title = f"{report.checkpoint}: {counted(len(report.recipes), 'recipe')} on each device"
    return Table(title, columns, tuple(rows), (1, 2, 3, 5))


def _nothing_fits(each: DeviceFits, recipes: Sequence[Recipe]) -> list[str]:
    """One line that says why no recipe fits a device, and what would fit; no line if a recipe fits."""
    if each.passing:
        return []
    nearest = each.nearest
    if nearest is None or nearest.share is None:
        return [f"{each.device.id}: {_why_none_runs(each, recipes)}"]
    helps = would_fit(nearest)
    ending = f"; {helps} would fit" if helps else ""
    return [f"{each.device.id}: {nearest.recipe} is nearest: {nearest.share.problem}{ending}"]


def _why_none_runs(each: DeviceFits, recipes: Sequence[Recipe]) -> str:
    """Why a device runs no recipe: one recipe's reason, in words.

    It is the first recipe whose backend the device supports; if there is none, the first recipe.
    """
    problems = [
        (recipe.backend not in each.device.backends, fit.verdict.problem)
        for recipe, fit in zip(recipes, each.fits, strict=True)
    ]
    elsewhere, problem = min(problems, key=lambda entry: entry[0])
    return f"it runs none of the {len(problems)} recipes: {problem}" if not elsewhere else problem


def _verdicts(title: str, first: str, fits: Sequence[tuple[str, Fit]]) -> Part:
    """One row per verdict; only the title if nothing runs."""
    if not any(fit.runs for _, fit in fits):
        return body([title])
    columns = (first, "verdict", "needs", "head-room", "memory", "would fit")
    cells = [
        (
            name,
            fit.verdict.outcome.replace("far ", "far\n"),
            need_text(fit),
            headroom_text(fit),
            memory_text(fit),
            would_fit(fit).replace(" or", "\nor"),
        )
        for name, fit in fits
        if fit.runs
    ]
    return Table(title, columns, tuple(cells), (2, 3))


def _refusals(fits: Sequence[tuple[str, Fit]]) -> list[str]:
    """One line for each reason why an artifact does not run.

    Args:
        fits: the verdicts, each after the name of its device or recipe, which the line lists.
    """
    reasons = grouped([(fit.verdict.problem, name) for name, fit in fits if not fit.runs])
    return [f"does not run: {', '.join(names)}: {reason}" for reason, names in reasons.items()]


def _unverified(devices: Sequence[DeviceFits]) -> list[str]:
    """A line with the number of budgets that depend on unverified facts; no line if none does."""
    count = sum(any(memory.unverified_budget() for memory in each.device.budgets) for each in devices)
    if not count:
        return []
    budgets = "the budget uses" if len(devices) == 1 else f"{count} of {len(devices)} budgets use"
    return [f"{budgets} unverified figures, which nf-edge devices show DEVICE lists"]
