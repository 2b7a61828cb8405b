"""Descriptions of a model file for its manifest: origin, calibration, requirements and interface."""

from importlib.metadata import version

from nf_edge.artifact.manifest import Calibrated, Interface, Origin, Requirements
from nf_edge.backends.input_shape import OUTPUT, CacheDtype
from nf_edge.backends.runnable import Runnable
from nf_edge.backends.runtime_tokenizer import TokenizerReading
from nf_edge.model import Checkpoint
from nf_edge.model.checkpoint_outline import TOKENIZER
from nf_edge.model.data.sources import name_of
from nf_edge.quantization.calibration import Calibration


def origin_of(checkpoint: Checkpoint) -> Origin:
    """The checkpoint's name and the hashes of its files.

    Raises:
        BadInput: the files changed since the checkpoint was loaded.
    """
    identity = checkpoint.identity
    return Origin(
        name=checkpoint.name,
        sha256=identity.weights_sha256,
        tokenizer_sha256=identity.tokenizer_sha256,
        parameters=checkpoint.parameters,
    )


def calibrated_on(calibration: Calibration | None) -> Calibrated | None:
    """The source and the hash of the calibration rows; None without calibration."""
    if calibration is None:
        return None
    return Calibrated(
        source=name_of(calibration.source),
        rows=len(calibration.rows),
        truncated_rows=calibration.truncated,
        sha256=calibration.sha256,
    )


def requirements_of(runnable: Runnable) -> Requirements:
    """The requirements of the model file: everything that an application needs to run it."""
    backend = runnable.backend
    return Requirements(
        runtime=backend.runtime,
        version=version(backend.runtime),
        operator_libraries=backend.operator_libraries,
        own_kernels=backend.support.own_kernels,
        environment=dict(backend.environment),
        besides=backend.other_requirements,
        simulated=backend.reference_executor,
        operators=tuple(sorted(backend.operators(runnable.file))),
    )


def interface_of(runnable: Runnable, cache: CacheDtype | None, reading: TokenizerReading | None) -> Interface:
    """The interface of the model file: everything that an application needs to call it.

    Args:
        cache: dtype of the cache; None without a cache.
        reading: how the runtime's tokenizer compares with Hugging Face `tokenizers`; None if not compared.
    """
    config, input_shape, backend = runnable.config, runnable.input_shape, runnable.backend
    batch: str | int = "batch" if input_shape.any_batch else 1
    shape: tuple[str | int, ...]
    if not config.is_language_model:
        shape = (batch, config.num_labels or 0)
    elif input_shape.cached:
        shape = (1, backend.chunk or 1, config.vocab_size)
    else:
        shape = (batch, "length", config.vocab_size)
    return Interface(
        task=config.task,
        inputs=backend.inputs(config, input_shape),
        any_batch=input_shape.any_batch,
        length=input_shape.length,
        dynamic_length=input_shape.dynamic_length,
        cached=input_shape.cached,
        cache_dtype=cache.dtype if cache else None,
        chunk=backend.chunk if input_shape.cached else None,
        output=OUTPUT,
        output_shape=shape,
        logits=runnable.recipe.logits,
        pad_token_id=config.pad_token_id,
        bos_token_id=config.bos_token_id,
        eos_token_id=config.eos_token_id,
        id2label=config.id2label,
        tokenizer=TOKENIZER if (runnable.folder / TOKENIZER).is_file() else None,
        tokenizer_reading=reading,
    )
