"""Take a trained NoiseFormer, compress it, specialise its attention, lower it, and prove that it fits
the device and still answers right."""

from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nf_edge import __version__
from nf_edge.artifact import (
    Calibrated,
    Interface,
    Manifest,
    Origin,
    Requirements,
    check_out,
    listed,
    staged_artifact,
    write_papers,
)
from nf_edge.artifact.reproducible import reproducible
from nf_edge.backends.base import Backend
from nf_edge.backends.input_shape import OUTPUT
from nf_edge.backends.lowering_report import LoweringReport
from nf_edge.backends.runtime_tokenizer import TokenizerReading
from nf_edge.core.compatibility import unsupported
from nf_edge.core.device import Device
from nf_edge.core.errors import AccuracyGate, BadInput, OverBudget
from nf_edge.core.notebook import Shown
from nf_edge.core.progress import Progress, silent
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.core.staging import temporary_place
from nf_edge.measure.accuracy.check import AccuracyReport, check, enforce, require_questions
from nf_edge.measure.accuracy.parity import Parity, enforce_parity, measure_parity, synthetic_rows
from nf_edge.measure.accuracy.predictions import PROBED, require_finite
from nf_edge.measure.memory import MemoryReport, enforce_budget, predict_memory, profile_model
from nf_edge.model import Checkpoint
from nf_edge.model.checkpoint import TOKENIZER
from nf_edge.model.data.rows import Rows, load_rows
from nf_edge.model.data.sources import name_of, read_records
from nf_edge.model.tokenizer import read_tokenizer, vocabulary_size, write_tokenizer
from nf_edge.pipeline.lowering import Job, lower
from nf_edge.pruning.provenance import require_done
from nf_edge.quantization.calibration import Calibration
from nf_edge.quantization.layer_report import LayerReport, layer_reports_of
from nf_edge.quantization.snr import with_errors
from nf_edge.render.html import report_page


@dataclass(frozen=True)
class Original:
    """The checkpoint that another was made smaller from, and the data to check on, in its tokens."""

    checkpoint: Checkpoint
    rows: Rows


@dataclass(frozen=True)
class Export(Shown):
    """What came of an export.

    Attributes:
        path: where the artifact is; None where it was not placed, because of `failure`.
        accuracy: None where no data was given.
        failure: the first gate that it did not pass.
    """

    path: Path | None
    manifest: Manifest
    parity: Parity
    memory: MemoryReport
    accuracy: AccuracyReport | None
    failure: OverBudget | AccuracyGate | None

    @property
    def passed(self) -> bool:
        """Whether it passed every gate that there was."""
        return self.failure is None

    def to_json(self) -> dict[str, Any]:
        return {"path": str(self.path) if self.path else None, **self.manifest.to_json()}


@dataclass(frozen=True)
class DryRun(Shown):
    """What an export would do: the precision of every module, calibration, and the predicted memory."""

    layer_reports: tuple[LayerReport, ...]
    calibration: Calibrated | None
    memory: MemoryReport

    @property
    def failure(self) -> OverBudget | None:
        """Why the predicted memory does not fit the device; None where it does, or no device was named."""
        return self.memory.failure

    @property
    def passed(self) -> bool:
        """Whether a device was named, and the predicted memory fits it."""
        return self.memory.passed

    def to_json(self) -> dict[str, Any]:
        return {
            "quantization": [layer_report.to_json() for layer_report in self.layer_reports],
            "calibration": self.calibration.model_dump() if self.calibration else None,
            "memory": self.memory.to_json(),
        }


