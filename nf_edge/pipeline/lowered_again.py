"""Lower an artifact's checkpoint again, to measure the steps of its export.

The manifest names the checkpoint, the recipe and the calibration rows.  A different checkpoint and different
rows are refused.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from nf_edge import __version__
from nf_edge.artifact import Artifact
from nf_edge.artifact.description import calibrated_on
from nf_edge.artifact.manifest import Manifest
from nf_edge.artifact.reproducible import reproducible
from nf_edge.core.errors import BadInput
from nf_edge.core.progress import Progress, silent
from nf_edge.core.reading import sha256
from nf_edge.core.staging import scratch_folder
from nf_edge.measure.accuracy.same_file import SameFile
from nf_edge.model import Checkpoint
from nf_edge.model.data.rows import Rows
from nf_edge.pipeline.lowering import Job, Lowered, lower


@dataclass(frozen=True)
class Exported:
    """An artifact with the checkpoints that it was made from.

    Attributes:
        reference: the float32 checkpoint to compare with: the exported one, or the one it was pruned from.
        checkpoint: the exported checkpoint; None if only the original is known.
        calibrate: the rows that the recipe was calibrated on; None: the checkpoint's examples.
    """

    artifact: Artifact
    reference: Checkpoint
    checkpoint: Checkpoint | None
    calibrate: Rows | None

    @classmethod
    def of(
        cls, artifact: Artifact, reference: Checkpoint, pruned: Checkpoint | None, calibrate: Rows | None
    ) -> "Exported":
        """Find out which checkpoint was exported.

        Args:
            pruned: the exported checkpoint, if `reference` is its original.

        Raises:
            BadInput: `pruned` is not the exported checkpoint, or `reference` already is the exported one.
        """
        made_of = artifact.manifest.made_of
        if pruned is None:
            exported = None if reference.differs_from(made_of) else reference
            return cls(artifact, reference, exported, calibrate)
        if not reference.differs_from(made_of):
            raise BadInput(
                "is the exported checkpoint itself, so --pruned has no effect",
                where=reference.path,
                fix="leave out --pruned, or give the original with --reference",
            )
        if differing := pruned.differs_from(made_of):
            raise BadInput(
                f"is not the checkpoint that {artifact.path} was exported from ({' and '.join(differing)} "
                f"{'differs' if len(differing) == 1 else 'differ'})",
                where=pruned.path,
                fix="give the checkpoint of the export with --pruned",
            )
        return cls(artifact, reference, pruned, calibrate)

    def job(self) -> Job | None:
        """The lowering job of the export; None if the exported checkpoint is unknown.

        Raises:
            BadInput: the calibration rows are not those of the export.
        """
        if self.checkpoint is None:
            return None
        manifest = self.artifact.manifest
        job = Job.of(self.checkpoint, manifest.recipe, self.calibrate)
        before, now = manifest.calibration, calibrated_on(job.calibration)
        if (before and (before.sha256, before.rows)) != (now and (now.sha256, now.rows)):
            rows = (
                f"{before.rows} rows of {before.source}, SHA-256 {before.sha256[:12]}…" if before else "none"
            )
            raise BadInput(
                f"these are not the rows that {self.artifact.path} was calibrated on (export: {rows})",
                where=job.calibration.source if job.calibration else None,
                fix="give the calibration rows of the export with --calibrate",
            )
        return job


NOT_LOWERED = SameFile(
    None, "not confirmed: the exported checkpoint is not given, so nothing was lowered again"
)


@dataclass(frozen=True)
class LoweredAgain:
    """The result of lowering an artifact's checkpoint again.

    Attributes:
        program: the program that was lowered, in PyTorch.
        file: the model file; files that it needs are in the same folder.
        graph: the model file before the backend quantized it; files that it needs are in the same folder.
    """

    job: Job
    program: nn.Module
    lowered: Lowered
    file: Path
    graph: Path

    def compared_with(self, manifest: Manifest) -> SameFile:
        """Whether the files equal the files that the manifest lists, byte for byte."""
        listed = {file.name: file.sha256 for file in manifest.files or (manifest.model,)}
        made = [path for path in sorted(self.file.parent.iterdir()) if path.name in listed]
        differing = [path.name for path in made if sha256(path) != listed[path.name]]
        if not differing:
            return SameFile(True, "confirmed: lowering again gives the artifact's model file, byte for byte")
        files = " and ".join(differing)
        if other := _other_environment(manifest):
            text = (
                f"not confirmed: lowering again gives another {files}, but here is other software ({other})"
            )
            return SameFile(None, text)
        text = f"NOT the same: lowering again gives another {files}, with the same software and processor"
        return SameFile(False, text)


def _other_environment(manifest: Manifest) -> str:
    """The differences from the environment of the export, in words; "" if there are none."""
    before, now = manifest.reproducible, reproducible(manifest.recipe)
    if before is None:
        return "the manifest does not name the export's"
    pairs = [("nf-edge", manifest.nf_edge, __version__)]
    pairs += [(name, getattr(before, name), getattr(now, name)) for name in ("python", "machine", "cpu")]
    names = sorted({*before.packages, *now.packages})
    pairs += [(name, before.packages.get(name, "none"), now.packages.get(name, "none")) for name in names]
    return ", ".join(f"{name} {here} instead of {there}" for name, there, here in pairs if there != here)


@contextmanager
def lowered_again(job: Job, progress: Progress = silent) -> Iterator[LoweredAgain]:
    """Lower a checkpoint in a temporary folder; the result also has the program and the graph."""
    with scratch_folder() as folder, scratch_folder() as copies:
        file, programs = folder / job.backend.model_file, list[nn.Module]()

        def keep(program: nn.Module) -> None:
            programs.append(program)
            for path in folder.iterdir():
                shutil.copyfile(path, copies / path.name)

        progress("lowering again", 0, 1)
        lowered = lower(job, file, keep)
        progress("lowering again", 1, 1)
        yield LoweredAgain(job, programs[0], lowered, file, copies / file.name)
