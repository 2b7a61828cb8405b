"""Export one model with several recipes, and measure the artifacts."""

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median_low

from nf_edge.artifact import check_out, load_artifact
from nf_edge.core.device import Device
from nf_edge.core.figures import Figure
from nf_edge.core.files import write_text
from nf_edge.core.output_checks import check_file, check_folder
from nf_edge.core.progress import Progress, prefixed, silent
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.core.schemas import json_text
from nf_edge.core.staging import scratch_folder
from nf_edge.measure.accuracy.check import AccuracyReport, require_checkable
from nf_edge.measure.accuracy.paired_rows import PairedRows
from nf_edge.measure.latency import BenchOptions, BenchPlan, BenchSubject, LatencyReport, bench, make_plan
from nf_edge.model import Checkpoint, load_checkpoint
from nf_edge.model.checkpoint_writer import check_place
from nf_edge.model.data.row_format import DEFAULT, RowFormat
from nf_edge.model.data.rows import Rows
from nf_edge.pipeline.export import Export, export
from nf_edge.pipeline.proof import Original
from nf_edge.pipeline.size_ratios import Size, file, parameters, process
from nf_edge.pipeline.sweep.choose import Skipped, choose
from nf_edge.pipeline.sweep.job import RowSource, SweepJob
from nf_edge.pipeline.sweep.summary import Facts, Summary
from nf_edge.pipeline.sweep.sweep_report import JSON, PAGE, Compressed, SweepReport
from nf_edge.pruning.compress import compress_checkpoint
from nf_edge.pruning.data import Sources
from nf_edge.pruning.provenance import needs_compression
from nf_edge.render.html.sweep_page import sweep_page

# Suffix of the folder of a pruned checkpoint; the folder is next to the artifact.
CHECKPOINT_SUFFIX = "-checkpoint"


