"""Exporting one model by several recipes, and measuring the artifacts side by side."""

import math
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median_low

from nf_edge.artifact import check_out, load_artifact
from nf_edge.backends.input_shape import InputShape
from nf_edge.core.device import Device
from nf_edge.core.figures import Figure
from nf_edge.core.files import check_file, check_folder
from nf_edge.core.progress import Progress, named, silent
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.core.staging import scratch_folder
from nf_edge.measure.latency import REPEATS, BenchPlan, BenchSubject, LatencyReport, bench, make_plan
from nf_edge.measure.memory import MemoryReport
from nf_edge.model import Checkpoint, load_checkpoint
from nf_edge.model.checkpoint import check_place
from nf_edge.model.data.rows import Rows, load_rows
from nf_edge.pipeline.export import Export, Original, export
from nf_edge.pipeline.size_ratios import Size, file, parameters, process
from nf_edge.pipeline.sweep.choose import choose, seen_by
from nf_edge.pipeline.sweep.summary import Facts, Summary
from nf_edge.pipeline.sweep.sweep_report import JSON, PAGE, Compressed, SweepReport
from nf_edge.pruning.compress import shrink
from nf_edge.pruning.data import Sources
from nf_edge.pruning.provenance import is_to_shrink

# Where a checkpoint that a recipe made smaller lies, beside the artifact.
CHECKPOINT_SUFFIX = "-checkpoint"


