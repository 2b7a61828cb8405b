"""Export a checkpoint: specialise its attention, quantize it, lower it, and check the artifact.

The checks show that the artifact fits the device and still predicts correctly.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nf_edge import __version__
from nf_edge.artifact import Calibrated, Manifest, Origin, discard, listed, staged_artifact, write_documents
from nf_edge.artifact.description import calibrated_on, interface_of, origin_of, requirements_of
from nf_edge.artifact.reproducible import reproducible
from nf_edge.backends.lowering_report import LoweringReport
from nf_edge.backends.runnable import Runnable
from nf_edge.backends.runtime_tokenizer import TokenizerReading
from nf_edge.core.compatibility import incompatibility
from nf_edge.core.device import Device
from nf_edge.core.errors import AccuracyGate, BadInput, OverBudget
from nf_edge.core.notebook import HtmlValue
from nf_edge.core.process_memory import trim_heap
from nf_edge.core.progress import Progress, silent
from nf_edge.core.recipe.prune import Compression
from nf_edge.core.recipe.recipe import Limits, Recipe
from nf_edge.core.staging import temporary_folder
from nf_edge.measure.accuracy.check import AccuracyReport
from nf_edge.measure.accuracy.parity import Parity
from nf_edge.measure.memory import MemoryReport, predict_memory
from nf_edge.model import Checkpoint
from nf_edge.model.checkpoint import release_weights
from nf_edge.model.checkpoint_outline import TOKENIZER
from nf_edge.model.data.rows import Rows
from nf_edge.model.tokenizer import read_tokenizer, vocabulary_size, write_tokenizer
from nf_edge.pipeline.host_memory import HostMemory, predict_host_memory
from nf_edge.pipeline.lowering import Job, lower
from nf_edge.pipeline.proof import Examination, Original, Proof
from nf_edge.pruning.provenance import require_pruned
from nf_edge.quantization.layer_report import LayerReport, layer_reports_of
from nf_edge.quantization.snr import with_errors
from nf_edge.render.html.page import report_page


@dataclass(frozen=True)
class Export(HtmlValue):
    """The result of an export.

    Attributes:
        path: the artifact; None if a gate failed and the artifact was not kept.
        accuracy: the comparison of answers on the given rows; None if no rows were given.
        failure: the error of the first failed gate; None if all gates pass.
    """

    path: Path | None
    manifest: Manifest
    parity: Parity
    memory: MemoryReport
    accuracy: AccuracyReport | None
    failure: OverBudget | AccuracyGate | None

    @property
    def passed(self) -> bool:
        """Whether the artifact passes every gate."""
        return self.failure is None

    def to_json(self) -> dict[str, Any]:
        return {"path": str(self.path) if self.path else None, **self.manifest.to_json()}


@dataclass(frozen=True)
class DryRun(HtmlValue):
    """The plan of an export: the precision of every module, calibration, and the predicted memory.

    Attributes:
        memory: the artifact's memory on the device.
        host_memory: the memory that the export needs on this machine.
    """

    layer_reports: tuple[LayerReport, ...]
    calibration: Calibrated | None
    memory: MemoryReport
    host_memory: HostMemory

    @property
    def failure(self) -> OverBudget | None:
        """The error if the predicted memory does not fit the device; None if it fits, or without a device."""
        return self.memory.failure

    @property
    def passed(self) -> bool:
        """Whether a device is given and the predicted memory fits it."""
        return self.memory.passed

    def to_json(self) -> dict[str, Any]:
        return {
            "quantization": [layer_report.to_json() for layer_report in self.layer_reports],
            "calibration": self.calibration.model_dump() if self.calibration else None,
            "memory": self.memory.to_json(),
            "host_memory": self.host_memory.to_json(),
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
    limits: Limits | None = None,
    overwrite: bool = False,
    keep: bool = False,
    progress: Progress = silent,
) -> Export:
    """Export a checkpoint to an artifact folder, and check the artifact by running its file.

    Args:
        out: the folder to create; an existing folder is replaced only if it is an artifact and `overwrite` is
            true.
        device: the device whose memory the artifact must fit.
        rows: rows to check accuracy on; None: accuracy is not checked.
        original: the checkpoint that `checkpoint` was pruned from; accuracy is compared with it.  None:
            accuracy is compared with `checkpoint`.
        calibrate: calibration rows, if the recipe needs them; None: the checkpoint's examples.
        limits: the limits on the answers; None: the recipe's.
        keep: keep the artifact even if it fails a gate; it is marked as failed.

    Returns:
        An Export.  If it has a `failure`, the artifact was written only with `keep`.

    Raises:
        BadInput: the recipe does not suit the checkpoint or the device, logits of the checkpoint are not
            finite, or `out` cannot be used.
        MissingTool: the backend's operators cannot be built on this machine.
    """
    with staged_artifact(out, overwrite=overwrite, sources=[checkpoint.path]) as stage:
        compression, origin = require_pruned(checkpoint, recipe), origin_of(checkpoint)
        job = _job(checkpoint, recipe, device, calibrate)
        examination = Examination.of(job, rows, original, limits, device)
        # The kernels are built before the long work, because the examination needs them.
        job.backend.operators_file()
        release_weights(examination.network)
        built = _build(job, stage, progress)
        # The lowering's graphs and the pages of the weights are not needed any more.
        trim_heap()
        release_weights(examination.network)
        proof = examination.run(built.runnable, progress)
        manifest = _write(job, compression, origin, built, proof)
        placed = proof.failure is None or keep
        if not placed:
            discard(stage)
    path = out if placed else None
    return Export(path, manifest, proof.parity, proof.memory, proof.accuracy, proof.failure)


def dry_run(
    checkpoint: Checkpoint, recipe: Recipe, device: Device | None = None, calibrate: Rows | None = None
) -> DryRun:
    """The plan of an export; nothing is lowered.

    Args:
        device: the device whose memory the artifact must fit; None: no memory limit.
        calibrate: calibration rows, if the recipe needs them; None: the checkpoint's examples.

    Raises:
        BadInput: the recipe does not suit the checkpoint or the device.
    """
    require_pruned(checkpoint, recipe)
    job = _job(checkpoint, recipe, device, calibrate)
    model = checkpoint.model()
    job.backend.specialise(model, recipe)
    return DryRun(
        layer_reports_of(model, job.backend, recipe, job.precisions, job.cache),
        calibrated_on(job.calibration),
        predict_memory(job.backend, checkpoint.config, recipe, device),
        predict_host_memory(checkpoint, recipe),
    )


def _job(checkpoint: Checkpoint, recipe: Recipe, device: Device | None, calibrate: Rows | None) -> Job:
    """Check that a checkpoint, a recipe and a device suit each other; return the lowering job.

    Raises:
        BadInput: the recipe does not suit the checkpoint or the device.
    """
    temporary_folder()
    if checkpoint.tokenizer_file is not None:
        _check_tokenizer(checkpoint.tokenizer_file, checkpoint.config.vocab_size)
    job = Job.of(checkpoint, recipe, calibrate)
    if device is not None and (problem := incompatibility(device, recipe)):
        raise BadInput(
            f"recipe {recipe.name} does not run on {device.id}: {problem}",
            fix="use another recipe; `nf-edge recipes list` shows the backend of each",
        )
    return job


def _check_tokenizer(file: Path, vocab_size: int) -> None:
    """Raise BadInput if the tokenizer has more tokens than the model."""
    tokens = vocabulary_size(read_tokenizer(file))
    if tokens > vocab_size:
        raise BadInput(
            f"has {tokens} tokens, but the model has embeddings for only {vocab_size}",
            where=file,
            fix="use the tokenizer that the model was trained with, or remove the tokens that were added",
        )


@dataclass(frozen=True)
class _Built:
    """A model file in the temporary folder that becomes the artifact, and the reports on the file.

    Attributes:
        reading: a comparison of the runtime's tokenizer with the checkpoint's; None if either is missing.
    """

    runnable: Runnable
    report: LoweringReport
    layer_reports: tuple[LayerReport, ...]
    reading: TokenizerReading | None


def _build(job: Job, stage: Path, progress: Progress) -> _Built:
    """Make the model file and the files that its runtime needs, in the folder `stage`."""
    runnable = job.runnable(stage / job.backend.model_file)
    progress("lowering", 0, 1)
    lowered = lower(job, runnable.file)
    progress("lowering", 1, 1)
    assert lowered.report is not None  # `lower` returns a report whenever it writes a file
    # The ratios need neither the lowering's graphs nor the sessions of its calibration.
    trim_heap()
    release_weights(lowered.plain)
    layer_reports = with_errors(lowered.layer_reports, lowered.plain, lowered.weights, job.calibration_inputs)
    return _Built(runnable, lowered.report, layer_reports, _write_companions(job, stage, progress))


def _write_companions(job: Job, stage: Path, progress: Progress) -> TokenizerReading | None:
    """Write the tokenizer and the other files that the runtime needs.

    Returns:
        A comparison of the runtime's tokenizer with the checkpoint's; None if either is missing.
    """
    tokenizer_file, texts = job.checkpoint.tokenizer_file, list[str]()
    if tokenizer_file is not None:
        progress("comparing tokenizers", 0, 1)
        write_tokenizer(tokenizer_file, stage / TOKENIZER)
        texts = job.examples.texts
    reading = job.backend.write_companions(job.checkpoint.config, job.input_shape, stage, texts)
    if tokenizer_file is not None:
        progress("comparing tokenizers", 1, 1)
    return reading


def _write(
    job: Job, compression: Compression | None, origin: Origin, built: _Built, proof: Proof
) -> Manifest:
    """Write manifest, report and RUN.md next to the model file, from the results of its build and checks."""
    runnable, report, stage = built.runnable, built.report, built.runnable.folder
    files = listed(stage)
    estimate = report.estimate.to_json() if report.estimate else None
    work = {"work": report.work.to_json()} if report.work else {}
    manifest = Manifest(
        status="fail" if proof.failure else "pass",
        nf_edge=__version__,
        checkpoint=origin,
        compression=compression,
        config=runnable.config,
        recipe=runnable.recipe,
        model=next(file for file in files if file.name == runnable.file.name),
        files=files,
        interface=interface_of(runnable, job.cache, built.reading),
        requires=requirements_of(runnable),
        calibration=calibrated_on(job.calibration),
        quantization=tuple(layer_report.to_json() for layer_report in built.layer_reports),
        coverage=report.coverage.to_json(),
        reproducible=reproducible(runnable.recipe),
        reports={**proof.to_json(), "accelerator": estimate, **work},
    )
    page = report_page(manifest, proof.parity, proof.memory, proof.accuracy)
    return write_documents(manifest, page, stage)