def export(
    checkpoint: Checkpoint,
    recipe: Recipe,
    out: Path,
    *,
    device: Device | None = None,
    rows: Rows | None = None,
    original: Original | None = None,
    calibrate: Rows | None = None,
    max_drop: float | None = None,
    overwrite: bool = False,
    keep: bool = False,
    progress: Progress = silent,
) -> Export:
    """Turn a checkpoint into an artifact folder, and examine the artifact from its file.

    Args:
        out: the folder to make; an existing one is replaced only if it is an artifact and `overwrite`.
        device: what its memory is held against.
        rows: labelled data to check its accuracy on.
        original: what its accuracy is held against, where the checkpoint was made smaller of another.
        calibrate: data to calibrate on, where the recipe does; the checkpoint's examples where None.
        max_drop: accuracy that may be lost, in points; the recipe's own limit where None.
        keep: place the artifact even if it does not pass, marked as failed.

    Returns:
        An Export; one whose `failure` is set was placed only where `keep`.

    Raises:
        BadInput: the recipe does not suit the checkpoint or the device, the checkpoint's own answers are not
            finite, or `out` cannot be used.
        MissingTool: the backend's operators cannot be built here.
    """
    check_out(out, overwrite=overwrite, sources=[checkpoint.path])
    temporary_place()
    mark, origin = require_done(checkpoint, recipe), _origin(checkpoint)
    if rows is not None:
        require_questions(checkpoint.config, rows, None)
    job = _job(checkpoint, recipe, device, calibrate)
    backend, calibration = job.backend, job.calibration
    backend.operators_file()  # the file cannot be examined without them: refused before lowering
    compared = _compared(job, rows)
    require_finite(checkpoint.model(), [row.input_ids for row in compared.rows[:PROBED]], compared.source)
    try:
        with staged_artifact(out, overwrite=overwrite) as stage:
            report, layer_reports, reading = _build(job, stage, progress)
            parity, memory, accuracy = _examine(
                job, stage, device, compared, rows, original, max_drop, progress
            )
            failure = _first_failure(parity, memory, accuracy)
            reports = {
                "parity": parity.to_json(),
                "memory": memory.to_json(),
                "accuracy": accuracy.to_json() if accuracy else None,
                "accelerator": report.estimate.to_json() if report.estimate else None,
            }
            files = listed(stage)
            manifest = Manifest(
                status="fail" if failure else "pass",
                nf_edge=__version__,
                checkpoint=origin,
                compression=mark,
                config=checkpoint.config,
                recipe=recipe,
                model=next(file for file in files if file.name == backend.model_file),
                files=files,
                interface=_interface(job, stage, reading),
                requires=_requirements(backend, recipe, stage / backend.model_file),
                calibration=_calibrated(calibration),
                quantization=tuple(layer_report.to_json() for layer_report in layer_reports),
                coverage=report.coverage.to_json(),
                reproducible=reproducible(recipe),
                reports=reports,
            )
            manifest = write_papers(manifest, report_page(manifest, parity, memory, accuracy), stage)
            if failure is not None and not keep:
                raise failure
            return Export(out, manifest, parity, memory, accuracy, failure)
    except (OverBudget, AccuracyGate):
        # The stage is gone, and what was at `out` before is still there.
        return Export(None, manifest, parity, memory, accuracy, failure)


def dry_run(
    checkpoint: Checkpoint, recipe: Recipe, device: Device | None = None, calibrate: Rows | None = None
) -> DryRun:
    """What an export would do, without lowering anything.

    Raises:
        BadInput: as `export` does.
    """
    require_done(checkpoint, recipe)
    job = _job(checkpoint, recipe, device, calibrate)
    model = checkpoint.model()
    job.backend.specialise(model, recipe)
    return DryRun(
        layer_reports_of(model, job.backend, recipe, job.cache),
        _calibrated(job.calibration),
        predict_memory(job.backend, checkpoint.config, job.input_shape, recipe, device),
    )


def _job(checkpoint: Checkpoint, recipe: Recipe, device: Device | None, calibrate: Rows | None) -> Job:
    """The job that checkpoint, recipe and device allow."""
    if checkpoint.tokenizer_file is not None:
        _check_tokenizer(checkpoint.tokenizer_file, checkpoint.config.vocab_size)
    job = Job.of(checkpoint, recipe, calibrate)
    if device is not None and (problem := unsupported(device, recipe)):
        raise BadInput(
            f"recipe {recipe.name} does not run on {device.id}: {problem}",
            fix="nf-edge recipes list tells which recipe is for which backend",
        )
    return job


def _check_tokenizer(file: Path, vocab_size: int) -> None:
    """Refuse, before lowering, a tokenizer with more tokens than the model."""
    tokens = vocabulary_size(read_tokenizer(file))
    if tokens > vocab_size:
        raise BadInput(
            f"has {tokens} tokens, the model {vocab_size}: it has no row for the ids from {vocab_size} on",
            where=file,
            fix="put the tokenizer of this very model there, or leave out the tokens that were added",
        )


def _build(
    job: Job, stage: Path, progress: Progress
) -> tuple[LoweringReport, tuple[LayerReport, ...], TokenizerReading | None]:
    """compress → specialise attention → lower, into the stage."""
    checkpoint, backend = job.checkpoint, job.backend
    progress("lowering", 0, 1)
    lowered = lower(job, stage / backend.model_file)
    progress("lowering", 1, 1)
    if checkpoint.tokenizer_file is not None:
        write_tokenizer(checkpoint.tokenizer_file, stage / TOKENIZER)
    progress("comparing tokenizers", 0, 1)
    reading = backend.write_companions(checkpoint.config, job.input_shape, stage, _example_texts(checkpoint))
    progress("comparing tokenizers", 1, 1)
    assert lowered.report is not None  # of a file there is one
    return (
        lowered.report,
        with_errors(lowered.layer_reports, lowered.plain, lowered.weights, job.seen),
        reading,
    )


