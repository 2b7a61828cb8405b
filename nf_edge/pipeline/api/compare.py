"""`nf-edge compare`: load the named checkpoints, recipe and device, and compare."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from nf_edge.core.defaults import REPEATS
from nf_edge.core.presets import DEFAULT_RANK
from nf_edge.core.progress import Progress, silent
from nf_edge.core.staging import scratch_folder
from nf_edge.model.baselines import CAVEAT, baseline_configs, write_baselines
from nf_edge.model.data.row_format import RowFormat
from nf_edge.pipeline.api.arguments import format_of
from nf_edge.pipeline.api.inputs import bench_options
from nf_edge.pipeline.api.resolver import Notify, Resolver
from nf_edge.pipeline.compare import ComparisonReport, compare


def compare_named(
    names: Sequence[str],
    preset: str | None,
    rank: int | None,
    *,
    recipe: str,
    device: str | None = None,
    calibrate: str | None = None,
    row_format: RowFormat | None = None,
    lengths: Sequence[int] | None = None,
    contexts: Sequence[int] | None = None,
    threads: Sequence[int] = (1,),
    repeats: int = REPEATS,
    out: Path | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
    notify: Notify | None = None,
) -> ComparisonReport:
    """Compare checkpoints given by name or folder, or three models with random weights.

    The three models have the shape of a preset: a NoiseFormer, a GPT-2, and one with symmetric attention
    without noise.

    Args:
        preset: the name of the three models' shape, if `names` is empty; None: compare `names`.
        rank: rank of the NoiseFormer's low-rank noise; only used with `preset`.
        calibrate: the source of calibration rows, as for `load_rows`; None: the checkpoints' examples.
        row_format: how the calibration rows are read; None: from columns with the usual names, such as
            `text`.
        out: a folder that keeps one artifact per model; None: the artifacts are temporary.
        overwrite: replace existing artifacts in `out`.
        lengths, contexts, threads, repeats: as for `nf_edge.bench`.
        notify: called with each remark on a checkpoint.

    Raises:
        BadInput: a name is unknown, the checkpoints cannot be compared, or the recipe does not suit one of
            them.  Also if a length or context is too long for a model, or `out` cannot be used.
    """
    resolver, options = Resolver(notify), bench_options(lengths, contexts, threads, repeats)
    the_recipe, the_device = resolver.recipe(recipe), resolver.optional_device(device)
    with ExitStack() as stack:
        if preset:
            scratch = stack.enter_context(scratch_folder())
            models = write_baselines(baseline_configs(preset, rank or DEFAULT_RANK), scratch, progress)
        else:
            models = [resolver.checkpoint(name) for name in names]
        report = compare(
            models,
            the_recipe,
            options,
            device=the_device,
            calibrate=calibrate,
            row_format=format_of(row_format, calibrate=calibrate),
            out=out,
            overwrite=overwrite,
            progress=progress,
        )
    return replace(report, notes=(CAVEAT, *report.notes)) if preset else report
