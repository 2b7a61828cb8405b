"""The reports of `nf-edge export` and `nf-edge inspect`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nf_edge.artifact import GUIDE, REPORT, Interface
from nf_edge.artifact.folder import Artifact
from nf_edge.artifact.manifest import Manifest
from nf_edge.backends.onnx.names import PAST
from nf_edge.core.figures import format_bytes
from nf_edge.render.accuracy import accuracy_parts, parity_lines, simulated_lines
from nf_edge.render.coverage import coverage_parts
from nf_edge.render.memory import memory_parts
from nf_edge.render.pruning import compression_lines
from nf_edge.render.quantization import quantization_lines
from nf_edge.render.table import Lines, Part, Table, body

if TYPE_CHECKING:
    from nf_edge.pipeline.export import DryRun, Export
    from nf_edge.pipeline.host_memory import HostMemory
    from nf_edge.pipeline.inspection import Inspection


def export_parts(result: Export) -> list[Part]:
    """The report of an export, in reading order."""
    manifest = result.manifest
    parts: list[Part] = []
    if manifest.compression:
        parts.append(Lines("Pruning and recovery", compression_lines(manifest.compression)))
    agreement = parity_lines(result.parity) + simulated_lines(manifest.requires.simulated)
    parts += [*_program_parts(manifest), Lines("Agreement", agreement), *memory_parts(result.memory)]
    if result.accuracy:
        parts += accuracy_parts(result.accuracy)
    if result.path:
        places = [
            f"{result.path / manifest.model.name}",
            f"report: {result.path / REPORT}",
            f"how to run it: {result.path / GUIDE}",
        ]
        parts.append(Lines("Artifact", places))
    return parts


def dry_run_parts(plan: DryRun) -> list[Part]:
    layer_reports = [layer_report.to_json() for layer_report in plan.layer_reports]
    return [
        Lines("Quantization", quantization_lines(layer_reports, plan.calibration)),
        *memory_parts(plan.memory),
        body([host_memory_line(plan.host_memory), "Nothing was made."]),
    ]


def host_memory_line(memory: HostMemory) -> str:
    """The memory that an export needs on this machine, as a sentence."""
    predicted = f"The export needs about {format_bytes(memory.predicted)} of this machine's memory"
    if memory.available is None:
        return f"{predicted}; this system does not say how much is left."
    return f"{predicted}; {format_bytes(memory.available)} are left."


def inspection_parts(inspection: Inspection) -> list[Part]:
    artifact = inspection.artifact
    loads = [f"{load.where}: {load.problem or 'loads'}" for load in inspection.loads]
    operators = tuple((operator, str(count)) for operator, count in inspection.operators.items())
    return [
        Table("", ("", str(artifact.path)), tuple(artifact_rows(artifact))),
        Table("", ("operator", "uses"), operators, (1,)),
        *_program_parts(artifact.manifest),
        Lines("Loading", loads),
    ]


def _program_parts(manifest: Manifest) -> list[Part]:
    quantization = quantization_lines(manifest.quantization, manifest.calibration)
    return [Lines("Quantization", quantization), *coverage_parts(manifest)]


def artifact_rows(artifact: Artifact) -> list[tuple[str, str]]:
    """The content and the requirements of an artifact, one row per fact."""
    manifest = artifact.manifest
    others = [file.name for file in manifest.files or () if file != manifest.model]
    interface, requires, model = manifest.interface, manifest.requires, manifest.model
    libraries = ", ".join(requires.operator_libraries) or "none"
    return [
        ("status", manifest.status),
        ("checkpoint", f"{manifest.checkpoint.name}, {manifest.checkpoint.parameters:,} parameters"),
        ("recipe", f"{manifest.recipe.name}: {manifest.recipe.description}"),
        ("model file", f"{model.name}, {format_bytes(model.bytes)}, SHA-256 {model.sha256} (verified)"),
        ("other files", f"{', '.join(others)} (verified)" if others else "not verified"),
        ("signature", artifact.signature),
        ("task", interface.task),
        *_input_facts(interface),
        ("output", f"{interface.output}: {interface.output_dtype} {list(interface.output_shape)}"),
        ("runtime", f"{requires.runtime} {requires.version}"),
        (
            "libraries",
            f"{libraries}; kernels of nf-edge: {'needed' if requires.own_kernels else 'not needed'}",
        ),
    ]


def _input_facts(interface: Interface) -> list[tuple[str, str]]:
    """One row per input, with its dtype and shape.

    With a cache, the shapes differ between prompt and steps, so the row refers to RUN.md.
    """
    cache = [name for name in interface.inputs if name.startswith(PAST)]
    others = ", ".join(name for name in interface.inputs if name not in cache)
    if not interface.cached:
        length = f"1 to {interface.length}" if interface.dynamic_length else str(interface.length)
        batch = "any" if interface.any_batch else "1"
        return [("inputs", f"{others}: {interface.input_dtype} [{batch}, {length}]")]
    facts = [
        ("inputs", f"{others}: {interface.input_dtype}; 1 row, {interface.length} positions (shapes: RUN.md)")
    ]
    if cache:
        facts.append(("cache", f"{len(cache)} inputs {PAST}N.key and .value: {interface.cache_dtype}"))
    return facts