def sweep(
    checkpoint: Checkpoint,
    recipes: Sequence[str] = (),
    *,
    data: str,
    limit: int | None = None,
    calibrate: str | None = None,
    train: str | None = None,
    row_format: RowFormat = DEFAULT,
    device: Device | None = None,
    options: BenchOptions | None = None,
    out: Path | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> SweepReport:
    """Export a checkpoint with every recipe, check the accuracy of each artifact, and time all artifacts.

    All inputs are checked before the first export.  An artifact that fails a gate is measured too.

    Args:
        recipes: names or files, the baseline first; empty: all bundled recipes that suit the checkpoint.
        data: the source of the rows to check accuracy on: a file, or NAME:SPLIT.
        calibrate: the source of calibration rows; None: the checkpoint's examples.
        train: the source of rows or text to prune and recover; None: recipes that do this are left out.
        row_format: how all these rows are read.
        limit: use only the first rows of `data`.
        options: the latencies to measure; by default, a prefill has the length of the median row of `data`,
            and a context has half of the positions.
        out: a folder that keeps the artifacts, the report as JSON, and the page; None: they are temporary.

    Raises:
        BadInput: a requested recipe does not suit the checkpoint, no recipe does, the data does not suit the
            model, or `out` cannot be used.
        MissingTool: a requested recipe needs kernels of nf-edge, which cannot be built on this machine.
    """
    if out is not None:
        check_folder(out)
        for name in (JSON, PAGE):
            check_file(out / name, overwrite=overwrite)
    rows = RowSource(data, row_format, "dev", limit)
    calibration = RowSource(calibrate, row_format, "train") if calibrate else None
    job = SweepJob(checkpoint, rows, calibration, train, row_format, device, overwrite)
    progress("choosing recipes", 0, 1)
    chosen, skipped = choose(recipes, job)
    progress("choosing recipes", 1, 1)
    for recipe in chosen:
        rows_of_recipe = PairedRows(job.rows_for(checkpoint, recipe))
        require_checkable(checkpoint.config, rows_of_recipe, recipe.limits)
    planned = partial(_plan, job.checkpoint_rows, options or BenchOptions())
    planned([BenchSubject(each.name, checkpoint.config, job.input_shape(each)) for each in chosen])
    if out is not None:
        read = [Path(each) for each in (data, calibrate, train, *recipes) if each]
        _check_out(out, chosen, job, [checkpoint.path, *read])
    with ExitStack() as stack:
        folder = out or stack.enter_context(scratch_folder())
        exports = [_export(job, recipe, folder, prefixed(recipe.name, progress)) for recipe in chosen]
        runnables = [load_artifact(folder / recipe.name).runnable() for recipe in chosen]
        # Plan with the exported models, because a pruned model can have a smaller vocabulary.
        subjects = [BenchSubject(each.recipe.name, each.config, each.input_shape) for each in runnables]
        latency = bench(runnables, planned(subjects), progress)
    report = _report(job, chosen, exports, latency, out, skipped)
    if out is not None:
        write_text(out / JSON, json_text("sweep", report.to_json()) + "\n", overwrite=overwrite)
        write_text(out / PAGE, sweep_page(report), overwrite=overwrite)
    return report


def _plan(rows: Rows, options: BenchOptions, subjects: Sequence[BenchSubject]) -> BenchPlan:
    """The plan of the latency measurements; lengths and contexts that are None in `options` get defaults.

    By default, a prefill has the length of the median row, and a context has half of the positions.
    """
    lengths, contexts = options.lengths, options.contexts
    capacity = min(subject.input_shape.length for subject in subjects)
    if lengths is None and all(subject.input_shape.dynamic_length for subject in subjects):
        lengths = [min(capacity, median_low(len(row.input_ids) for row in rows.rows))]
    if contexts is None and capacity > 1 and all(subject.input_shape.cached for subject in subjects):
        contexts = [capacity // 2]
    return make_plan(subjects, replace(options, lengths=lengths, contexts=contexts))


def _check_out(out: Path, recipes: Sequence[Recipe], job: SweepJob, sources: Sequence[Path]) -> None:
    """Check before the first export that every export can write its folder."""
    for recipe in recipes:
        check_out(out / recipe.name, overwrite=job.overwrite, sources=sources)
        if needs_compression(job.checkpoint, recipe):
            place = out / (recipe.name + CHECKPOINT_SUFFIX)
            check_place(place, overwrite=job.overwrite, sources=sources)


@dataclass(frozen=True)
class _Exported:
    """An export, and the labelled rows that it was checked on, encoded for the artifact."""

    recipe: Recipe
    result: Export
    rows: Rows

    @property
    def accuracy(self) -> AccuracyReport:
        assert self.result.accuracy is not None  # a sweep always has labelled rows
        return self.result.accuracy


def _export(job: SweepJob, recipe: Recipe, folder: Path, progress: Progress) -> _Exported:
    """Export with one recipe to a folder of the recipe's name; prune first if the recipe prunes."""
    checkpoint, original = job.checkpoint, None
    if job.train is not None and needs_compression(checkpoint, recipe):
        place = folder / (recipe.name + CHECKPOINT_SUFFIX)
        compress_checkpoint(
            checkpoint,
            recipe,
            Sources(job.train, row_format=job.row_format),
            place,
            overwrite=job.overwrite,
            progress=progress,
        )
        checkpoint = load_checkpoint(place)
        others = checkpoint.config.vocab_size != job.checkpoint.config.vocab_size
        original = Original(job.checkpoint, job.rows_for(job.checkpoint, recipe) if others else None)
    same_tokens = original is None or original.rows is None
    rows = job.rows_for(job.checkpoint if same_tokens else checkpoint, recipe)
    result = export(
        checkpoint,
        recipe,
        folder / recipe.name,
        device=job.device,
        rows=rows,
        original=original,
        calibrate=job.calibration_for(checkpoint, recipe),
        overwrite=job.overwrite,
        keep=True,
        progress=progress,
    )
    for name in (JSON, PAGE):  # files of an earlier sweep, whose artifacts are being replaced
        (folder / name).unlink(missing_ok=True)
    return _Exported(recipe, result, rows)


def _report(
    job: SweepJob,
    recipes: Sequence[Recipe],
    exports: Sequence[_Exported],
    latency: LatencyReport,
    out: Path | None,
    skipped: Sequence[Skipped],
) -> SweepReport:
    results = [each.result for each in exports]
    memories = [result.memory for result in results]
    return SweepReport(
        checkpoint=job.checkpoint.name,
        recipes=tuple(_compressed(each, out) for each in exports),
        sizes=(
            Size.of("parameters", [parameters(result) for result in results]),
            Size.of("file", [file(result) for result in results]),
            *(
                Size.of(f"{how} memory", [memory.process_total.figures()[how] for memory in memories])
                for how in ("planned", "measured")
            ),
        ),
        memory_machine=memories[0].machine,
        latency=latency,
        summary=Summary.of(_facts(exports, latency), latency.lines),
        skipped=tuple(skipped),
        notes=(*job.notes, *_warnings(job, exports)),
    )


def _warnings(job: SweepJob, exports: Sequence[_Exported]) -> list[str]:
    """Remarks about the rows of all exports; each remark appears once."""
    calibration = job.calibration.rows(job.checkpoint) if job.calibration else None
    remarks = [
        *(calibration.warnings if calibration else ()),
        *(w for each in exports for w in each.rows.warnings),
    ]
    return list(dict.fromkeys(remarks))


def _compressed(exported: _Exported, out: Path | None) -> Compressed:
    recipe, result = exported.recipe, exported.result
    return Compressed(
        recipe.name,
        recipe.description,
        result.manifest.model,
        out / recipe.name if out else None,
        exported.accuracy,
        result.memory.verdict,
        result.failure,
    )


def _facts(exports: Sequence[_Exported], latency: LatencyReport) -> list[Facts]:
    memories = process([each.result.memory for each in exports])
    facts = []
    for number, (exported, memory) in enumerate(zip(exports, memories, strict=True)):
        comparison = exported.accuracy.comparison
        times = [line.timings[number].time.median for line in latency.lines if line.tokens is not None]
        facts.append(
            Facts(
                recipe=exported.recipe.name,
                file=exported.result.manifest.model.bytes,
                memory=_or_infinite(memory),
                times=tuple(map(_or_infinite, times)),
                kl=comparison.kl,
                loses=exported.accuracy.loses,
                passed=exported.result.passed,
            )
        )
    return facts


def _or_infinite(figure: Figure) -> float:
    return math.inf if figure.value is None else figure.value
