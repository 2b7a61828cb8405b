"""The page of `nf-edge devices fit --html`: a heat map of all devices and recipes, and every verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from nf_edge import __version__
from nf_edge.render.devices_fit import count_text, device_parts, need_text
from nf_edge.render.html.templates import filled

if TYPE_CHECKING:
    from nf_edge.pipeline.devices_fit import DeviceFits, DevicesFit, Fit

# Up to these shares of the budget a cell has these styles.
SHADES = ((0.25, "roomy"), (0.75, "half"), (1.0, "full"), (2.0, "over"))


class Key(NamedTuple):
    """An entry of the heat map's legend.

    Attributes:
        style: the CSS class of the cells.
        sign: the character in the cells, which distinguishes verdicts without colours.
        meaning: the verdict, in words.
    """

    style: str
    sign: str
    meaning: str


LEGEND = (
    Key("roomy", "", "fits, up to 25 % of the budget"),
    Key("half", "", "fits, up to 75 %"),
    Key("full", "", "fits, up to 100 %"),
    Key("roomy", "~", "fits as far as known"),
    Key("over", "×", "over budget, up to twice"),
    Key("far", "×", "over budget, more than twice"),
    Key("", "?", "unknown"),
    Key("none", "", "does not run"),
)
SIGNS = {"fits as far as known": "~", "over budget": "×", "unknown": "?"}


def devices_fit_page(report: DevicesFit) -> str:
    """The page of `nf-edge devices fit --html`, as HTML without scripts that loads no other files."""
    backends = [recipe.backend for recipe in report.recipes]
    # A gap separates the recipes of two backends.
    starts = [before != backend for before, backend in zip([None, *backends], backends, strict=False)]
    names = [recipe.name for recipe in report.recipes]
    return filled(
        "devices_fit.html.j2",
        report=report,
        legend=LEGEND,
        columns=[{"recipe": name, "first": first} for name, first in zip(names, starts, strict=True)],
        rows=[_row(each, report, starts) for each in report.devices],
        version=__version__,
    )


def _row(each: DeviceFits, report: DevicesFit, starts: list[bool]) -> dict[str, object]:
    return {
        "id": each.device.id,
        "name": each.device.name,
        "count": count_text(each),
        "cells": [_cell(fit, first) for fit, first in zip(each.fits, starts, strict=True)],
        "parts": device_parts(each, report.recipes),
    }


def _cell(fit: Fit, first: bool) -> dict[str, object]:
    outcome = fit.verdict.outcome
    need = f" ({need_text(fit)} of {fit.share.memory})" if fit.runs and fit.share else ""
    return {
        "style": style_of(fit),
        "sign": SIGNS.get(outcome, ""),
        "first": first,
        "title": f"{fit.recipe}: {outcome}{need}",
    }


def style_of(fit: Fit) -> str:
    """The CSS class of a cell, by the share of the budget that the artifact needs; "" if it is unknown."""
    if not fit.runs:
        return "none"
    if fit.share is None or fit.share.used is None:
        return ""
    used = fit.share.used
    return next((style for most, style in SHADES if used <= most), "far")
