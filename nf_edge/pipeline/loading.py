"""What the functions of the API begin with: values by their names, and inputs that suit each other."""

import operator
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nf_edge.core.errors import BadInput
from nf_edge.pipeline.arguments import (
    Named,
    name_of,
    optional_name,
    optional_whole,
    path_of,
    place_of,
    points,
    require_data,
    require_finite,
    require_list,
    require_whole,
    require_wholes,
    rows_of,
)

if TYPE_CHECKING:
    from nf_edge.artifact import Artifact
    from nf_edge.backends.base import Backend
    from nf_edge.backends.input_shape import InputShape
    from nf_edge.core.device import Device
    from nf_edge.core.recipe.recipe import Recipe
    from nf_edge.measure.emulation import EmulatedCore
    from nf_edge.model import Checkpoint, Decoder, ModelConfig
    from nf_edge.model.data.rows import Rows
    from nf_edge.pipeline.mixed_precision.search import SearchTarget

Notify = Callable[[str], None]

# Rows that sensitivity is measured on by default, and rows that `check_on` takes: an emulated core is slow.
SENSITIVITY_ROWS, EMULATED_ROWS = 256, 100


def tell(notify: Notify | None, messages: Iterable[str]) -> None:
    """Pass remarks to `notify`; to Python's `warnings` where it is None."""
    for message in messages:
        if notify is None:
            warnings.warn(message, stacklevel=4)
        else:
            notify(message)


def load_checkpoint(source: "Named | Checkpoint") -> "Checkpoint":
    """A checkpoint: the name of a bundled one, or its folder.

    Raises:
        BadInput: there is none, or it is refused; lists every mismatch.
    """
    from nf_edge.model import Checkpoint, resolve_checkpoint

    return source if isinstance(source, Checkpoint) else resolve_checkpoint(name_of(source))


def load_recipe(source: "Named | Recipe") -> "Recipe":
    """A recipe: the name of a bundled one, or its YAML file.

    Raises:
        BadInput: there is none, or it is wrong; lists every error with its line.
    """
    from nf_edge.core.recipe import recipe

    return source if isinstance(source, recipe.Recipe) else recipe.load_recipe(name_of(source))


def load_device(source: "Named | Device") -> "Device":
    """A device: the name of a bundled one, or its YAML file.

    Raises:
        BadInput: there is none, or it is wrong; lists every error with its line.
    """
    from nf_edge.core import device

    return source if isinstance(source, device.Device) else device.load_device(name_of(source))


def load_rows(
    source: "Named | Rows",
    checkpoint: "Named | Checkpoint",
    *,
    recipe: "Named | Recipe | None" = None,
    limit: int | None = None,
) -> "Rows":
    """Rows of a TSV, CSV or JSONL file, or of NAME:SPLIT, in a checkpoint's tokens.

    Args:
        recipe: whose length longer rows are cut to; the checkpoint's own length where None.
        limit: read the first `limit` rows only.

    Raises:
        BadInput: it cannot be read, or has bad rows; lists them by their lines.
        MissingTool: a named data set needs a package that is not installed.
    """
    the_checkpoint = load_checkpoint(checkpoint)
    length = the_checkpoint.config.n_positions
    if recipe is not None:
        length = input_shape_of(load_recipe(recipe), the_checkpoint).length
    return rows_of(source, the_checkpoint, optional_whole("limit", limit, 1), length)


def load_artifact(
    source: "Named | Artifact",
    *,
    public_key: Named | None = None,
    require_signature: bool = False,
    notify: Notify | None = None,
) -> "Artifact":
    """An artifact folder, every file of which is verified; one that was loaded before is verified again.

    Raises:
        BadInput: it is not an artifact, a file is missing, changed or not listed, or its signature is not
            what is required.
        MissingTool: verifying a signature needs a package that is not installed.
    """
    from nf_edge.artifact import Artifact
    from nf_edge.artifact.signature import load_trusted

    key = None if public_key is None else path_of(public_key)
    before = source if isinstance(source, Artifact) else None
    path = source.path if isinstance(source, Artifact) else path_of(source)
    if before is not None and key is None:
        key = before.verified_with
    artifact = load_trusted(path, key, required=require_signature)
    if before is not None and before.manifest_sha256 != artifact.manifest_sha256:
        raise BadInput("changed since it was loaded", where=path, fix="load it anew")
    tell(notify, artifact.notes)
    return artifact


def input_shape_of(recipe: "Recipe", checkpoint: "Checkpoint") -> "InputShape":
    from nf_edge.backends.input_shape import InputShape

    return InputShape.of(recipe, checkpoint.config)


def optional_device(device: "Named | Device | None") -> "Device | None":
    return None if device is None else load_device(device)


def optional_core(on: "str | EmulatedCore | None") -> "EmulatedCore | None":
    """The first kind of core of a device.

    Raises:
        BadInput: it is unknown, or no device that runs programs of Linux.
        MissingTool: QEMU or the cross-compiler is not installed.
    """
    if on is None:
        return None
    return cores_of([on])[0]


