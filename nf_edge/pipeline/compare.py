"""Compare models exported with one recipe: size, memory, and latency on this machine."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nf_edge.artifact import check_out, load_artifact
from nf_edge.backends.input_shape import InputShape
from nf_edge.core.device import Device
from nf_edge.core.errors import AccuracyGate, BadInput, OverBudget
from nf_edge.core.output_checks import check_folder
from nf_edge.core.progress import Progress, prefixed, silent
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.core.staging import scratch_folder
from nf_edge.measure.latency import BenchOptions, BenchSubject, LatencyReport, bench, make_plan
from nf_edge.measure.memory import Verdict
from nf_edge.model import Checkpoint, ModelConfig
from nf_edge.model.data.row_format import DEFAULT, RowFormat
from nf_edge.model.data.rows import Rows, load_rows
from nf_edge.pipeline.export import dry_run, export
from nf_edge.pipeline.size_ratios import Size, file, parameters, process


@dataclass(frozen=True)
class Model:
    """One of the compared models.

    Attributes:
        path: the artifact; None if it was temporary.
        verdict: whether the artifact fits the device; None without a device.
    """

    name: str
    config: ModelConfig
    path: Path | None
    verdict: Verdict | None

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "config": self.config.to_json(),
            "path": str(self.path) if self.path else None,
            "verdict": self.verdict.to_json() if self.verdict else None,
        }


@dataclass(frozen=True)
class ComparisonReport:
    """The comparison of the first model with each of the others.  A tuple of figures has one per model.

    Attributes:
        memory_machine: the machine that memory was measured on.
        notes: remarks about the figures.
        failure: the error of the first failed gate; None if all models pass.
    """

    recipe: str
    models: tuple[Model, ...]
    sizes: tuple[Size, ...]
    memory_machine: str
    latency: LatencyReport
    notes: tuple[str, ...]
    failure: OverBudget | AccuracyGate | None

    def to_json(self) -> dict[str, Any]:
        # `artifacts` may list temporary paths; each model's entry has its `path` instead.
        latency = self.latency.to_json()
        del latency["artifacts"]
        return {
            "recipe": self.recipe,
            "models": [model.to_json() for model in self.models],
            "sizes": [size.to_json() for size in self.sizes],
            "memory_machine": self.memory_machine,
            "latency": latency,
            "notes": list(self.notes),
        }


def compare(
    checkpoints: Sequence[Checkpoint],
    recipe: Recipe,
    options: BenchOptions,
    *,
    device: Device | None = None,
    calibrate: str | None = None,
    row_format: RowFormat = DEFAULT,
    out: Path | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> ComparisonReport:
    """Export every checkpoint with one recipe, and measure the artifacts in interleaved rounds.

    All inputs are checked before the first export.

    Args:
        checkpoints: two or more; the first is compared with each of the others.
        options: the latencies to measure.
        calibrate: the source of calibration rows, as for `load_rows`; None: the checkpoints' examples.
        row_format: how the calibration rows are read.
        out: a folder that keeps one artifact per model; None: the artifacts are temporary.

    Raises:
        BadInput: the checkpoints cannot be compared, the recipe does not suit one of them, a length or
            context is too long for a model, or `out` cannot be used.
    """
    names = model_names(checkpoints)
    _refuse_unlike(names, checkpoints)
    subjects = [
        BenchSubject(name, checkpoint.config, InputShape.of(recipe, checkpoint.config))
        for name, checkpoint in zip(names, checkpoints, strict=True)
    ]
    plan = make_plan(subjects, options)
    if out is not None:
        _check_out(out, names, [each.path for each in checkpoints], calibrate, overwrite)
    rows = [
        None
        if calibrate is None
        else load_rows(
            calibrate,
            checkpoint,
            length=subject.input_shape.length,
            row_format=row_format,
            split="train",
        )
        for checkpoint, subject in zip(checkpoints, subjects, strict=True)
    ]
    for checkpoint, calibration in zip(checkpoints, rows, strict=True):
        dry_run(checkpoint, recipe, device, calibration)
    with ExitStack() as stack:
        folder = out or stack.enter_context(scratch_folder())
        exports = [
            export(
                checkpoint,
                recipe,
                folder / name,
                device=device,
                calibrate=calibration,
                overwrite=overwrite,
                keep=True,
                progress=prefixed(name, progress),
            )
            for name, checkpoint, calibration in zip(names, checkpoints, rows, strict=True)
        ]
        latency = bench([load_artifact(folder / name).runnable() for name in names], plan, progress)
    memories = [result.memory for result in exports]
    return ComparisonReport(
        recipe=recipe.name,
        models=tuple(
            Model(name, checkpoint.config, out / name if out else None, memory.verdict)
            for name, checkpoint, memory in zip(names, checkpoints, memories, strict=True)
        ),
        sizes=(
            Size.of("parameters", [parameters(result) for result in exports]),
            Size.of("file", [file(result) for result in exports]),
            Size.of("process memory", process(memories)),
        ),
        memory_machine=memories[0].machine,
        latency=latency,
        notes=(*_notes(names, subjects), *_warnings(rows)),
        failure=next((result.failure for result in exports if result.failure), None),
    )


def model_names(checkpoints: Sequence[Checkpoint]) -> list[str]:
    """The names of the checkpoints' folders, with parent folders if names would be equal.

    Raises:
        BadInput: the same checkpoint is given twice.
    """
    parts = [checkpoint.path.resolve().parts for checkpoint in checkpoints]
    if len(set(parts)) < len(parts):
        twice = next(checkpoint.path for i, checkpoint in enumerate(checkpoints) if parts[i] in parts[:i])
        raise BadInput("this checkpoint is given twice", where=twice, fix="give each checkpoint once")
    for depth in range(1, max(map(len, parts))):
        names = ["-".join(of_one[-depth:]) for of_one in parts]
        if len(set(names)) == len(names):
            break
    return names


def _refuse_unlike(names: Sequence[str], checkpoints: Sequence[Checkpoint]) -> None:
    first = checkpoints[0].config
    for name, checkpoint in zip(names[1:], checkpoints[1:], strict=True):
        config = checkpoint.config
        if config.is_language_model != first.is_language_model:
            pair = (names[0], name) if first.is_language_model else (name, names[0])
            raise BadInput(
                f"{pair[0]} is a language model and {pair[1]} is not, so they cannot be compared",
                fix="compare language models with each other, and classifiers with each other",
            )
        if config.vocab_size != first.vocab_size:
            raise BadInput(
                f"{names[0]} has a vocabulary of {first.vocab_size:,} tokens and {name} of "
                f"{config.vocab_size:,}, so their times per token cannot be compared",
                fix="compare models of one vocabulary, or time any artifacts with nf-edge bench",
            )


def _check_out(
    out: Path, names: Sequence[str], models: Sequence[Path], calibrate: str | None, overwrite: bool
) -> None:
    sources = [*models, Path(calibrate)] if calibrate else models
    check_folder(out)
    for name in names:
        check_out(out / name, overwrite=overwrite, sources=sources)


def _warnings(rows: Sequence[Rows | None]) -> list[str]:
    return list(dict.fromkeys(warning for each in rows if each for warning in each.warnings))


def _notes(names: Sequence[str], subjects: Sequence[BenchSubject]) -> tuple[str, ...]:
    positions = [subject.input_shape.length for subject in subjects]
    if len(set(positions)) == 1:
        return ()
    each = ", ".join(f"{name} {count:,}" for name, count in zip(names, positions, strict=True))
    return (f"the numbers of positions differ, and so do the sizes of tables and caches: {each}",)
