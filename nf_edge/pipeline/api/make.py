"""Functions that make something: artifacts, smaller checkpoints, recipes, and a sweep over recipes."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from nf_edge.core.defaults import REPEATS
from nf_edge.core.errors import BadInput
from nf_edge.core.progress import Progress, silent
from nf_edge.pipeline.api.arguments import (
    Named,
    check_recipe_file,
    name_of,
    optional_name,
    optional_path,
    optional_whole,
    path_of,
    place_of,
    points,
    require_data,
    require_list,
)
from nf_edge.pipeline.api.inputs import bench_options, export_inputs, search_target, sensitivity_rows
from nf_edge.pipeline.api.resolver import Notify, Resolver

if TYPE_CHECKING:
    from nf_edge.core.device import Device
    from nf_edge.core.recipe.recipe import Recipe
    from nf_edge.model import Checkpoint
    from nf_edge.model.data.rows import Rows
    from nf_edge.pipeline.export import DryRun, Export
    from nf_edge.pipeline.mixed_precision import SensitivityReport
    from nf_edge.pipeline.sweep import SweepReport
    from nf_edge.pruning.pruning_report import PruningReport
    from nf_edge.training import Validation


def export(
    checkpoint: "Named | Checkpoint",
    recipe: "Named | Recipe",
    out: Named,
    *,
    device: "Named | Device | None" = None,
    data: "Named | Rows | None" = None,
    calibrate: "Named | Rows | None" = None,
    limit: int | None = None,
    max_drop: float | None = None,
    overwrite: bool = False,
    keep: bool = False,
    progress: Progress | None = None,
    notify: Notify | None = None,
) -> "Export":
    """Lower a checkpoint by a recipe into an artifact folder, and prove the artifact from its file.

    Args:
        out: the folder to make.
        device: the device whose memory it has to fit.
        data: labelled rows to check its accuracy on; only the first `limit` of a file.
        calibrate: rows to calibrate on, if the recipe calibrates; the checkpoint's examples where None.
        max_drop: points of accuracy that may be lost on the data; the recipe's limit where None.
        overwrite: replace `out` if it is an artifact.
        keep: place the artifact even if it fails a gate, marked as failed.

    Returns:
        An Export; if it has a `failure`, nothing was placed at `out` unless `keep`.

    Raises:
        BadInput: checkpoint, recipe, device and data do not suit each other, or `out` cannot be used.
        MissingTool: something that the recipe needs is not installed here.
    """
    from nf_edge.artifact.tokenizer_notes import tokenizer_warnings
    from nf_edge.pipeline import export as job

    resolver, max_drop, place = Resolver(notify), points(max_drop), path_of(out)
    require_data(data, max_drop=max_drop)
    inputs = export_inputs(resolver, checkpoint, recipe, place, device, data, calibrate, limit, overwrite)
    result = job.export(
        inputs.checkpoint,
        inputs.recipe,
        place,
        device=inputs.device,
        rows=inputs.rows,
        calibrate=inputs.calibrate,
        max_drop=max_drop,
        overwrite=overwrite,
        keep=keep,
        progress=progress or silent,
    )
    resolver.tell(tokenizer_warnings(result.manifest.interface))
    return result


def dry_run(
    checkpoint: "Named | Checkpoint",
    recipe: "Named | Recipe",
    out: Named | None = None,
    *,
    device: "Named | Device | None" = None,
    data: "Named | Rows | None" = None,
    calibrate: "Named | Rows | None" = None,
    limit: int | None = None,
    overwrite: bool = False,
    notify: Notify | None = None,
) -> "DryRun":
    """What `export` would do with the same arguments, and the predicted memory; makes nothing.

    Raises what `export` does.
    """
    from nf_edge.pipeline import export as job

    resolver, place = Resolver(notify), optional_path(out)
    inputs = export_inputs(resolver, checkpoint, recipe, place, device, data, calibrate, limit, overwrite)
    return job.dry_run(inputs.checkpoint, inputs.recipe, inputs.device, inputs.calibrate)


def compress(
    checkpoint: "Named | Checkpoint",
    recipe: "Named | Recipe",
    out: Named,
    *,
    train: Named,
    valid: Named | None = None,
    data: Named | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    notify: Notify | None = None,
    on_validation: "Callable[[Validation], None] | None" = None,
) -> "PruningReport":
    """Make a checkpoint smaller by a recipe's `prune` section, and train it back by its `recover` section.

    Args:
        out: the checkpoint folder to write.
        train: rows, or text for a language model, to prune by and recover on.
        valid: rows to choose the best step of recovery by; a twentieth of `train` where None.
        data: rows to score the result on; those of `valid` where None.
        resume: continue a recovery that was interrupted.
        on_validation: is called with each validation of recovery.

    Raises:
        BadInput: the recipe has neither section, the data is not for the model, or `out` cannot be used.
    """
    from nf_edge.pruning.compress import compress_checkpoint
    from nf_edge.pruning.data import Sources

    resolver = Resolver(notify)
    the_recipe = resolver.recipe(recipe)
    if not the_recipe.shrinks:
        raise BadInput(
            f"recipe {the_recipe.name} has neither a section `prune` nor `recover`",
            fix="nf-edge recipes show xnnpack-8da8w-half shows a recipe with both",
        )
    return compress_checkpoint(
        resolver.checkpoint(checkpoint),
        the_recipe,
        Sources(name_of(train), optional_name(valid), optional_name(data)),
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
    limit: int | None = None,
    file_size: int | None = None,
    kl: float | None = None,
    max_drop: float | None = None,
    out: Named | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    notify: Notify | None = None,
) -> "SensitivityReport":
    """What quantizing each layer and table costs, and with a target a mixed-precision recipe made from it.

    Args:
        data: rows to compare answers on; the checkpoint's examples where None.  Only the first `limit` of a
            file, 256 where that is None.
        calibrate: rows to calibrate on, if the recipe calibrates; the checkpoint's examples where None.
        file_size: the target: the most bytes of the model file.
        kl: the target: the most nats that the answers may diverge by.
        max_drop: the target: the most points of accuracy that may be lost.
        out: the recipe file to write, NAME.yaml, if the target is met; required with a target.

    Raises:
        BadInput: the recipe or the rows do not suit, there is more than one target, or `out` cannot be used.
    """
    from nf_edge.pipeline.mixed_precision import SensitivityJob, run

    resolver, target, place = (
        Resolver(notify),
        search_target(file_size, kl, max_drop, out),
        optional_path(out),
    )
    the_recipe = resolver.recipe(recipe)
    if place is not None:
        read = place_of("recipes", recipe) + place_of("", data) + place_of("", calibrate)
        check_recipe_file(place, the_recipe.is_stock, overwrite, read)
    the_checkpoint = resolver.checkpoint(checkpoint)
    length = resolver.input_shape(the_recipe, the_checkpoint).length
    rows = sensitivity_rows(resolver, data, the_checkpoint, limit, length)
    calibration = resolver.optional_rows(calibrate, the_checkpoint, None, length)
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
    """One checkpoint by several recipes: size, memory, latency on this machine, and accuracy.

    Args:
        recipes: names or files, the baseline first; the bundled ones that suit where there are none.
        calibrate: rows to calibrate on, if a recipe calibrates; the checkpoint's examples where None.
        train: rows, or text, for recipes that prune and recover; without it, those are left out.
        lengths, contexts, threads, repeats: as `bench` takes them; a prefill is as long as a row by default.
        out: a folder that keeps the artifacts, `sweep.json` and `sweep.html`; they are temporary where None.

    Returns:
        A SweepReport; it has every artifact, even one that fails a gate.

    Raises:
        BadInput: a requested recipe does not suit, none does, the data is not for the model, or `out` cannot
            be used.
        MissingTool: the kernels of nf-edge, which a requested recipe calls, cannot be built here.
    """
    from nf_edge.pipeline.sweep import sweep as job

    if overwrite and out is None:
        raise BadInput("overwrite belongs to out")
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
        device=the_device,
        options=options,
        out=optional_path(out),
        overwrite=overwrite,
        progress=progress or silent,
    )