def cores_of(on: "Sequence[str | EmulatedCore]") -> "list[EmulatedCore]":
    """The cores of several devices, each once."""
    from nf_edge.measure.emulation import EmulatedCore, emulated_cores

    require_list("on", on)
    if not on:
        raise BadInput("on is empty: name devices")
    cores: dict[EmulatedCore, None] = {}
    for each in on:
        cores |= dict.fromkeys([each] if isinstance(each, EmulatedCore) else emulated_cores([name_of(each)]))
    return list(cores)


def not_artifact(source: "Named | Checkpoint | Artifact") -> "Named | Checkpoint":
    from nf_edge.artifact import Artifact

    if isinstance(source, Artifact):
        raise BadInput("is an artifact, which has its own recipe", where=source.path, fix="leave recipe out")
    return source


@dataclass(frozen=True)
class ExportInputs:
    """What `export` and `dry_run` work on."""

    checkpoint: "Checkpoint"
    recipe: "Recipe"
    device: "Device | None"
    rows: "Rows | None"
    calibrate: "Rows | None"


def export_inputs(
    checkpoint: "Named | Checkpoint",
    recipe: "Named | Recipe",
    out: Path | None,
    device: "Named | Device | None",
    data: "Named | Rows | None",
    calibrate: "Named | Rows | None",
    limit: int | None,
    overwrite: bool,
    notify: Notify | None,
) -> ExportInputs:
    """All that an export reads; `out` is checked first.

    Raises:
        BadInput: something cannot be read, `limit` is given without data, or `out` cannot be written.
    """
    from nf_edge.artifact import check_out

    optional_whole("limit", limit, 1)
    require_data(data, limit=limit)
    the_recipe, the_device = load_recipe(recipe), optional_device(device)
    if out is not None:
        read = place_of("checkpoints", checkpoint) + place_of("recipes", recipe) + place_of("devices", device)
        check_out(out, overwrite=overwrite, sources=[*read, *place_of("", data), *place_of("", calibrate)])
    the_checkpoint = load_checkpoint(checkpoint)
    tell(notify, the_checkpoint.warnings)
    length = input_shape_of(the_recipe, the_checkpoint).length
    calibration = None if calibrate is None else rows_of(calibrate, the_checkpoint, None, length)
    rows = None if data is None else rows_of(data, the_checkpoint, limit, length)
    for each in filter(None, (calibration, rows)):
        tell(notify, each.warnings)
    return ExportInputs(the_checkpoint, the_recipe, the_device, rows, calibration)


@dataclass(frozen=True)
class CheckInputs:
    """What `check` works on.

    Attributes:
        own: the same rows in the artifact's tokens, where they differ from the checkpoint's.
        max_drop: points of accuracy that may be lost; None: no limit.
    """

    artifact: "Artifact"
    checkpoint: "Checkpoint"
    backend: "Backend"
    input_shape: "InputShape"
    rows: "Rows"
    own: "Rows | None"
    max_drop: float | None


def check_inputs(
    artifact: "Named | Artifact",
    data: "Named | Rows",
    reference: "Named | None",
    limit: int | None,
    max_drop: float | None,
    public_key: Named | None,
    require_signature: bool,
    notify: Notify | None,
) -> CheckInputs:
    """An artifact, the checkpoint that it is compared with, and rows for both."""
    from nf_edge.artifact import reference_of
    from nf_edge.backends import backend_for
    from nf_edge.model.data.rows import Rows, read_rows

    optional_whole("limit", limit, 1)
    max_drop = points(max_drop)
    the_artifact = load_artifact(
        artifact, public_key=public_key, require_signature=require_signature, notify=notify
    )
    manifest = the_artifact.manifest
    checkpoint = reference_of(the_artifact, optional_name(reference))
    tell(notify, checkpoint.warnings)
    backend, input_shape = backend_for(manifest.recipe), manifest.interface.input_shape
    rows, own = rows_of(data, checkpoint, limit, input_shape.length), None
    if manifest.config.vocab_size != checkpoint.config.vocab_size:
        if isinstance(data, Rows):
            raise BadInput(
                "were read in the checkpoint's tokens, and the artifact has others",
                where=data.source,
                fix="give the file that they were read from",
            )
        tokenizer = the_artifact.tokenizer_file
        own = read_rows(name_of(data), manifest.config, tokenizer, limit, length=input_shape.length)
    tell(notify, rows.warnings)
    most = manifest.recipe.limits.max_drop if max_drop is None else max_drop
    return CheckInputs(the_artifact, checkpoint, backend, input_shape, rows, own, most)


def sensitivity_rows(
    data: "Named | Rows | None", checkpoint: "Checkpoint", limit: int | None, length: int
) -> "Rows":
    """The rows that sensitivity is measured on: the data, else the checkpoint's examples."""
    from dataclasses import replace

    from nf_edge.model.data.rows import Rows

    optional_whole("limit", limit, 1)
    if isinstance(data, Rows):
        return rows_of(data, checkpoint, limit, length)
    if data is not None:
        return rows_of(data, checkpoint, limit or SENSITIVITY_ROWS, length)
    if checkpoint.examples_file is None:
        raise BadInput(
            "has no examples.jsonl, so there are no rows to compare answers on",
            where=checkpoint.path,
            fix="give rows with --data FILE",
        )
    rows = rows_of(checkpoint.examples_file, checkpoint, limit or SENSITIVITY_ROWS, length)
    return replace(rows, source=checkpoint.examples_file.name)