def _example_texts(checkpoint: Checkpoint) -> list[str]:
    if checkpoint.examples_file is None:
        return []
    table, _ = read_records(str(checkpoint.examples_file))
    return [value for record in table.records for value in record.fields.values() if isinstance(value, str)]


def _compared(job: Job, rows: Rows | None) -> Rows:
    """What logits are compared on: the data, else the checkpoint's examples, else random ids.

    Raises:
        BadInput: the rows given are longer than the artifact takes, or the examples cannot be read.
    """
    checkpoint, length = job.checkpoint, job.input_shape.length
    if rows is not None:
        rows.require_at_most(length)
        return rows
    if checkpoint.examples_file is not None:
        examples = load_rows(str(checkpoint.examples_file), checkpoint, length=length)
        return replace(examples, source=checkpoint.examples_file.name)
    return Rows(tuple(synthetic_rows(checkpoint.config, length)), "synthetic", "", 0)


def _examine(
    job: Job,
    stage: Path,
    device: Device | None,
    compared: Rows,
    rows: Rows | None,
    original: Original | None,
    max_drop: float | None,
    progress: Progress,
) -> tuple[Parity, MemoryReport, AccuracyReport | None]:
    """Load the artifact from its file and run it: logits, memory, accuracy."""
    checkpoint, recipe, backend, input_shape = job.checkpoint, job.recipe, job.backend, job.input_shape
    config, file = checkpoint.config, stage / backend.model_file
    model = checkpoint.model()
    artifact = backend.load(file, input_shape)
    parity = measure_parity(model, artifact, input_shape, compared, recipe.max_logit_error)
    progress("measuring memory", 0, 1)
    memory = profile_model(backend, file, config, input_shape, recipe, device)
    progress("measuring memory", 1, 1)
    accuracy = None
    if rows is not None:
        limit = recipe.limits.max_drop if max_drop is None else max_drop
        reference, questions = (original.checkpoint.model(), original.rows) if original else (model, rows)
        # The same rows unless pruning changed the vocabulary.
        own = None if questions is rows else rows
        accuracy = check(reference, artifact, input_shape, questions, limit, progress, own=own)
    return parity, memory, accuracy


def _first_failure(
    parity: Parity, memory: MemoryReport, accuracy: AccuracyReport | None
) -> OverBudget | AccuracyGate | None:
    try:
        enforce_parity(parity)
        if memory.verdict is not None:
            enforce_budget(memory.verdict)
        if accuracy is not None:
            enforce(accuracy)
    except (OverBudget, AccuracyGate) as failure:
        return failure
    return None


def _calibrated(calibration: Calibration | None) -> Calibrated | None:
    """What the manifest says of the calibration rows."""
    if calibration is None:
        return None
    return Calibrated(
        source=name_of(calibration.source),
        rows=len(calibration.rows),
        truncated_rows=calibration.truncated,
        sha256=calibration.sha256,
    )


def _origin(checkpoint: Checkpoint) -> Origin:
    identity = checkpoint.identity
    return Origin(
        name=checkpoint.name,
        sha256=identity.weights_sha256,
        tokenizer_sha256=identity.tokenizer_sha256,
        parameters=checkpoint.parameters,
    )


def _requirements(backend: Backend, recipe: Recipe, file: Path) -> Requirements:
    return Requirements(
        runtime=backend.runtime,
        version=version(backend.runtime),
        operator_libraries=backend.operator_libraries,
        own_kernels=backend.support.own_kernels,
        environment=dict(backend.environment),
        besides=backend.other_requirements,
        simulated=backend.reference_executor,
        operators=tuple(sorted(backend.operators(file))),
    )


def _interface(job: Job, stage: Path, reading: TokenizerReading | None) -> Interface:
    config, input_shape = job.checkpoint.config, job.input_shape
    batch: str | int = "batch" if input_shape.any_batch else 1
    shape: tuple[str | int, ...]
    if not config.is_language_model:
        shape = (batch, config.num_labels or 0)
    elif input_shape.cached:
        shape = (1, job.backend.chunk or 1, config.vocab_size)
    else:
        shape = (batch, "length", config.vocab_size)
    return Interface(
        task=config.task,
        inputs=job.backend.inputs(config, input_shape),
        any_batch=input_shape.any_batch,
        length=input_shape.length,
        dynamic_length=input_shape.dynamic_length,
        cached=input_shape.cached,
        cache_dtype=job.cache.dtype if job.cache else None,
        chunk=job.backend.chunk if input_shape.cached else None,
        output=OUTPUT,
        output_shape=shape,
        logits=job.recipe.logits,
        pad_token_id=config.pad_token_id,
        bos_token_id=config.bos_token_id,
        eos_token_id=config.eos_token_id,
        id2label=config.id2label,
        tokenizer=TOKENIZER if (stage / TOKENIZER).is_file() else None,
        tokenizer_reading=reading,
    )
