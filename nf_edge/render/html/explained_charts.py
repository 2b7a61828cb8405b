"""Charts of the explanations: the metric after each stage, and the error of each layer."""

import matplotlib

from nf_edge.measure.accuracy.layers import LayersReport
from nf_edge.measure.accuracy.stages import StagesReport
from nf_edge.render.accuracy import metric_text
from nf_edge.render.html.charts import SETTINGS, figure_of, svg_of
from nf_edge.render.html.colours import COLOURS, FAINT, PAGE, VERMILION

# The colour of what is out of line.
BAD = VERMILION.light
# A background for text, so that a line behind it does not cross it out.
OVER = {"facecolor": PAGE, "edgecolor": "none", "pad": 0.5}
# The ratio that stands for no noise but float32's rounding.
EXACT = 100.0


def stages_chart(report: StagesReport, label: str) -> str:
    """An SVG chart of the main metric after each stage that was run.

    Without labels, it shows the change from fp32 instead, such as the KL divergence.

    Args:
        label: the description of the chart for screen readers.
    """
    steps = [result.from_fp32 for result in report.results]
    names = [result.stage.name for result in report.results]
    worst = report.worst.stage.name if report.worst else ""
    main = steps[0].main.metric if steps[0].main else None
    if main is None:
        values: list[float | None] = [step.change for step in steps]
        texts, title = [f"{step.change:.2g}" for step in steps], f"{report.worst_by}, against fp32"
    else:
        names = [report.reference.name, *names]
        mains = [step.main for step in steps if step.main]
        values = [mains[0].reference, *(change.artifact for change in mains)]
        texts, title = [metric_text(main, value) for value in values], main.title
    with matplotlib.rc_context(SETTINGS):
        figure, axes = figure_of(0.6 + 0.34 * len(names))
        known = [(row, value) for row, value in enumerate(values) if value is not None]
        axes.plot([value for _, value in known], [row for row, _ in known], color=FAINT, zorder=1)
        for row, value in known:
            colour = BAD if names[row] == worst else COLOURS[0]
            axes.plot(value, row, "o", color=colour, markersize=6, zorder=2)
            axes.annotate(
                texts[row], (value, row), (8, 0), textcoords="offset points", va="center", bbox=OVER
            )
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.margins(x=0.25)
        axes.xaxis.set_visible(False)
        axes.set_title(title, loc="left", fontsize=8.5)
        return svg_of(figure, label)


def layers_chart(report: LayersReport, label: str) -> str:
    """An SVG chart of each layer's signal-to-noise ratio, with and without the errors of earlier layers.

    Args:
        label: the description of the chart for screen readers.
    """
    layers = report.layers
    bad = report.first_bad
    with matplotlib.rc_context(SETTINGS):
        figure, axes = figure_of(0.9 + 0.2 * len(layers))
        rows = range(len(layers))
        ratios = [
            [max(-10.0, min(EXACT, ratio)) for ratio in column]
            for column in ([layer.snr for layer in layers], [layer.own_snr for layer in layers])
        ]
        for row, (usual, exact) in enumerate(zip(*ratios, strict=True)):
            axes.plot([usual, exact], [row, row], color=FAINT, linewidth=1, zorder=1)
        axes.plot(ratios[0], rows, "o", color=COLOURS[0], markersize=4, label="in a usual run")
        axes.plot(ratios[1], rows, "o", color=COLOURS[4], markersize=4, label="with exact inputs")
        if bad is not None:
            row = layers.index(bad)
            axes.plot(ratios[1][row], row, "o", color=BAD, markersize=7, label="the first bad layer")
        axes.set_yticks(rows, [layer.name.removeprefix("transformer.") for layer in layers])
        axes.set_ylim(len(layers) - 0.5, -0.5)
        axes.set_title("signal-to-noise ratio, dB (100: exact)", loc="left", fontsize=8.5)
        axes.grid(axis="x", color=FAINT, linewidth=0.5)
        axes.legend(loc="upper left", bbox_to_anchor=(0, -0.04), frameon=False, ncols=2, handlelength=1)
        return svg_of(figure, label)