def target_of(
    file_size: int | None, kl: float | None, max_drop: float | None, out: Named | None
) -> "SearchTarget | None":
    """What a mixed-precision recipe has to meet; None where there is no target.

    Raises:
        BadInput: there are several targets, or one without a place for the recipe, or a place without one.
    """
    from nf_edge.pipeline.mixed_precision.search import SearchTarget

    optional_whole("file_size", file_size, 1)
    points(max_drop)
    targets = [SearchTarget("size", file_size)] if file_size is not None else []
    if kl is not None:
        require_finite("kl", kl, above=True)
        targets.append(SearchTarget("kl", kl))
    targets += [SearchTarget("drop", max_drop)] if max_drop is not None else []
    if len(targets) > 1:
        raise BadInput("file_size, kl and max_drop exclude each other; give one")
    if bool(targets) != (out is not None):
        raise BadInput("a recipe is written with a target and out: give both, or neither")
    return targets[0] if targets else None


def require_timing(
    lengths: Sequence[int] | None, contexts: Sequence[int] | None, threads: Sequence[int], repeats: int
) -> None:
    """Raises BadInput where one of them cannot be timed with."""
    for name, values in (("lengths", lengths), ("contexts", contexts)):
        if values is not None:
            require_wholes(name, values, 1)
    require_wholes("threads", threads, 1)
    require_whole("repeats", repeats, 5)


def open_decoder(
    source: "Named | Checkpoint | Artifact",
    on: "str | EmulatedCore | None",
    as_ids: bool,
    public_key: Named | None,
    require_signature: bool,
    notify: Notify | None,
) -> "tuple[Decoder, ModelConfig, Path | None]":
    """What to generate with, its config, and its tokenizer's file; None where ids are generated.

    Raises:
        BadInput: the source is no language model that generates.
    """
    from nf_edge.artifact import MANIFEST, Artifact
    from nf_edge.backends import backend_for
    from nf_edge.model import Checkpoint, Decoder

    core = optional_core(on)
    if isinstance(source, Checkpoint) or not (
        isinstance(source, Artifact) or os.path.isfile(path_of(source) / MANIFEST)
    ):
        where = source.path if isinstance(source, Checkpoint) else source
        if core:
            raise BadInput("is not an artifact, and --on is for artifacts only", where=where)
        if require_signature:
            raise BadInput("is not an artifact, and --require-signature is for artifacts only", where=where)
        return _torch_decoder(load_checkpoint(source), where, notify)
    artifact = load_artifact(
        source, public_key=public_key, require_signature=require_signature, notify=notify
    )
    manifest, where = artifact.manifest, artifact.path
    if not manifest.config.is_language_model:
        raise BadInput("is no language model", where=where)
    if not manifest.interface.cached:
        raise BadInput(
            "has no cache to generate with: it gives the logits of all tokens",
            where=where,
            fix="export it by a recipe with logits: last",
        )
    backend, input_shape = backend_for(manifest.recipe), manifest.interface.input_shape
    if core:
        from nf_edge.measure.emulation import load

        decoder = load(core, backend, artifact.model_file, input_shape)
    else:
        decoder = backend.load(artifact.model_file, input_shape)
    assert isinstance(decoder, Decoder)
    return decoder, manifest.config, None if as_ids else artifact.tokenizer_file


def _torch_decoder(
    checkpoint: "Checkpoint", where: Named, notify: Notify | None
) -> "tuple[Decoder, ModelConfig, Path | None]":
    from nf_edge.model import CausalLM, TorchDecoder

    tell(notify, checkpoint.warnings)
    model = checkpoint.model()
    if not isinstance(model, CausalLM):
        raise BadInput("is no language model", where=where)
    return TorchDecoder(model), checkpoint.config, checkpoint.tokenizer_file


def parsed_ids(prompt: str | Sequence[int]) -> list[int]:
    """Token ids: of a text that lists them, or of a list, in whatever type of whole number."""
    try:
        if isinstance(prompt, str):
            return [int(word) for word in prompt.replace(",", " ").split()]
        return [operator.index(token) for token in prompt]
    except (TypeError, ValueError):
        raise BadInput("is not a list of token ids", where="PROMPT", fix="with --ids, say: 12 7 99") from None


def require_ids(ids: list[int], config: "ModelConfig") -> None:
    """Refuse a prompt without tokens, or with some that are not the model's."""
    if not ids:
        raise BadInput("has no tokens", where="PROMPT")
    outside = [token for token in ids if not 0 <= token < config.vocab_size]
    if outside:
        raise BadInput(f"token {outside[0]} is outside the vocabulary of {config.vocab_size}", where="PROMPT")
