"""The report of `nf-edge check --layers`: the error of each layer's output."""

import math

from nf_edge.core.figures import format_number
from nf_edge.measure.accuracy.layers import LayerError, LayersReport
from nf_edge.render.table import Part, Table, body
from nf_edge.render.text import UNKNOWN

# Noise below float32's rounding is no error of the layer.
NO_NOISE = 100.0


def layers_parts(report: LayersReport) -> list[Part]:
    return [layers_table(report), body(layers_lines(report))]


def layers_table(report: LayersReport) -> Table:
    """The table of layer errors, one row per layer in the order of the run."""
    columns = ["layer", "dtype", "SNR\n(dB)", "SNR with\nexact inputs\n(dB)", "cosine", "largest\nerror"]
    rows = [[layer.name, layer.dtype, *_cells(layer)] for layer in report.layers]
    if report.file_through:
        columns.insert(3, "SNR in\nthe file\n(dB)")
        for row, layer in zip(rows, report.layers, strict=True):
            row.insert(3, UNKNOWN if layer.file_snr is None else decibels_text(layer.file_snr))
    right = tuple(range(2, len(columns)))
    return Table("Error of each layer against fp32", tuple(columns), tuple(map(tuple, rows)), right)


def _cells(layer: LayerError) -> tuple[str, ...]:
    return (
        decibels_text(layer.snr),
        decibels_text(layer.own_snr),
        format_number(layer.cosine, ".5f"),
        f"{format_number(layer.largest, '.2g')} of {layer.scale:.2g}",
    )


def decibels_text(decibels: float) -> str:
    """A signal-to-noise ratio in dB as text; `exact` if the noise is only float32's rounding."""
    if decibels >= NO_NOISE:
        return "exact"
    return f"{decibels:.1f}" if math.isfinite(decibels) else "not finite"


def layers_lines(report: LayersReport) -> list[str]:
    lines = [first_bad_line(report)]
    if report.lowered_again.same is False:
        lines.insert(0, _difference_line(report))
    if report.remedy:
        lines.append(f"remedy: {report.remedy}")
    lines += [f"data: {report.data}, {report.rows:,} rows", f"measured through {report.through}"]
    if report.file_through:
        lines.append(
            f"in the file: {report.file_through}, which shows the outputs of instructions, but not of layers "
            "inside a delegate"
        )
    if report.missing:
        lines.append(
            f"not measured, because they are not computed as one tensor: {', '.join(report.missing)}"
        )
    return [
        *lines,
        "SNR with exact inputs: each layer receives the fp32 inputs, so it shows only the error that it adds",
        "exact: only the rounding of float32 differs",
        f"same file: {report.lowered_again.text}",
    ]


def first_bad_line(report: LayersReport) -> str:
    """The line that names the first bad layer, or the layer that adds the most error if none is bad."""
    bad, worst = report.first_bad, report.worst
    if bad is None:
        most = f"{worst.name} adds the most error (SNR {decibels_text(worst.own_snr)} dB)"
        return most if report.lowered_again.same is False else f"no layer is out of line; {most}"
    line = f"the first bad layer: {bad.name} (SNR {decibels_text(bad.own_snr)} dB with exact inputs)"
    if bad.departure > bad.own_noise:
        return (
            f"{line}; here, or in an earlier layer of the same delegate, the file computes other values than "
            "the program"
        )
    return line


def _difference_line(report: LayersReport) -> str:
    if report.first_different:
        return f"the first layer that differs from a second lowering: {report.first_different}"
    return "a second lowering gives another file, but no layer that can be read here shows the difference"
