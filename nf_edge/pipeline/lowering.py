"""Lower a checkpoint with a recipe to a model file, or only compute the file's weights.

The steps are: specialise attention, quantize, lower.  Some backends quantize after lowering.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from nf_edge.backends import backend_for
from nf_edge.backends.base import Backend
from nf_edge.backends.input_shape import CacheDtype, Inputs, InputShape
from nf_edge.backends.lowering_report import LoweringReport
from nf_edge.backends.precisions import Precisions, precisions
from nf_edge.backends.program_caches import programs_forgotten
from nf_edge.backends.quantized_weights import LazyWeights, Weights
from nf_edge.backends.runnable import Runnable
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.core.staging import scratch_folder, temporary_files_removed
from nf_edge.measure.accuracy.predict import require_finite
from nf_edge.model import Checkpoint, NoiseFormer
from nf_edge.model.data.example_file import ExampleFile
from nf_edge.model.data.rows import Rows
from nf_edge.quantization.calibration import Calibration, calibration_for
from nf_edge.quantization.layer_report import LayerReport, layer_reports_of
from nf_edge.quantization.quantize import prepare, quantize, quantize_file, quantized_weights_for
from nf_edge.quantization.snr import plain_form
from nf_edge.quantization.threads import one_thread


@dataclass(frozen=True)
class Job:
    """A checkpoint and a recipe that suit each other, with the values derived from both.

    Attributes:
        precisions: precision of every linear layer and table, by name.
        cache: dtype of the cache; None without a cache.
        examples: the checkpoint's examples, cut to the recipe's input length.
        calibration: calibration rows; None if the recipe calibrates nothing.
    """

    checkpoint: Checkpoint
    recipe: Recipe
    backend: Backend
    input_shape: InputShape
    precisions: Precisions
    cache: CacheDtype | None
    examples: ExampleFile
    calibration: Calibration | None

    @classmethod
    def of(cls, checkpoint: Checkpoint, recipe: Recipe, calibrate: Rows | None) -> "Job":
        """Check that a checkpoint and a recipe suit each other; return the lowering job.

        Args:
            calibrate: calibration rows; None: the checkpoint's examples.

        Raises:
            BadInput: the recipe does not suit the checkpoint, or there are no calibration rows.
            MissingTool: a package of the backend is not installed.
        """
        backend = backend_for(recipe)
        input_shape = InputShape.of(recipe, checkpoint.config)
        by_module = precisions(recipe, checkpoint.config)
        backend.require_size(checkpoint.config, recipe)
        cache = backend.cache_dtype(checkpoint.config, input_shape, recipe)
        examples = ExampleFile(checkpoint, input_shape.length)
        calibration = calibration_for(recipe, cache, calibrate, examples)
        return cls(checkpoint, recipe, backend, input_shape, by_module, cache, examples, calibration)

    @property
    def calibration_inputs(self) -> Inputs:
        """The calibration rows in the program's input shapes; empty without calibration."""
        if self.calibration is None:
            return []
        return self.calibration.inputs(self.input_shape, self.checkpoint.config.pad_token_id)

    @property
    def full_cache_inputs(self) -> Inputs:
        """Calibration texts that fill the cache; empty unless the cache has calibrated ranges."""
        if self.calibration is None or self.cache is None or not self.cache.static:
            return []
        return self.calibration.full_cache_inputs(self.input_shape, self.checkpoint.config.end_tokens[:1])

    def runnable(self, file: Path) -> Runnable:
        """The `Runnable` of the lowered model file: the file, and everything that is needed to run it."""
        config, name = self.checkpoint.config, self.checkpoint.name
        return Runnable(self.backend, file, config, name, self.input_shape, self.recipe)


@dataclass(frozen=True)
class Lowered:
    """The result of lowering.

    Attributes:
        report: the backend's report on the file; None if no file was made.
        plain: the network before quantization, in float32 and plain PyTorch operators.
        weights: the dequantized weights of the quantized layers and tables, computed when they are read.
        layer_reports: the precision of each module, without signal-to-noise ratios.
    """

    report: LoweringReport | None
    plain: NoiseFormer
    weights: Weights
    layer_reports: tuple[LayerReport, ...]


def specialise(job: Job, model: NoiseFormer) -> None:
    """Rewrite a checkpoint's network in place into the backend's form, which the lowering quantizes."""
    prepare(model, job.backend, job.recipe, job.precisions, job.calibration_inputs)
    job.backend.specialise(model, job.recipe)


# A function that keeps the program of a lowering.
Keep = Callable[[nn.Module], None]


def dropped(program: nn.Module) -> None:
    """Ignore the lowered program: the argument `keep` of `lower` for callers that need only the file."""


@temporary_files_removed()
@one_thread()
@programs_forgotten()
def lower(job: Job, file: Path | None, keep: Keep = dropped) -> Lowered:
    """Lower a checkpoint to a model file.

    Args:
        file: the path to write; None: only quantize the weights, for a backend that quantizes before
            lowering.
        keep: called with the program that was lowered, before its file is quantized.

    Raises:
        BadInput: the checkpoint computes NaN or Inf on the calibration rows.
    """
    checkpoint, recipe, backend, inputs = job.checkpoint, job.recipe, job.backend, job.calibration_inputs
    model = checkpoint.model()
    if job.calibration is not None:
        for batch in (inputs, job.full_cache_inputs):
            texts = [ids[0, : int(mask.sum())].tolist() for ids, mask in batch]
            require_finite(model, texts, job.calibration.source)
    specialise(job, model)
    layer_reports = layer_reports_of(model, backend, recipe, job.precisions, job.cache)
    # Without quantization, the comparison network is the network itself.
    plain = model if recipe.quantize is None else plain_form(checkpoint.reference(), model)
    quantized_weights = quantized_weights_for(plain, backend, recipe, job.precisions, inputs)
    program = backend.program(model, job.input_shape, job.cache)
    program, weights = quantize(
        model, program, backend, recipe, job.precisions, job.input_shape, inputs, quantized_weights
    )
    if file is None:
        return Lowered(None, plain, weights, layer_reports)
    report = backend.lower(program, checkpoint.config, job.input_shape, recipe, file)
    del model  # quantizing the file needs the same amount of memory again
    backend.require_operators(file)
    keep(program)
    del program
    in_file = quantize_file(
        file, plain, backend, recipe, job.precisions, inputs, job.full_cache_inputs, quantized_weights
    )
    weights = LazyWeights.joined(weights, report.weights, in_file)
    if backend.quantizes == "file":
        # Quantization replaced operators of the lowered program, so they are counted again.
        report = report.recounted(sum(backend.operators(file).values()))
    return Lowered(report, plain, weights, layer_reports)


def rounded(job: Job) -> Lowered:
    """Lower a job without keeping a model file, to get the weights that the file would have.

    If the backend quantizes files, a temporary file is made and removed.
    """
    if job.backend.quantizes == "program":
        return lower(job, None)
    with scratch_folder() as folder:
        return lower(job, folder / job.backend.model_file)