def sweep(
    checkpoint: Checkpoint,
    recipes: Sequence[str] = (),
    *,
    data: str,
    limit: int | None = None,
    calibrate: str | None = None,
    train: str | None = None,
    device: Device | None = None,
    lengths: Sequence[int] | None = None,
    contexts: Sequence[int] | None = None,
    threads: Sequence[int] = (1,),
    repeats: int = REPEATS,
    out: Path | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> SweepReport:
    """Export a checkpoint by every recipe, check the answers of each artifact, and time all turn about.

    All that can be refused is refused before the first export.  An artifact that does not pass a gate is
    measured all the same.

    Args:
        recipes: names or files; the first is what the others are compared with.  Of none, the bundled ones
            that suit.
        data, calibrate, train: rows to check on, to calibrate on, and to prune by and recover on, as
            `load_rows` takes them.
        limit: use the first rows of `data` only.
        lengths, contexts: as `latency.make_plan` takes them; by default as long as a row of `data`, the
            median one, and half of the positions.
        out: keeps the artifacts here, in a folder for each recipe; else they are temporary.

    Raises:
        BadInput: a recipe that was named does not suit, none does, the data is not for the model, or `out`
            cannot be used.
        MissingTool: the same, of a recipe that calls our kernels.
    """
    positions = checkpoint.config.n_positions
    if out is not None:
        check_folder(out)
        for name in (JSON, PAGE):
            check_file(out / name, overwrite=overwrite)
    rows = load_rows(data, checkpoint, limit)
    seen = load_rows(calibrate, checkpoint) if calibrate else None
    progress("finding out which recipes suit", 0, 1)
    chosen, skipped = choose(recipes, checkpoint, device, calibrate, train is not None)
    progress("finding out which recipes suit", 1, 1)
    planned = partial(_plan, rows, lengths, contexts, threads, repeats)
    planned(
        [
            BenchSubject(each.name, checkpoint.config, InputShape.of(each, checkpoint.config))
            for each in chosen
        ]
    )
    if out is not None:
        given = [Path(each) for each in (data, calibrate, train, *recipes) if each]
        _check_out(out, chosen, checkpoint, overwrite, [checkpoint.path, *given])
    with ExitStack() as stack:
        folder = out or stack.enter_context(scratch_folder())
        exports, notes = [], list(seen.warnings) if seen else []
        for recipe in chosen:
            tell = named(recipe.name, progress)
            small = checkpoint
            if train is not None and is_to_shrink(checkpoint, recipe):
                place = folder / (recipe.name + CHECKPOINT_SUFFIX)
                shrink(checkpoint, recipe, Sources(train), place, overwrite=overwrite, progress=tell)
                small = load_checkpoint(place)
            # Made smaller, it may have other tokens; by a recipe of a fixed length, shorter rows.
            length = InputShape.of(recipe, small.config).length
            own = small.config.vocab_size != checkpoint.config.vocab_size
            its_whole = rows if length == positions else load_rows(data, checkpoint, limit, length=length)
            its_rows = load_rows(data, small, limit, length=length) if own else its_whole
            notes += its_rows.warnings
            exports.append(
                export(
                    small,
                    recipe,
                    folder / recipe.name,
                    device=device,
                    rows=its_rows,
                    original=None if small is checkpoint else Original(checkpoint, its_whole),
                    calibrate=seen_by(recipe, small, calibrate),
                    overwrite=overwrite,
                    keep=True,
                    progress=tell,
                )
            )
            for name in (JSON, PAGE):  # of an earlier sweep, whose artifacts these are no more
                (folder / name).unlink(missing_ok=True)
        artifacts = [load_artifact(folder / recipe.name) for recipe in chosen]
        # Planned anew, for a checkpoint that was made smaller may have fewer tokens.
        manifests = [artifact.manifest for artifact in artifacts]
        subjects = [
            BenchSubject(each.recipe.name, each.config, each.interface.input_shape) for each in manifests
        ]
        latency = bench(artifacts, planned(subjects), progress)
    memories = [result.memory for result in exports]
    return SweepReport(
        checkpoint=checkpoint.name,
        recipes=tuple(
            _compressed(recipe, result, out) for recipe, result in zip(chosen, exports, strict=True)
        ),
        sizes=(
            Size.of("parameters", [parameters(result) for result in exports]),
            Size.of("file", [file(result) for result in exports]),
            *(
                Size.of(f"{how} memory", [memory.process_total.figures()[how] for memory in memories])
                for how in ("planned", "measured")
            ),
        ),
        memory_machine=memories[0].machine,
        latency=latency,
        summary=Summary.of(_facts(chosen, exports, latency), latency.lines),
        skipped=tuple(skipped),
        notes=(*_notes(rows, seen), *dict.fromkeys(notes)),
    )


def _plan(
    rows: Rows,
    lengths: Sequence[int] | None,
    contexts: Sequence[int] | None,
    threads: Sequence[int],
    repeats: int,
    subjects: Sequence[BenchSubject],
) -> BenchPlan:
    capacity = min(subject.input_shape.length for subject in subjects)
    if lengths is None and all(subject.input_shape.dynamic_length for subject in subjects):
        lengths = [min(capacity, median_low(len(row.input_ids) for row in rows.rows))]
    if contexts is None and capacity > 1 and all(subject.input_shape.cached for subject in subjects):
        contexts = [capacity // 2]
    return make_plan(subjects, lengths, contexts, threads, repeats)


def _check_out(
    out: Path, recipes: Sequence[Recipe], checkpoint: Checkpoint, overwrite: bool, sources: Sequence[Path]
) -> None:
    for recipe in recipes:
        check_out(out / recipe.name, overwrite=overwrite, sources=sources)
        if is_to_shrink(checkpoint, recipe):
            place = out / (recipe.name + CHECKPOINT_SUFFIX)
            check_place(place, overwrite=overwrite, sources=sources)


def _compressed(recipe: Recipe, result: Export, out: Path | None) -> Compressed:
    assert result.accuracy is not None  # data was given
    return Compressed(
        recipe.name,
        recipe.description,
        result.manifest.model,
        out / recipe.name if out else None,
        result.accuracy,
        result.memory.verdict,
        result.failure,
    )


def _facts(recipes: Sequence[Recipe], exports: Sequence[Export], latency: LatencyReport) -> list[Facts]:
    memories: list[MemoryReport] = [result.memory for result in exports]
    facts = []
    for number, (recipe, result, memory) in enumerate(zip(recipes, exports, process(memories), strict=True)):
        assert result.accuracy is not None
        comparison = result.accuracy.comparison
        facts.append(
            Facts(
                recipe=recipe.name,
                file=result.manifest.model.bytes,
                memory=_or_infinite(memory),
                times=tuple(
                    _or_infinite(line.timings[number].time.median)
                    for line in latency.lines
                    if line.tokens is not None
                ),
                kl=comparison.divergence.kl,
                loses=comparison.loses,
                passed=result.failure is None,
            )
        )
    return facts


def _or_infinite(figure: Figure) -> float:
    return math.inf if figure.value is None else figure.value


def _notes(rows: Rows, seen: Rows | None) -> tuple[str, ...]:
    if seen is None or seen.sha256 != rows.sha256:
        return ()
    return ("calibrated on the very rows that are checked, which flatters the recipes that calibrate",)
