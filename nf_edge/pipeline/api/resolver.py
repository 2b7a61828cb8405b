"""Turn the arguments of the API's functions into values: load names and paths, and pass loaded values
through.
"""

import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nf_edge.core.errors import BadInput, quoted
from nf_edge.pipeline.api.arguments import Named, name_of, path_of, require_list, require_suitable

if TYPE_CHECKING:
    from nf_edge.artifact import Artifact
    from nf_edge.backends.input_shape import InputShape
    from nf_edge.core.device import Device
    from nf_edge.core.recipe.recipe import Recipe
    from nf_edge.measure.emulation import EmulatedCore
    from nf_edge.model import Checkpoint
    from nf_edge.model.checkpoint_outline import CheckpointOutline
    from nf_edge.model.data.glue_files import Split
    from nf_edge.model.data.row_format import RowFormat
    from nf_edge.model.data.rows import Rows

Notify = Callable[[str], None]


@dataclass(frozen=True)
class Resolver:
    """Loads the arguments of one API call and passes on the remarks about them.

    Attributes:
        notify: called with each remark; None: Python's `warnings`.
        public_key: the key file that signatures are verified with; None: signatures are not verified.
        require_signature: refuse an artifact without a verified signature.
        row_format: how the rows of files are read; None: from columns with the usual names, such as `text`.
    """

    notify: Notify | None
    public_key: Named | None = None
    require_signature: bool = False
    row_format: "RowFormat | None" = None

    def tell(self, remarks: Iterable[str]) -> None:
        """Pass remarks to `notify`, or to Python's `warnings`."""
        for remark in remarks:
            if self.notify is None:
                warnings.warn(remark, stacklevel=_frames_of_nf_edge())
            else:
                self.notify(remark)

    def checkpoint(self, source: "Named | Checkpoint") -> "Checkpoint":
        from nf_edge.model import Checkpoint, resolve_checkpoint

        checkpoint = source if isinstance(source, Checkpoint) else resolve_checkpoint(name_of(source))
        self.tell(checkpoint.warnings)
        return checkpoint

    def outline(self, source: "Named | Checkpoint | Artifact") -> "CheckpointOutline":
        """The folder and the validated config of a checkpoint; its weights are not read for this.

        Raises:
            BadInput: the source is an artifact, or its config cannot be read.
        """
        from nf_edge.model.checkpoint_outline import resolve_outline

        outline = resolve_outline(name_of(source)) if isinstance(source, Named) else _outline_of(source)
        self.tell(outline.warnings)
        return outline

    def recipe(self, source: "Named | Recipe") -> "Recipe":
        from nf_edge.core.recipe import recipe

        return source if isinstance(source, recipe.Recipe) else recipe.load_recipe(name_of(source))

    def device(self, source: "Named | Device") -> "Device":
        from nf_edge.core import device

        return source if isinstance(source, device.Device) else device.load_device(name_of(source))

    def optional_device(self, source: "Named | Device | None") -> "Device | None":
        return None if source is None else self.device(source)

    def rows(
        self,
        data: "Named | Rows",
        checkpoint: "Checkpoint",
        limit: int | None,
        length: int,
        split: "Split" = "dev",
    ) -> "Rows":
        """Rows encoded for a checkpoint.

        Rows of a source are cut to `length` tokens.  Loaded rows are not cut and must suit the model.

        Args:
            limit: read only the first `limit` rows of a source; None: all rows.
            split: which split of a folder is read.
        """
        from nf_edge.model.data.row_format import DEFAULT
        from nf_edge.model.data.rows import Rows, load_rows

        if not isinstance(data, Rows):
            row_format = self.row_format or DEFAULT
            rows = load_rows(
                name_of(data), checkpoint, limit, length=length, row_format=row_format, split=split
            )
        else:
            require_suitable(data, checkpoint, length, limit)
            rows = data
        self.tell(rows.warnings)
        return rows

    def calibration(
        self, data: "Named | Rows | None", checkpoint: "Checkpoint", length: int
    ) -> "Rows | None":
        """Calibration rows, cut to `length` tokens; None if `data` is None.

        In a folder, the training split is read.
        """
        return None if data is None else self.rows(data, checkpoint, None, length, "train")

    def evaluated(
        self,
        data: "Named | Rows",
        checkpoint: "Checkpoint",
        limit: int | None,
        length: int,
        stride: int | None,
    ) -> "Rows":
        """Rows to evaluate on: the windows of a text file for a language model, otherwise as from `rows`.

        Args:
            limit: largest number of rows or windows; None: all.
            stride: as for `read_windows`.

        Raises:
            BadInput: the rows cannot be read or do not suit the model, or there is a stride but no text.
        """
        from nf_edge.model.data.rows import Rows
        from nf_edge.model.data.sources import is_text
        from nf_edge.model.data.windows import read_windows

        if isinstance(data, Rows) or not is_text(name_of(data)) or not checkpoint.config.is_language_model:
            if stride is not None:
                raise BadInput(
                    "a stride needs a text file (.txt) and a language model",
                    where=data.source if isinstance(data, Rows) else data,
                    fix="leave out the stride",
                )
            return self.rows(data, checkpoint, limit, length)
        if self.row_format is not None:
            self.row_format.require_default(name_of(data), "is a text, which has no columns and labels")
        config, tokenizer = checkpoint.config, checkpoint.tokenizer_file
        return read_windows(name_of(data), config, tokenizer, length, stride, limit)

    def artifact(self, source: "Named | Artifact") -> "Artifact":
        """A verified artifact, with a verified signature if one is required."""
        from nf_edge.artifact import Artifact
        from nf_edge.artifact.signature import load_trusted

        loaded = source if isinstance(source, Artifact) else None
        path = source.path if isinstance(source, Artifact) else path_of(source)
        key = None if self.public_key is None else path_of(self.public_key)
        if loaded is not None and key is None:
            key = loaded.verified_with
        artifact = load_trusted(path, key, required=self.require_signature)
        if loaded is not None and loaded.manifest_sha256 != artifact.manifest_sha256:
            raise BadInput("changed since it was loaded", where=path, fix="load it again")
        self.tell(artifact.notes)
        return artifact

    def input_shape(self, recipe: "Recipe", checkpoint: "Checkpoint") -> "InputShape":
        from nf_edge.backends.input_shape import InputShape

        return InputShape.of(recipe, checkpoint.config)

    def cores(self, on: "Sequence[str | EmulatedCore]") -> "list[EmulatedCore]":
        """The cores of several devices, without repeats.

        Raises:
            BadInput: a device is unknown, or cannot run Linux programs.
            MissingTool: QEMU or the cross-compiler is not installed.
        """
        from nf_edge.measure.emulation import EmulatedCore, emulated_cores

        require_list("on", on)
        if not on:
            raise BadInput("`on` is an empty list", fix="name at least one device")
        cores: dict[EmulatedCore, None] = {}
        for each in on:
            cores |= dict.fromkeys(
                [each] if isinstance(each, EmulatedCore) else emulated_cores([name_of(each)])
            )
        return list(cores)

    def optional_core(self, on: "str | EmulatedCore | None") -> "EmulatedCore | None":
        """The emulated core to run on: the first kind of core of a device; None if `on` is None.

        Raises:
            BadInput: the device is unknown, or cannot run Linux programs.
            MissingTool: QEMU or the cross-compiler is not installed.
        """
        return None if on is None else self.cores([on])[0]


def _outline_of(source: "Checkpoint | Artifact") -> "CheckpointOutline":
    """The config of a loaded checkpoint.  Raises BadInput for any other value."""
    from nf_edge.artifact import Artifact
    from nf_edge.model import Checkpoint

    if isinstance(source, Artifact):
        raise BadInput(
            "is an artifact and already has a recipe",
            where=source.path,
            fix="give its checkpoint, or call profile without recipe",
        )
    if not isinstance(source, Checkpoint):
        raise BadInput(
            f"{quoted(source)} is not a checkpoint",
            fix="give a name, a path, or the value of load_checkpoint",
        )
    return source.outline


def _frames_of_nf_edge() -> int:
    """The `stacklevel` that lets `warnings.warn` name the user's line, which called the API.

    `warnings` shows a remark once per line of code, so it must be the user's line.
    """
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("nf_edge."):
        level, frame = level + 1, frame.f_back
    return level
