"""Functions that run models: memory, accuracy and latency of artifacts, and text of language models."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from nf_edge.core.defaults import EMULATED_ROWS, MAX_TOKENS, REPEATS
from nf_edge.core.errors import BadInput
from nf_edge.core.progress import Progress, silent
from nf_edge.pipeline.api.arguments import Named, format_of, require_finite, require_whole
from nf_edge.pipeline.api.baseline import baseline_of
from nf_edge.pipeline.api.check_inputs import check_inputs
from nf_edge.pipeline.api.check_journal import check_journal
from nf_edge.pipeline.api.ci_files import ci_files
from nf_edge.pipeline.api.given_limits import GivenLimits
from nf_edge.pipeline.api.inputs import (
    artifact_to_profile,
    bench_options,
    text_model,
)
from nf_edge.pipeline.api.resolver import Notify, Resolver

if TYPE_CHECKING:
    from nf_edge.artifact import Artifact
    from nf_edge.core.device import Device
    from nf_edge.core.limits import LimitsOn, MaxDrop
    from nf_edge.core.recipe.recipe import Recipe
    from nf_edge.measure.accuracy.check import AccuracyReport
    from nf_edge.measure.accuracy.cores import CoresReport
    from nf_edge.measure.emulation import EmulatedCore
    from nf_edge.measure.latency import LatencyReport
    from nf_edge.measure.memory import MemoryReport
    from nf_edge.model import Checkpoint
    from nf_edge.model.data.row_format import RowFormat
    from nf_edge.model.data.rows import Rows
    from nf_edge.model.generation import Generated


def profile(
    source: "Named | Checkpoint | Artifact",
    *,
    recipe: "Named | Recipe | None" = None,
    device: "Named | Device | None" = None,
    on: "str | EmulatedCore | None" = None,
    at: int | None = None,
    batch: int = 1,
    public_key: Named | None = None,
    require_signature: bool = False,
    notify: Notify | None = None,
) -> "MemoryReport":
    """Memory of an artifact (predicted, planned and measured), or of a checkpoint with a recipe (predicted).

    Args:
        device: the device whose memory the model must fit.
        on: the device whose core is emulated for the measurement; None: this machine.
        at: tokens in the context; None: the longest context.
        batch: rows in one run; more than one only if the file takes any number (`shapes.batch: dynamic`).

    Returns:
        A MemoryReport; `passed` is True only if a device was given and the model fits it.

    Raises:
        BadInput: the source is neither an artifact nor a checkpoint, or an argument does not apply to it.
        MissingTool: a tool that emulates the core is not installed.
    """
    if at is not None:
        require_whole("at", at, 1)
    require_whole("batch", batch, 1)
    resolver = Resolver(notify, public_key, require_signature)
    the_device, core = resolver.optional_device(device), resolver.optional_core(on)
    if recipe is not None:
        if core is not None or require_signature:
            raise BadInput(
                "`recipe` is only for a checkpoint; `on` and `require_signature` are only for an artifact",
                fix="leave out `recipe`, or leave out `on` and `require_signature`",
            )
        from nf_edge.pipeline.prediction import predicted

        the_recipe = resolver.recipe(recipe)
        return predicted(resolver.outline(source), the_recipe, at, batch).report(the_device)
    from nf_edge.measure.memory.profile import profile_model

    return profile_model(artifact_to_profile(resolver, source).runnable(), the_device, core, at, batch)


def check(
    artifact: "Named | Artifact",
    data: "Named | Rows",
    *,
    reference: "Named | Checkpoint | None" = None,
    row_format: "RowFormat | None" = None,
    baseline: "Named | Artifact | None" = None,
    limit: int | None = None,
    stride: int | None = None,
    max_drop: "MaxDrop | None" = None,
    max_changed: float | None = None,
    max_kl: float | None = None,
    limits_on: "LimitsOn | None" = None,
    resume: bool = False,
    junit: Named | None = None,
    summary: Named | None = None,
    public_key: Named | None = None,
    require_signature: bool = False,
    progress: Progress | None = None,
    notify: Notify | None = None,
) -> "AccuracyReport":
    """Accuracy of an artifact, run from its file on this CPU, and of its checkpoint on the same rows.

    If `limits_on` or a limit (`max_drop`, `max_changed`, `max_kl`) is None, the recipe sets it.

    Args:
        data: rows; for a language model also a text file (.txt).  Only the first `limit` rows or windows are
            used.  Rows without labels show only changes of the answers.
        row_format: task, columns and labels of files; None: the usual names, such as `text` and `label`.
        stride: tokens by which the windows of a text file move; None: half a window.
        reference: the exported checkpoint, or its original before `compress`.  None: the bundled checkpoint
            that the manifest names.
        baseline: the artifact that shipped last.  A metric must not be significantly worse than this
            artifact's.
        max_drop: largest loss.  A number is in points: of accuracy, of a regression's Pearson correlation, or
            of a multi-label classifier's micro F1.  A mapping has the largest loss of each metric.
        max_changed: largest share of changed answers, in percent.
        max_kl: largest KL divergence of the answers, in nats.
        limits_on: the value that a limit applies to: `estimate`, or `interval`, the bad end of its 95 %
            interval.
        resume: continue an interrupted check of the same files, rows and options.  A check saves its progress
            every 10 seconds.

    Raises:
        BadInput: the artifact is invalid, or the checkpoint or the data does not suit it.  Also if `resume`
            is set but there is no interrupted check.
        MissingTool: the backend cannot run on this machine.
    """
    from nf_edge.measure.accuracy.check import check_file

    given = GivenLimits(max_drop, max_changed, max_kl, limits_on)
    resolver = Resolver(notify, public_key, require_signature, format_of(row_format, data=data))
    files = ci_files(junit, summary, artifact, data, reference, baseline)
    shipped = None if baseline is None else resolver.artifact(baseline)
    the_artifact = resolver.artifact(artifact)
    inputs = check_inputs(resolver, the_artifact, data, reference, limit, stride, given)
    compared = (
        None if shipped is None else baseline_of(shipped, the_artifact, inputs, data, limit, row_format)
    )
    model = inputs.checkpoint.reference()
    with check_journal(resolver, the_artifact, inputs, resume, shipped=shipped, baseline=compared) as journal:
        report = check_file(
            inputs.runnable, model, inputs.rows, inputs.limits, progress or silent, compared, journal
        )
    files.write(report, the_artifact.path.name)
    return report


def check_on(
    artifact: "Named | Artifact",
    data: "Named | Rows",
    on: "Sequence[str] | Sequence[EmulatedCore]",
    *,
    reference: "Named | Checkpoint | None" = None,
    row_format: "RowFormat | None" = None,
    limit: int | None = None,
    stride: int | None = None,
    max_drop: "MaxDrop | None" = None,
    max_changed: float | None = None,
    max_kl: float | None = None,
    limits_on: "LimitsOn | None" = None,
    resume: bool = False,
    junit: Named | None = None,
    summary: Named | None = None,
    public_key: Named | None = None,
    require_signature: bool = False,
    progress: Progress | None = None,
    notify: Notify | None = None,
) -> "CoresReport":
    """Accuracy of an artifact on the emulated cores of devices.

    Arguments that are not listed here have the same meaning as in `check`.

    Args:
        on: names of devices, or QEMU's names of cores.
        limit: number of rows; None: 100, or more if the limits need more.  The default is small because an
            emulated core is slow.

    Raises:
        BadInput: a device is unknown, the artifact is invalid, or the checkpoint or the data does not suit
            it.
        MissingTool: QEMU or the cross-compiler is not installed.
    """
    from nf_edge.measure.accuracy import cores as job

    given = GivenLimits(max_drop, max_changed, max_kl, limits_on)
    resolver = Resolver(notify, public_key, require_signature, format_of(row_format, data=data))
    files = ci_files(junit, summary, artifact, data, reference)
    cores = resolver.cores(on)
    the_artifact = resolver.artifact(artifact)
    inputs = check_inputs(resolver, the_artifact, data, reference, limit, stride, given, EMULATED_ROWS)
    model = inputs.checkpoint.reference()
    with check_journal(resolver, the_artifact, inputs, resume, cores=cores) as journal:
        report = job.check_on(
            cores, inputs.runnable, model, inputs.rows, inputs.limits, progress or silent, journal
        )
    files.write(report, the_artifact.path.name)
    return report


def bench(
    *artifacts: "Named | Artifact",
    lengths: Sequence[int] | None = None,
    contexts: Sequence[int] | None = None,
    threads: Sequence[int] = (1,),
    repeats: int = REPEATS,
    public_key: Named | None = None,
    require_signature: bool = False,
    progress: Progress | None = None,
    notify: Notify | None = None,
) -> "LatencyReport":
    """Latency of an artifact on this machine.  Several artifacts run in interleaved rounds and are compared
    with the first.

    Args:
        lengths: tokens of a prefill; None: lengths that suit the model.
        contexts: tokens in the cache before each decoding step; None: contexts that suit the model.
        threads: sizes of the runtime's thread pool.
        repeats: rounds of each measurement, at least 5.

    Raises:
        BadInput: an artifact is invalid, a length is too long for it, or it cannot be timed on this machine.
    """
    from nf_edge.measure.latency import BenchSubject, make_plan
    from nf_edge.measure.latency import bench as job

    if not artifacts:
        raise BadInput("there is no artifact to time; give at least one")
    resolver = Resolver(notify, public_key, require_signature)
    options = bench_options(lengths, contexts, threads, repeats)
    runnables = [artifact.runnable() for artifact in [resolver.artifact(each) for each in artifacts]]
    return job(runnables, make_plan(list(map(BenchSubject.of, runnables)), options), progress or silent)


def generate(
    source: "Named | Checkpoint | Artifact",
    prompt: str | Sequence[int] | None = None,
    *,
    max_tokens: int = MAX_TOKENS,
    temperature: float = 0.0,
    seed: int = 0,
    as_ids: bool = False,
    on: "str | EmulatedCore | None" = None,
    public_key: Named | None = None,
    require_signature: bool = False,
    on_text: Callable[[str], None] | None = None,
    notify: Notify | None = None,
) -> "Generated":
    """Continue a text with a language model: an artifact runs from its file, a checkpoint in PyTorch.

    Args:
        prompt: a text, or token ids; None: the model's begin-of-text token.
        temperature: 0 takes the most likely token; above 0, tokens are drawn from softmax(logits /
            temperature).
        seed: seed of the random draws.
        as_ids: return ids only, without a tokenizer; implied if the prompt is ids.
        on: the device whose core is emulated to run an artifact; None: this machine.
        on_text: called with each piece of generated text; with `as_ids`, with each id and a space.

    Raises:
        BadInput: the source is not a language model, has no tokenizer for a text, or the prompt does not suit
            the model.
    """
    require_whole("max_tokens", max_tokens, 1)
    require_whole("seed", seed, 0)
    require_finite("temperature", temperature)
    resolver = Resolver(notify, public_key, require_signature)
    model = text_model(resolver, source, on, as_ids or not isinstance(prompt, str | None))
    generated = model.generate(
        model.ids_of(prompt),
        max_tokens=max_tokens,
        temperature=temperature,
        seed=seed,
        on_text=on_text or (lambda piece: None),
    )
    if generated.ended == "full":
        resolver.tell(
            [f"the text fills all {model.decoder.capacity} positions of the model, so generation stopped"]
        )
    return generated
