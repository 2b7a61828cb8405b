"""The report of the precision of every module of an artifact, and of its signal-to-noise ratios."""

from collections.abc import Mapping, Sequence
from typing import Any

from nf_edge.artifact.manifest import Calibrated
from nf_edge.backends.input_shape import KV_CACHE
from nf_edge.core.figures import Figure
from nf_edge.quantization.layer_report import ATTENTION
from nf_edge.render.text import counted, truncated_text

# Entries of layer reports that are not modules.
NO_MODULES = (ATTENTION, KV_CACHE)


def quantization_lines(
    layer_reports: Sequence[Mapping[str, Any]], calibration: Calibrated | None
) -> list[str]:
    """The lines of the report: each dtype with its modules, attention, cache, the noisiest modules, and the
    calibration data.
    """
    groups: dict[tuple[str, str], list[str]] = {}
    for layer_report in layer_reports:
        groups.setdefault((layer_report["dtype"], layer_report["reason"]), []).append(layer_report["module"])
    lines, others = [], []
    for (dtype, reason), names in groups.items():
        precision = f"{dtype}{f' ({reason})' if reason else ''}"
        modules = [name for name in names if name not in NO_MODULES]
        if modules:
            lines.append(f"{counted(len(modules), 'module')} {precision}: {_first_names(modules)}")
        others += [f"{name}: {precision}" for name in names if name in NO_MODULES]
    lines += others + _noisiest_lines(layer_reports)
    if calibration is not None:
        lines.append(
            f"calibrated on {calibration.rows} rows of {calibration.source}"
            f"{truncated_text(calibration.truncated_rows)}, SHA-256 {calibration.sha256}"
        )
    return lines


def _noisiest_lines(layer_reports: Sequence[Mapping[str, Any]], most: int = 3) -> list[str]:
    """Lines with the `most` modules of the lowest signal-to-noise ratios, of outputs and of weights."""
    lines = []
    for key, what in (("output_snr", "outputs, on the calibration rows"), ("weights_snr", "weights")):
        # Artifacts of earlier versions do not have these figures.
        ratios = ((layer_report["module"], layer_report.get(key)) for layer_report in layer_reports)
        known = [(name, figure) for name, figure in ratios if figure and figure["value"] is not None]
        worst = sorted(known, key=lambda pair: float(pair[1]["value"]))[:most]
        if worst:
            names = ", ".join(f"{name} {Figure(**figure)}" for name, figure in worst)
            lines.append(f"lowest signal-to-noise ratio of {what} ({worst[0][1]['how']}): {names}")
    return lines


def _first_names(names: Sequence[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
