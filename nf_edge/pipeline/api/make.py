"""Functions that write results from a checkpoint: smaller checkpoints, recipes, and a sweep over recipes."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from nf_edge.core.defaults import REPEATS
from nf_edge.core.errors import BadInput
from nf_edge.core.progress import Progress, silent
from nf_edge.pipeline.api.arguments import (
    Named,
    check_recipe_file,
    format_of,
    name_of,
    optional_name,
    optional_path,
    optional_whole,
    path_of,
    place_of,
    require_list,
)
from nf_edge.pipeline.api.inputs import bench_options, search_target, sensitivity_rows
from nf_edge.pipeline.api.resolver import Notify, Resolver

if TYPE_CHECKING:
    from nf_edge.core.device import Device
    from nf_edge.core.recipe.recipe import Recipe
    from nf_edge.model import Checkpoint
    from nf_edge.model.data.row_format import RowFormat
    from nf_edge.model.data.rows import Rows
    from nf_edge.pipeline.mixed_precision import SensitivityReport
    from nf_edge.pipeline.sweep import SweepReport
    from nf_edge.pruning.pruning_report import PruningReport
    from nf_edge.training import Validation


def compress(
    checkpoint: "Named | Checkpoint",
    recipe: "Named | Recipe",
    out: Named,
    *,
    train: Named,
    valid: Named | None = None,
    data: Named | None = None,
    row_format: "RowFormat | None" = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    notify: Notify | None = None,
    on_validation: "Callable[[Validation], None] | None" = None,
) -> "PruningReport":
    """Prune a checkpoint by a recipe's `prune` section, and recover its accuracy by the `recover` section.

    Args:
        out: the checkpoint folder to write.
        train: rows (for a language model, text) to select the parts to prune and to train the recovery on.
        valid: rows that select the best step of recovery; None: a twentieth of `train`.
        data: rows to score the result on; None: the rows of `valid`.
        row_format: task, columns and labels of files; None: the usual names, such as `text` and `label`.
        resume: continue an interrupted recovery.
        on_validation: called with each validation of recovery.

    Raises:
        BadInput: the recipe has neither section, the data does not suit the model, or `out` cannot be used.
    """
    from nf_edge.pruning.compress import compress_checkpoint
    from nf_edge.pruning.data import Sources

    resolver = Resolver(notify)
    the_recipe = resolver.recipe(recipe)
    if not the_recipe.shrinks:
        raise BadInput(
            f"recipe {the_recipe.name} has neither a section `prune` nor `recover`, so it compresses nothing",
            fix="add one of them; `nf-edge recipes show xnnpack-8da8w-half` shows a recipe with both",
        )
    return compress_checkpoint(
        resolver.checkpoint(checkpoint),
        the_recipe,
        Sources(
            name_of(train), optional_name(valid), optional_name(data), format_of(row_format, train=train)
        ),
        path_of(out),
        resume=resume,
        overwrite=overwrite,
        progress=progress or silent,
        on_validation=on_validation or (lambda validation: None),
    )


def sensitivity(
    checkpoint: "Named | Checkpoint",
    recipe: "Named | Recipe",
    *,
    data: "Named | Rows | None" = None,
    calibrate: "Named | Rows | None" = None,
    row_format: "RowFormat | None" = None,
    limit: int | None = None,
    file_size: int | None = None,
    kl: float | None = None,
    max_drop: float | None = None,
    out: Named | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    notify: Notify | None = None,
) -> "SensitivityReport":
    """Measure the cost of quantizing each layer and table; with a target, also write a mixed-precision
    recipe.

    Args:
        data: rows to compare predictions on; None: the checkpoint's examples.  Only the first `limit` rows of
            a file are used; None: 256.
        calibrate: calibration rows, if the recipe needs them; None: the checkpoint's examples.
        row_format: task, columns and labels of files; None: the usual names, such as `text` and `label`.
        file_size: target: largest size of the model file, in bytes.
        kl: target: largest mean KL divergence of the predictions, in nats.
        max_drop: target: largest loss of accuracy, in points.
        out: the recipe file to write if the target is met, NAME.yaml; required with a target.

    Raises:
        BadInput: the recipe or the rows do not suit the checkpoint, there are several targets, or `out`
            cannot be used.
    """
    from nf_edge.pipeline.mixed_precision import SensitivityJob, run

    resolver = Resolver(notify, row_format=format_of(row_format, data=data, calibrate=calibrate))
    target, place = search_target(file_size, kl, max_drop, out), optional_path(out)
    the_recipe = resolver.recipe(recipe)
    if place is not None:
        read = place_of("recipes", recipe) + place_of("", data) + place_of("", calibrate)
        check_recipe_file(place, the_recipe.is_stock, overwrite, read)
    the_checkpoint = resolver.checkpoint(checkpoint)
    length = resolver.input_shape(the_recipe, the_checkpoint).length
    rows = sensitivity_rows(resolver, data, the_checkpoint, limit, length)
    if target is not None:
        rows.require_labels(the_checkpoint.config)
    calibration = resolver.calibration(calibrate, the_checkpoint, length)
    job = SensitivityJob(the_checkpoint, the_recipe, rows, calibration)
    return run(job, target, place, overwrite=overwrite, progress=progress or silent)


def sweep(
    checkpoint: "Named | Checkpoint",
    data: Named,
    *,
    recipes: Sequence[Named] = (),
    device: "Named | Device | None" = None,
    calibrate: Named | None = None,
    train: Named | None = None,
    row_format: "RowFormat | None" = None,
    limit: int | None = None,
    lengths: Sequence[int] | None = None,
    contexts: Sequence[int] | None = None,
    threads: Sequence[int] = (1,),
    repeats: int = REPEATS,
    out: Named | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    notify: Notify | None = None,
) -> "SweepReport":
    """Compare several recipes for one checkpoint: size, memory, latency on this machine, and accuracy.

    Args:
        recipes: names or files, the baseline first; empty: all bundled recipes that suit the checkpoint.
        calibrate: calibration rows, if a recipe needs them; None: the checkpoint's examples.
        train: rows, or text, for recipes that prune and recover; None: these recipes are left out.
        row_format: task, columns and labels of files; None: the usual names, such as `text` and `label`.
        lengths, contexts, threads, repeats: as for `bench`; by default, a prefill is as long as the median
            row of `data`.
        out: a folder that keeps the artifacts, `sweep.json` and `sweep.html`; None: they are temporary.

    Returns:
        A SweepReport with every artifact, even if it fails a gate.

    Raises:
        BadInput: a requested recipe does not suit the checkpoint, no recipe does, the data does not suit the
            model, or `out` cannot be used.
        MissingTool: a requested recipe needs kernels of nf-edge, which cannot be built on this machine.
    """
    from nf_edge.pipeline.sweep import sweep as job

    if overwrite and out is None:
        raise BadInput("overwrite needs out; give out, or leave overwrite out")
    require_list("recipes", recipes)
    resolver, options = Resolver(notify), bench_options(lengths, contexts, threads, repeats)
    the_device = resolver.optional_device(device)
    return job(
        resolver.checkpoint(checkpoint),
        [name_of(each) for each in recipes],
        data=name_of(data),
        limit=optional_whole("limit", limit, 1),
        calibrate=optional_name(calibrate),
        train=optional_name(train),
        row_format=format_of(row_format, data=data),
        device=the_device,
        options=options,
        out=optional_path(out),
        overwrite=overwrite,
        progress=progress or silent,
    )
