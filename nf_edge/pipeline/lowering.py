"""compress → specialise attention → lower: from a checkpoint and a recipe to a model file, or only to the
weights that it would have."""

from dataclasses import dataclass
from pathlib import Path

from nf_edge.backends import backend_for
from nf_edge.backends.base import Backend
from nf_edge.backends.input_shape import CacheDtype, Inputs, InputShape
from nf_edge.backends.lowering_report import LoweringReport
from nf_edge.backends.precisions import precisions
from nf_edge.backends.quantized_weights import Weights
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.core.staging import libraries_swept, scratch_folder
from nf_edge.measure.accuracy.predictions import require_finite
from nf_edge.model import Checkpoint, NoiseFormer
from nf_edge.model.data.rows import Rows
from nf_edge.quantization.calibration import Calibration, calibration_for
from nf_edge.quantization.layer_report import LayerReport, layer_reports_of
from nf_edge.quantization.quantize import prepare, quantize, quantize_file, quantized_weights_for
from nf_edge.quantization.snr import plain_form
from nf_edge.quantization.threads import one_thread


@dataclass(frozen=True)
class Job:
    """What a backend has agreed to make of a checkpoint.

    Attributes:
        cache: what its cache holds; None where there is none.
        calibration: the rows to see; None where there is nothing to see.
    """

    checkpoint: Checkpoint
    recipe: Recipe
    backend: Backend
    input_shape: InputShape
    cache: CacheDtype | None
    calibration: Calibration | None

    @classmethod
    def of(cls, checkpoint: Checkpoint, recipe: Recipe, calibrate: Rows | None) -> "Job":
        """Raises BadInput where the recipe does not suit the checkpoint, or there are no rows to see."""
        backend = backend_for(recipe)
        input_shape = InputShape.of(recipe, checkpoint.config)
        precisions(recipe, checkpoint.config)  # refuses rules for modules that are not there
        backend.require_size(checkpoint.config, recipe)
        cache = backend.cache_dtype(checkpoint.config, input_shape, recipe)
        calibration = calibration_for(checkpoint, recipe, cache, calibrate)
        return cls(checkpoint, recipe, backend, input_shape, cache, calibration)

    @property
    def seen(self) -> Inputs:
        """The rows to see, in the shapes that the program takes."""
        if self.calibration is None:
            return []
        return self.calibration.inputs(self.input_shape, self.checkpoint.config.pad_token_id)

    @property
    def filling(self) -> Inputs:
        """Texts that fill the cache, where it has ranges to see; else none."""
        if self.calibration is None or self.cache is None or not self.cache.static:
            return []
        return self.calibration.full_cache_inputs(self.input_shape, self.checkpoint.config.ends[:1])


@dataclass(frozen=True)
class Lowered:
    """What came of it.

    Attributes:
        report: None where nothing was lowered.
        plain: the network that it was made of, in float32 and PyTorch's own operators.
        weights: of the layers and tables that were quantized, dequantized.
        layer_reports: without figures of errors.
    """

    report: LoweringReport | None
    plain: NoiseFormer
    weights: Weights
    layer_reports: tuple[LayerReport, ...]


@libraries_swept()
@one_thread()
def lower(job: Job, file: Path | None) -> Lowered:
    """Lower a checkpoint to a model file; None where only the weights of one quantized before are wanted.

    Raises:
        BadInput: what the checkpoint gives for the rows that it is calibrated on is not finite.
    """
    checkpoint, recipe, backend, seen = job.checkpoint, job.recipe, job.backend, job.seen
    model = checkpoint.model()
    if job.calibration is not None:
        for given in (seen, job.filling):
            texts = [ids[0, : int(mask.sum())].tolist() for ids, mask in given]
            require_finite(model, texts, job.calibration.source)
    prepare(model, recipe, seen)
    backend.specialise(model, recipe)
    layer_reports = layer_reports_of(model, backend, recipe, job.cache)
    # Where nothing is quantized there is nothing to compare with.
    plain = model if recipe.quantize is None else plain_form(checkpoint.model(), model)
    quantized_weights = quantized_weights_for(plain, recipe, seen)
    program = backend.program(model, job.input_shape, job.cache)
    program, weights = quantize(model, program, backend, recipe, job.input_shape, seen, quantized_weights)
    if file is None:
        return Lowered(None, plain, weights, layer_reports)
    report = backend.lower(program, checkpoint.config, job.input_shape, recipe, file)
    backend.require_operators(file)
    weights |= {
        **report.weights,
        **quantize_file(file, plain, backend, recipe, seen, job.filling, quantized_weights),
    }
    if backend.quantizes == "file":
        # It has other operators now, for the same products.
        report = report.recounted(sum(backend.operators(file).values()))
    return Lowered(report, plain, weights, layer_reports)


def rounded(job: Job) -> Lowered:
    """The weights that a model file would have; it is made, and gone again, only where they are rounded in
    it."""
    if job.backend.quantizes == "program":
        return lower(job, None)
    with scratch_folder() as folder:
        return lower(job, folder / job.backend.model_file)
