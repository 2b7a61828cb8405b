"""`nf-edge check --layers`: compare each layer's output with float32, and say what to do about a bad one."""

from collections.abc import Callable
from dataclasses import replace

from torch import nn

from nf_edge.artifact.manifest import Manifest
from nf_edge.backends.input_shape import KV_CACHE, Inputs
from nf_edge.backends.taps import Lowering, Tapped
from nf_edge.core.errors import BadInput
from nf_edge.core.progress import Progress, silent
from nf_edge.measure.accuracy.layer_differences import first_different
from nf_edge.measure.accuracy.layers import INTEGERS, LayersReport, measure_layers
from nf_edge.model.data.batches import pad
from nf_edge.model.data.rows import Rows
from nf_edge.model.data.sources import name_of
from nf_edge.pipeline.lowered_again import Exported, LoweredAgain
from nf_edge.pipeline.lowering import Job, specialise
from nf_edge.pipeline.remedy import AGAIN, module_of, remedy_for
from nf_edge.quantization.layer_report import ATTENTION


def check_layers(
    exported: Exported, again: LoweredAgain, rows: Rows, progress: Progress = silent
) -> LayersReport:
    """Measure the error of each layer of an artifact against float32; find the first bad layer and a remedy.

    Args:
        again: what `exported.lowered_again` yields.
        rows: the rows encoded for the artifact.

    Raises:
        BadInput: a row is too long, or the outputs of the layers cannot be read.
        MissingTool: a package of the backend is not installed.
    """
    manifest, job = exported.artifact.manifest, again.job
    rows.require_at_most(job.input_shape.length)
    length = None if job.input_shape.dynamic_length else job.input_shape.length
    inputs = [pad([row], job.checkpoint.config.pad_token_id, length) for row in rows.rows]
    tapped, same = _tapped(exported, again, inputs), again.compared_with(manifest)
    layers, missing = measure_layers(tapped, inputs, _dtypes(manifest), progress)
    if not layers:
        raise BadInput(
            "shows no layer that can be compared with a layer of the checkpoint",
            where=exported.artifact.model_file,
            fix="export the checkpoint again with the installed packages",
        )
    report = LayersReport(
        layers=layers,
        through=tapped.runner.through,
        file_through=tapped.file.through if tapped.file else "",
        missing=missing,
        data=name_of(rows.source),
        data_sha256=rows.sha256,
        rows=len(rows.rows),
        lowered_again=same,
    )
    if same.same is False:
        file = exported.artifact.model_file
        differing = first_different(tapped, again.file, file, inputs, progress)
        return replace(report, first_different=differing, remedy=AGAIN)
    if (bad := report.first_bad) is None:
        return report
    return replace(report, remedy=remedy_for(bad, job, rows, exported.calibrate, progress))


def _tapped(exported: Exported, again: LoweredAgain, inputs: Inputs) -> Tapped:
    """The float32 network and the quantized model of an artifact, whose layers' outputs can be read."""
    job = again.job
    lowering = Lowering(
        plain=again.lowered.plain,
        before=float_program(job),
        program=again.program,
        graph=again.graph,
        again=again.file,
        file=exported.artifact.model_file,
        input_shape=job.input_shape,
    )
    longest = max(inputs, key=lambda row: int(row[1].sum()))
    return job.backend.tapped(lowering, longest)


def float_program(job: Job) -> nn.Module:
    """The program before quantization, in the backend's form, with float32 attention and cache."""
    if (quantize := job.recipe.quantize) is not None:
        floats = quantize.model_copy(update={"attention": "float32", "kv_cache": "float32"})
        recipe = job.recipe.model_copy(update={"quantize": floats})
        cache = job.backend.cache_dtype(job.checkpoint.config, job.input_shape, recipe)
        job = replace(job, recipe=recipe, cache=cache)
    model = job.checkpoint.model()
    specialise(job, model)
    return job.backend.program(model, job.input_shape, job.cache)


def _dtypes(manifest: Manifest) -> Callable[[str], str]:
    """A function from a layer's name to its dtype in the manifest; it returns "" if the manifest has none."""
    entries = {entry["module"]: entry["dtype"] for entry in manifest.quantization}

    def dtype(layer: str) -> str:
        if not layer.endswith(".attn"):
            return entries.get(module_of(layer, entries), "")
        cache = entries.get(KV_CACHE, "")
        in_cache = f"{cache} keys and values" if INTEGERS.match(cache) else ""
        return entries.get(ATTENTION, in_cache)

    return dtype
