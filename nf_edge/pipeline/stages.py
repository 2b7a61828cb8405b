"""`nf-edge check --stages`: run every stage from the checkpoint to the artifact, and measure the losses.

The order of the stages depends on what the backend quantizes: the program or the lowered file.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace

from nf_edge.backends.base import Session
from nf_edge.backends.eager import eager
from nf_edge.backends.input_shape import KV_CACHE
from nf_edge.backends.runnable import Runnable
from nf_edge.core.progress import Progress, silent
from nf_edge.measure.accuracy.layers import INTEGERS
from nf_edge.measure.accuracy.paired_rows import PairedRows
from nf_edge.measure.accuracy.row_logits import of_network, of_runner
from nf_edge.measure.accuracy.stages import Stage, StagesReport, measure_stages
from nf_edge.measure.emulation import EmulatedCore, load
from nf_edge.model import Decoder
from nf_edge.pipeline.lowered_again import NOT_LOWERED, Exported, LoweredAgain
from nf_edge.pipeline.mixed_precision.simulate import dequantized
from nf_edge.quantization.layer_report import ATTENTION

FP32, PRUNED, ARTIFACT = "fp32", "pruned and recovered", "artifact"
WEIGHTS, PROGRAM, GRAPH = "quantized weights", "quantized program", "exported graph"
# The stages between checkpoint and artifact, in the order of an export, by what a backend quantizes.
ORDER = {
    "program": (WEIGHTS, PROGRAM, GRAPH),
    "file": (GRAPH, WEIGHTS, PROGRAM),
    "lowering": (WEIGHTS, PROGRAM, GRAPH),
}
FLOAT = "the recipe quantizes nothing"
# Why there is no quantized program in PyTorch, by the part that a backend quantizes.
NO_PROGRAM = {
    "file": "the runtime's quantizer quantizes the lowered file, so PyTorch has no quantized program",
    "lowering": "the lowering quantizes the program, so PyTorch has no quantized program",
}
NO_CHECKPOINT = "the reference is the original; give the exported checkpoint with --pruned"
NOT_PRUNED = "the checkpoint was not pruned"
NO_ORIGINAL = (
    "the reference is the pruned checkpoint; give the original with --reference, and the pruned one with "
    "--pruned"
)
NO_GRAPH = "its inputs are chunks and a cache, which only the runtime handles"


def check_stages(
    exported: Exported,
    again: LoweredAgain | None,
    rows: PairedRows,
    cores: Sequence[EmulatedCore] = (),
    progress: Progress = silent,
) -> StagesReport:
    """Measure the accuracy after every stage, from the float32 checkpoint to the emulated cores.

    Args:
        again: what `exported.lowered_again` yields; None: the stages between checkpoint and artifact are
            not run.
        rows: the same rows, encoded for `exported.reference` and for the artifact.
        cores: the emulated cores that run the artifact too.

    Raises:
        BadInput: the data does not suit the artifact.
        MissingTool: a tool of the backend or of the emulated cores is not installed.
    """
    reference, source = exported.reference, rows.reference.source
    runnable = exported.artifact.runnable()
    rows.require_comparable(reference.config)
    rows.artifact.require_at_most(runnable.input_shape.length)
    return measure_stages(
        Stage(FP32, f"{reference.name}, in PyTorch", of_network(reference.reference(), source)),
        [_pruned(exported, source), *_made(runnable, again, source), *_run(runnable, cores)],
        rows,
        reference.config,
        again.compared_with(exported.artifact.manifest) if again else NOT_LOWERED,
        progress,
    )


def _pruned(exported: Exported, source: str) -> Stage:
    if exported.job is None:
        return Stage.not_run(PRUNED, NO_CHECKPOINT)
    checkpoint = exported.job.checkpoint
    if checkpoint is exported.reference:
        was_pruned = exported.artifact.manifest.compression is not None
        return Stage.not_run(PRUNED, NO_ORIGINAL if was_pruned else NOT_PRUNED)
    return Stage(PRUNED, f"{checkpoint.name}, in PyTorch", of_network(checkpoint.reference(), source))


def _made(runnable: Runnable, again: LoweredAgain | None, source: str) -> list[Stage]:
    """The stages from lowering the checkpoint again: weights, program and graph, in the backend's order.

    Args:
        again: the result of lowering again; None: the stages are marked as not run.
        source: the name of the rows, for messages.
    """
    order = ORDER[runnable.backend.quantizes]
    if again is None:
        return [Stage.not_run(name, NO_CHECKPOINT) for name in order]
    made = {
        WEIGHTS: _weights(again, source),
        PROGRAM: _program(runnable, again),
        GRAPH: _graph(runnable, again),
    }
    return [made[name] for name in order]


def _weights(again: LoweredAgain, source: str) -> Stage:
    """The stage of the float32 network with dequantized weights; `source` names the rows in messages."""
    weights = again.lowered.weights
    if again.job.recipe.quantize is None:
        return Stage.not_run(WEIGHTS, FLOAT)
    # `--layers` reads the unchanged network.
    network = dequantized(deepcopy(again.lowered.plain), weights)
    left = [
        report.module
        for report in again.lowered.layer_reports
        if INTEGERS.match(report.dtype) and report.module not in (*weights, ATTENTION, KV_CACHE)
    ]
    remark = f"{', '.join(left)} still float32" if left else ""
    return Stage(
        WEIGHTS,
        "the checkpoint with dequantized weights and float32 activations, in PyTorch",
        of_network(network, source),
        remark=remark,
    )


def _program(runnable: Runnable, again: LoweredAgain) -> Stage:
    """The stage of the quantized program in PyTorch, which also rounds activations."""
    quantizes = runnable.backend.quantizes
    if again.job.recipe.quantize is None:
        return Stage.not_run(PROGRAM, FLOAT)
    if quantizes != "program":
        return Stage.not_run(PROGRAM, NO_PROGRAM[quantizes])
    return _stage(
        PROGRAM,
        "the program before its export, in PyTorch",
        runnable,
        eager(again.program, runnable.input_shape),
    )


def _graph(runnable: Runnable, again: LoweredAgain) -> Stage:
    graph = runnable.backend.graph(again.program, runnable.input_shape, again.graph)
    if graph is None:
        return Stage.not_run(GRAPH, NO_GRAPH)
    return _stage(GRAPH, f"in {runnable.backend.graph_library}", runnable, graph)


def _run(runnable: Runnable, cores: Sequence[EmulatedCore]) -> list[Stage]:
    """The stages that run the artifact's file: on this machine, and on emulated cores."""
    runtime = runnable.backend.reference_executor or runnable.backend.runtime_title
    quantize = runnable.recipe.quantize
    late = quantize is not None and runnable.backend.quantizes != "program" and quantize.activations != "none"
    artifact = _stage(ARTIFACT, f"{runnable.file.name}, in {runtime}", runnable, runnable.load())
    stages = [replace(artifact, remark="the first stage that rounds activations" if late else "")]
    return stages + [
        _stage(
            f"on {core.name}", f"{runnable.file.name}, emulated as {core.cpu}", runnable, load(core, runnable)
        )
        for core in cores
    ]


def _stage(name: str, through: str, runnable: Runnable, runner: Session | Decoder) -> Stage:
    input_shape = runnable.input_shape
    length = None if input_shape.dynamic_length else input_shape.length
    return Stage(name, through, of_runner(runner, runnable.config, length))
