"""Load the inputs of the API's functions and check that they suit each other."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nf_edge.core.defaults import FEWEST_REPEATS, SENSITIVITY_ROWS
from nf_edge.core.errors import BadInput
from nf_edge.core.schemas import MANIFEST
from nf_edge.pipeline.api.arguments import (
    Named,
    optional_whole,
    path_of,
    place_of,
    points,
    require_data,
    require_finite,
    require_whole,
    require_wholes,
)
from nf_edge.pipeline.api.resolver import Resolver

if TYPE_CHECKING:
    from nf_edge.artifact import Artifact
    from nf_edge.core.device import Device
    from nf_edge.core.recipe.recipe import Recipe
    from nf_edge.measure.emulation import EmulatedCore
    from nf_edge.measure.latency import BenchOptions
    from nf_edge.model import Checkpoint
    from nf_edge.model.data.rows import Rows
    from nf_edge.pipeline.mixed_precision import SearchTarget
    from nf_edge.pipeline.text_model import TextModel


@dataclass(frozen=True)
class ExportInputs:
    """The loaded inputs of `export` and `dry_run`, which suit each other."""

    checkpoint: "Checkpoint"
    recipe: "Recipe"
    device: "Device | None"
    rows: "Rows | None"
    calibrate: "Rows | None"

    @property
    def labelled(self) -> bool:
        """Whether limits on accuracy can apply: the rows have labels, or no rows are given."""
        from nf_edge.measure.accuracy.paired_rows import PairedRows

        return self.rows is None or PairedRows(self.rows).labelled(self.checkpoint.config)


def export_inputs(
    resolver: Resolver,
    checkpoint: "Named | Checkpoint",
    recipe: "Named | Recipe",
    out: Path | None,
    device: "Named | Device | None",
    data: "Named | Rows | None",
    calibrate: "Named | Rows | None",
    limit: int | None,
    stride: int | None,
    overwrite: bool,
) -> ExportInputs:
    """Load all inputs of an export; `out` is checked before large files are read.

    The arguments are as for `nf_edge.export`; without `out`, nothing will be written.

    Raises:
        BadInput: an input cannot be read, `limit` is given without data, or `out` cannot be written.
    """
    from nf_edge.artifact import check_out

    optional_whole("limit", limit, 1)
    optional_whole("stride", stride, 1)
    require_data(data, limit=limit, stride=stride)
    the_recipe, the_device = resolver.recipe(recipe), resolver.optional_device(device)
    if out is not None:
        read = place_of("checkpoints", checkpoint) + place_of("recipes", recipe) + place_of("devices", device)
        check_out(out, overwrite=overwrite, sources=[*read, *place_of("", data), *place_of("", calibrate)])
    the_checkpoint = resolver.checkpoint(checkpoint)
    length = resolver.input_shape(the_recipe, the_checkpoint).length
    calibration = resolver.calibration(calibrate, the_checkpoint, length)
    rows = None if data is None else resolver.evaluated(data, the_checkpoint, limit, length, stride)
    return ExportInputs(the_checkpoint, the_recipe, the_device, rows, calibration)


def artifact_to_profile(resolver: Resolver, source: "Named | Checkpoint | Artifact") -> "Artifact":
    """Load the artifact to profile.

    Raises:
        BadInput: the source is a checkpoint, whose memory can only be predicted with a recipe.
    """
    from nf_edge.core.resources import names
    from nf_edge.model import Checkpoint

    if isinstance(source, Checkpoint) or source in names("checkpoints", suffix=""):
        name = source.name if isinstance(source, Checkpoint) else source
        raise BadInput(f"{name} is a checkpoint, not an artifact", fix="give a recipe to predict its memory")
    return resolver.artifact(source)


def sensitivity_rows(
    resolver: Resolver,
    data: "Named | Rows | None",
    checkpoint: "Checkpoint",
    limit: int | None,
    length: int,
) -> "Rows":
    """The rows to measure sensitivity on: `data` if given, otherwise the checkpoint's examples.

    Args:
        limit: read only the first `limit` rows of a file; None: `SENSITIVITY_ROWS`.
        length: rows of a file are cut to this many tokens.

    Raises:
        BadInput: the data cannot be read, or there are no examples.
    """
    from nf_edge.model.data.rows import Rows

    optional_whole("limit", limit, 1)
    if isinstance(data, Rows):
        return resolver.rows(data, checkpoint, limit, length)
    if data is not None:
        return resolver.rows(data, checkpoint, limit or SENSITIVITY_ROWS, length)
    if checkpoint.examples_file is None:
        raise BadInput(
            "has no examples.jsonl, so there are no rows to measure on",
            where=checkpoint.path,
            fix="give rows with --data FILE",
        )
    usual = replace(resolver, row_format=None)
    rows = usual.rows(checkpoint.examples_file, checkpoint, limit or SENSITIVITY_ROWS, length)
    return replace(rows, source=checkpoint.examples_file.name)


def search_target(
    file_size: int | None, kl: float | None, max_drop: float | None, out: Named | None
) -> "SearchTarget | None":
    """The target of a mixed-precision search; None if the user gives no target.

    The arguments are as for `nf_edge.sensitivity`.

    Raises:
        BadInput: there are several targets, a target without `out`, or `out` without a target.
    """
    from nf_edge.pipeline.mixed_precision import SearchTarget

    optional_whole("file_size", file_size, 1)
    points(max_drop)
    targets = [SearchTarget("size", file_size)] if file_size is not None else []
    if kl is not None:
        require_finite("kl", kl, above=True)
        targets.append(SearchTarget("kl", kl))
    targets += [SearchTarget("drop", max_drop)] if max_drop is not None else []
    if len(targets) > 1:
        raise BadInput("a search has only one target; give only one of file_size, kl and max_drop")
    if bool(targets) != (out is not None):
        raise BadInput(
            "a new recipe needs a target (`file_size`, `kl` or `max_drop`) and a place (`out`); give both or "
            "neither"
        )
    return targets[0] if targets else None


def bench_options(
    lengths: Sequence[int] | None, contexts: Sequence[int] | None, threads: Sequence[int], repeats: int
) -> "BenchOptions":
    """The options of a latency measurement, checked; the arguments are as for `nf_edge.bench`.

    Raises:
        BadInput: a number is out of range.
    """
    from nf_edge.measure.latency import BenchOptions

    for name, values in (("lengths", lengths), ("contexts", contexts)):
        if values is not None:
            require_wholes(name, values, 1)
    require_wholes("threads", threads, 1)
    require_whole("repeats", repeats, FEWEST_REPEATS)
    return BenchOptions(lengths, contexts, threads, repeats)


def text_model(
    resolver: Resolver,
    source: "Named | Checkpoint | Artifact",
    on: "str | EmulatedCore | None",
    as_ids: bool,
) -> "TextModel":
    """The language model of an artifact or a checkpoint.

    Args:
        on: the device whose core is emulated to run an artifact; None: this machine.
        as_ids: whether to work with token ids, without the tokenizer.

    Raises:
        BadInput: the source cannot generate text, or has no tokenizer and `as_ids` is false.
    """
    from nf_edge.artifact import Artifact
    from nf_edge.model import Checkpoint
    from nf_edge.pipeline.text_model import model_of_artifact, model_of_checkpoint

    core = resolver.optional_core(on)
    if isinstance(source, Artifact) or (
        not isinstance(source, Checkpoint) and os.path.isfile(path_of(source) / MANIFEST)
    ):
        return model_of_artifact(resolver.artifact(source), core, as_ids)
    where = source.path if isinstance(source, Checkpoint) else source
    for option, value in (("--on", core), ("--require-signature", resolver.require_signature)):
        if value:
            what, fix = (
                f"is not an artifact, but {option} needs one",
                f"leave out {option}, or give an artifact",
            )
            raise BadInput(what, where=where, fix=fix)
    return model_of_checkpoint(resolver.checkpoint(source), where, as_ids)
