"""The Python API: what the commands do, as functions that return the values that the commands print.

Every function takes names of what ships (str), paths (str or Path; a Path is never a name), or values that
were loaded before.  `passed` and `failure` of a value say whether it passes its gates; errors are
`NfEdgeError`.  Nothing heavy is imported until a function needs it.

Three parameters are the same everywhere:

    progress    is called with (step, done, total)
    notify      is called with each remark; Python's `warnings` where it is None
    public_key, require_signature   verify an artifact's signature, or refuse one that is not verified
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nf_edge.core import notebook
from nf_edge.core.errors import BadInput
from nf_edge.core.progress import Progress, silent
from nf_edge.pipeline.arguments import (
    Named,
    check_recipe_file,
    name_of,
    optional_name,
    optional_whole,
    path_of,
    place_of,
    points,
    require_data,
    require_finite,
    require_list,
    require_whole,
    rows_of,
)
from nf_edge.pipeline.loading import (
    EMULATED_ROWS,
    Notify,
    check_inputs,
    cores_of,
    export_inputs,
    input_shape_of,
    load_artifact,
    load_checkpoint,
    load_recipe,
    not_artifact,
    open_decoder,
    optional_core,
    optional_device,
    parsed_ids,
    require_ids,
    require_timing,
    sensitivity_rows,
    target_of,
    tell,
)

if TYPE_CHECKING:
    from nf_edge.artifact import Artifact
    from nf_edge.core.device import Device
    from nf_edge.core.recipe.recipe import Recipe
    from nf_edge.measure.accuracy.check import AccuracyReport
    from nf_edge.measure.accuracy.cores import CoresReport
    from nf_edge.measure.emulation import EmulatedCore
    from nf_edge.measure.latency import LatencyReport
    from nf_edge.measure.memory import MemoryReport
    from nf_edge.model import Checkpoint
    from nf_edge.model.data.rows import Rows
    from nf_edge.model.generation import Generated
    from nf_edge.pipeline.export import DryRun, Export
    from nf_edge.pipeline.mixed_precision.search import SensitivityReport
    from nf_edge.pipeline.sweep import SweepReport
    from nf_edge.pruning.pruning_report import Shrunk
    from nf_edge.training import Validation


def _html(value: object) -> str | None:
    from nf_edge.pipeline.notebook import html_of

    return html_of(value)


notebook.render = _html


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
    """Lower a checkpoint by a recipe into an artifact folder, and examine the artifact from its file.

    Args:
        out: the folder to make.
        device: what its memory is held against.
        data: labelled rows to check its accuracy on; of a file the first `limit` only.
        calibrate: rows to calibrate on, where the recipe does; the checkpoint's examples where None.
        max_drop: points of accuracy that may be lost on the data; the recipe's own limit where None.
        overwrite: replace `out` if it is an artifact.
        keep: place the artifact even if it fails a gate, marked as failed.

    Returns:
        An Export; where its `failure` is set nothing was placed at `out` unless `keep`.

    Raises:
        BadInput: checkpoint, recipe, device and data do not suit each other, or `out` cannot be used.
        MissingTool: something that the recipe needs is not installed here.
    """
    from nf_edge.artifact.tokenizer_notes import tokenizer_warnings
    from nf_edge.pipeline import export as pipeline

    max_drop, place = points(max_drop), path_of(out)
    require_data(data, max_drop=max_drop)
    job = export_inputs(checkpoint, recipe, place, device, data, calibrate, limit, overwrite, notify)
    result = pipeline.export(
        job.checkpoint,
        job.recipe,
        place,
        device=job.device,
        rows=job.rows,
        calibrate=job.calibrate,
        max_drop=max_drop,
        overwrite=overwrite,
        keep=keep,
        progress=progress or silent,
    )
    tell(notify, tokenizer_warnings(result.manifest.interface))
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
    """What `export` would do with the same arguments, and the memory predicted; makes nothing.

    Raises what `export` does.
    """
    from nf_edge.pipeline import export as pipeline

    place = None if out is None else path_of(out)
    job = export_inputs(checkpoint, recipe, place, device, data, calibrate, limit, overwrite, notify)
    return pipeline.dry_run(job.checkpoint, job.recipe, job.device, job.calibrate)


def profile(
    source: "Named | Checkpoint | Artifact",
    *,
    recipe: "Named | Recipe | None" = None,
    device: "Named | Device | None" = None,
    on: "str | EmulatedCore | None" = None,
    public_key: Named | None = None,
    require_signature: bool = False,
    notify: Notify | None = None,
) -> "MemoryReport":
    """Memory of an artifact, predicted, planned and measured; or of a checkpoint with a recipe, predicted.

    Args:
        device: what the memory is held against.
        on: the device whose core is emulated to measure it on; this machine where None.

    Returns:
        A MemoryReport; its `passed` is True only where a device was named and has room.

    Raises:
        BadInput: the source is neither, or does not go with the other arguments.
        MissingTool: what emulates the core is not here.
    """
    from nf_edge.backends import backend_for
    from nf_edge.core.resources import names
    from nf_edge.measure.memory import predict_memory, profile_model
    from nf_edge.model import Checkpoint
    from nf_edge.pruning.provenance import require_done

    the_device, core = optional_device(device), optional_core(on)
    if recipe is not None:
        if core is not None or require_signature:
            raise BadInput("on and require_signature are for an artifact, and recipe for a checkpoint")
        the_recipe = load_recipe(recipe)
        backend = backend_for(the_recipe)
        checkpoint = load_checkpoint(not_artifact(source))
        tell(notify, checkpoint.warnings)
        require_done(checkpoint, the_recipe)
        backend.require_size(checkpoint.config, the_recipe)
        input_shape = input_shape_of(the_recipe, checkpoint)
        return predict_memory(backend, checkpoint.config, input_shape, the_recipe, the_device)
    if isinstance(source, Checkpoint) or source in names("checkpoints", suffix=""):
        name = source.name if isinstance(source, Checkpoint) else source
        raise BadInput(f"{name} is a checkpoint: name the recipe to predict its memory for")
    artifact = load_artifact(
        source, public_key=public_key, require_signature=require_signature, notify=notify
    )
    manifest = artifact.manifest
    return profile_model(
        backend_for(manifest.recipe),
        artifact.model_file,
        manifest.config,
        manifest.interface.input_shape,
        manifest.recipe,
        the_device,
        core,
    )


def check(
    artifact: "Named | Artifact",
    data: "Named | Rows",
    *,
    reference: "Named | None" = None,
    limit: int | None = None,
    max_drop: float | None = None,
    public_key: Named | None = None,
    require_signature: bool = False,
    progress: Progress | None = None,
    notify: Notify | None = None,
) -> "AccuracyReport":
    """Accuracy of an artifact, run from its file on this CPU, and of its checkpoint on the same rows.

    Args:
        data: labelled rows; of a file the first `limit` only.
        reference: the checkpoint that it was made of, or that `compress` made that of; the bundled one of its
            name where None.
        max_drop: points of accuracy that may be lost; the recipe's own limit where None.

    Raises:
        BadInput: the artifact is refused, or the checkpoint or the data is not for it.
        MissingTool: the backend cannot run here.
    """
    from dataclasses import replace

    from nf_edge.measure.accuracy.check import check as ask

    checked = check_inputs(artifact, data, reference, limit, max_drop, public_key, require_signature, notify)
    report = ask(
        checked.checkpoint.model(),
        checked.backend.load(checked.artifact.model_file, checked.input_shape),
        checked.input_shape,
        checked.rows,
        checked.max_drop,
        progress or silent,
        own=checked.own,
    )
    return replace(report, simulated=checked.artifact.manifest.requires.simulated)


def check_on(
    artifact: "Named | Artifact",
    data: "Named | Rows",
    on: "Sequence[str] | Sequence[EmulatedCore]",
    *,
    reference: "Named | None" = None,
    limit: int | None = None,
    max_drop: float | None = None,
    public_key: Named | None = None,
    require_signature: bool = False,
    progress: Progress | None = None,
    notify: Notify | None = None,
) -> "CoresReport":
    """Accuracy of an artifact on the cores of devices, emulated; the other arguments are those of `check`.

    Args:
        on: names of devices, or of QEMU's own cores.
        limit: the first 100 rows where None, since an emulated core is slow.

    Raises:
        BadInput: as `check` does, or a device is unknown.
        MissingTool: QEMU or the cross-compiler is not installed.
    """
    from nf_edge.measure.accuracy import cores as accuracy
    from nf_edge.model.data.rows import Rows

    if limit is None and not isinstance(data, Rows):
        limit = EMULATED_ROWS
    cores = cores_of(on)
    checked = check_inputs(artifact, data, reference, limit, max_drop, public_key, require_signature, notify)
    return accuracy.check_on(
        cores,
        checked.backend,
        checked.artifact.model_file,
        checked.checkpoint.model(),
        checked.input_shape,
        checked.rows,
        checked.max_drop,
        progress or silent,
        own=checked.own,
    )


def bench(
    *artifacts: "Named | Artifact",
    lengths: Sequence[int] | None = None,
    contexts: Sequence[int] | None = None,
    threads: Sequence[int] = (1,),
    repeats: int = 20,
    public_key: Named | None = None,
    require_signature: bool = False,
    progress: Progress | None = None,
    notify: Notify | None = None,
) -> "LatencyReport":
    """Latency of an artifact on this machine; of several in interleaved rounds, the first against the others.

    Args:
        lengths: tokens of a prefill; what suits the model where None.
        contexts: tokens in the cache before each is decoded; what suits the model where None.
        threads: of the runtime's pool.
        repeats: rounds of each, at least 5.

    Raises:
        BadInput: an artifact is refused, does not take a length, or cannot be timed here.
    """
    from nf_edge.backends import backend_for
    from nf_edge.measure.latency import BenchSubject, make_plan
    from nf_edge.measure.latency import bench as measure

    if not artifacts:
        raise BadInput("there is no artifact to time")
    require_timing(lengths, contexts, threads, repeats)
    loaded = [
        load_artifact(each, public_key=public_key, require_signature=require_signature, notify=notify)
        for each in artifacts
    ]
    for each in loaded:
        backend_for(each.manifest.recipe)  # refuses one that cannot run here
    plan = make_plan([BenchSubject.of(each) for each in loaded], lengths, contexts, threads, repeats)
    return measure(loaded, plan, progress or silent)


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
) -> "Shrunk":
    """Make a checkpoint smaller by a recipe's `prune` section, and train it back by its `recover` section.

    Args:
        out: the checkpoint folder to write.
        train: rows, or text for a language model, to prune by and recover on.
        valid: rows to choose the best step of recovery by; a twentieth of `train` where None.
        data: rows to score the result on; what `valid` is where None.
        resume: go on with a recovery that was interrupted.
        on_validation: is called with each validation of recovery.

    Raises:
        BadInput: the recipe has neither section, the data is not for the model, or `out` cannot be used.
    """
    from nf_edge.pruning.compress import shrink
    from nf_edge.pruning.data import Sources

    the_recipe = load_recipe(recipe)
    if not the_recipe.shrinks:
        raise BadInput(
            f"recipe {the_recipe.name} has neither a section `prune` nor `recover`",
            fix="nf-edge recipes show xnnpack-8da8w-half shows one that has both",
        )
    the_checkpoint = load_checkpoint(checkpoint)
    tell(notify, the_checkpoint.warnings)
    return shrink(
        the_checkpoint,
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
    """What quantizing each layer and table costs, and with a target a mixed-precision recipe made by it.

    Args:
        data: rows to compare answers on; the checkpoint's examples where None.  Of a file the first `limit`
            only, 256 where that is None.
        calibrate: rows to calibrate on, where the recipe does; the checkpoint's examples where None.
        file_size: the target: bytes that the model file may have.
        kl: the target: nats that the answers may diverge by.
        max_drop: the target: points of accuracy that may be lost.
        out: the recipe file to write, NAME.yaml, where the target is met; needed with one.

    Raises:
        BadInput: the recipe or the rows are not for this, there is more than one target, or `out` cannot be
            used.
    """
    from nf_edge.core.files import write_text
    from nf_edge.pipeline.mixed_precision.recipe import as_yaml
    from nf_edge.pipeline.mixed_precision.search import SensitivityReport, mix
    from nf_edge.pipeline.mixed_precision.sensitivity import SensitivityJob
    from nf_edge.pipeline.mixed_precision.sensitivity import sensitivity as measure
    from nf_edge.render.sensitivity import recipe_comments

    target = target_of(file_size, kl, max_drop, out)
    place = None if out is None else path_of(out)
    the_recipe = load_recipe(recipe)
    if place is not None:
        read = place_of("recipes", recipe) + place_of("", data) + place_of("", calibrate)
        check_recipe_file(place, the_recipe.is_stock, overwrite, read)
    the_checkpoint = load_checkpoint(checkpoint)
    tell(notify, the_checkpoint.warnings)
    length = input_shape_of(the_recipe, the_checkpoint).length
    rows = sensitivity_rows(data, the_checkpoint, limit, length)
    calibration = rows_of(calibrate, the_checkpoint, None, length) if calibrate is not None else None
    for each in filter(None, (rows, calibration)):
        tell(notify, each.warnings)
    subject = SensitivityJob(the_checkpoint, the_recipe, rows, calibration)
    if place is not None:
        _ = the_checkpoint.identity  # which the recipe's file names
    costs = measure(subject, progress or silent)
    if target is None or place is None:
        return SensitivityReport(costs, None, None)
    result = mix(subject, costs, target, place.stem, progress or silent)
    if result.met:
        text = as_yaml(result.best.recipe, recipe_comments(result, costs, the_checkpoint))
        write_text(place, text, overwrite=overwrite)
    return SensitivityReport(costs, result, place if result.met else None)


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
    repeats: int = 20,
    out: Named | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    notify: Notify | None = None,
) -> "SweepReport":
    """One checkpoint by several recipes: size, memory, latency on this machine, and accuracy.

    Args:
        recipes: names or files, the baseline first; the bundled ones that suit where there are none.
        calibrate: rows to calibrate on, where a recipe does; the checkpoint's examples where None.
        train: rows, or text, for recipes that prune and recover; where None, those are left out.
        lengths, contexts, threads, repeats: as `bench` takes them; by default a prefill is as long as a row.
        out: a folder that keeps the artifacts, `sweep.json` and `sweep.html`; they are temporary where None.

    Returns:
        A SweepReport; an artifact that fails a gate is measured all the same.

    Raises:
        BadInput: a recipe that was named does not suit, none does, the data is not for the model, or `out`
            cannot be used.
        MissingTool: the same, of a recipe that calls kernels of nf-edge.
    """
    from nf_edge.core.files import write_text
    from nf_edge.core.schemas import json_text
    from nf_edge.pipeline.sweep import JSON, PAGE
    from nf_edge.pipeline.sweep import sweep as measure
    from nf_edge.render.html.sweep_page import sweep_page

    if overwrite and out is None:
        raise BadInput("overwrite belongs to out")
    require_timing(lengths, contexts, threads, repeats)
    require_list("recipes", recipes)
    the_device = optional_device(device)
    the_checkpoint = load_checkpoint(checkpoint)
    tell(notify, the_checkpoint.warnings)
    place = None if out is None else path_of(out)
    report = measure(
        the_checkpoint,
        [name_of(each) for each in recipes],
        data=name_of(data),
        limit=optional_whole("limit", limit, 1),
        calibrate=optional_name(calibrate),
        train=optional_name(train),
        device=the_device,
        lengths=lengths,
        contexts=contexts,
        threads=threads,
        repeats=repeats,
        out=place,
        overwrite=overwrite,
        progress=progress or silent,
    )
    if place is not None:
        write_text(place / JSON, json_text("sweep", report.to_json()) + "\n", overwrite=overwrite)
        write_text(place / PAGE, sweep_page(report), overwrite=overwrite)
    return report


def generate(
    source: "Named | Checkpoint | Artifact",
    prompt: str | Sequence[int] | None = None,
    *,
    max_tokens: int = 100,
    temperature: float = 0.0,
    seed: int = 0,
    as_ids: bool = False,
    on: "str | EmulatedCore | None" = None,
    public_key: Named | None = None,
    require_signature: bool = False,
    on_text: Callable[[str], None] | None = None,
    notify: Notify | None = None,
) -> "Generated":
    """Continue a text with a language model: an artifact from its file, a checkpoint in PyTorch.

    Args:
        prompt: a text, or token ids; the model's begin-of-text token where None.
        temperature: 0 takes the likeliest token; above 0 tokens are drawn, more evenly the higher it is.
        seed: of the random draws.
        as_ids: give ids only, without a tokenizer; always so where the prompt is ids.
        on: the device whose core is emulated to run an artifact on; this machine where None.
        on_text: is called with each piece of text as it comes; with each id and a space where `as_ids`.

    Raises:
        BadInput: the source is no language model, has no tokenizer for a text, or the prompt does not suit.
    """
    from nf_edge.core.files import as_text
    from nf_edge.model.generation import Generated, TextStream
    from nf_edge.model.generation import generate as tokens_after
    from nf_edge.model.tokenizer import read_tokenizer, refusing

    require_whole("max_tokens", max_tokens, 1)
    require_whole("seed", seed, 0)
    require_finite("temperature", temperature)
    as_ids = as_ids or not isinstance(prompt, str | None)
    decoder, config, tokenizer_file = open_decoder(source, on, as_ids, public_key, require_signature, notify)
    where = source if isinstance(source, str | Path) else source.path
    tokenizer = None
    if not as_ids:
        if tokenizer_file is None:
            raise BadInput("has no tokenizer.json", where=where, fix="give token ids, with --ids")
        tokenizer = read_tokenizer(tokenizer_file)
    if prompt is None:
        if config.bos_token_id is None:
            raise BadInput("has no bos_token_id to begin with", where=where, fix="give a PROMPT")
        ids = [config.bos_token_id]
    elif isinstance(prompt, str):
        with refusing("PROMPT", "cannot be encoded"):
            ids = tokenizer.encode(as_text(prompt)).ids if tokenizer else parsed_ids(prompt)
    else:
        ids = parsed_ids(prompt)
    require_ids(ids, config)
    stream = TextStream(tokenizer) if tokenizer else None
    say = on_text or (lambda piece: None)
    new: list[int] = []
    for token in tokens_after(
        decoder, ids, max_tokens=max_tokens, temperature=temperature, seed=seed, ends=config.ends
    ):
        new.append(token)
        say(stream.add(token) if stream else f"{token} ")
    if stream:
        say(stream.end())
    text = tokenizer.decode(new) if tokenizer else None
    if new[-1] in config.ends:
        return Generated(tuple(ids), tuple(new), text, "end of text")
    if len(new) == max_tokens:
        return Generated(tuple(ids), tuple(new), text, "max tokens")
    tell(notify, [f"no positions are left: the model has {decoder.capacity}"])
    return Generated(tuple(ids), tuple(new), text, "full")
