"""Lower an artifact's checkpoint again, to measure the steps of its export.

The manifest records the checkpoint, the recipe and the calibration rows of the export.  Other checkpoints and
other calibration rows are refused.
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
        reference: the float32 checkpoint to compare with: the exported checkpoint, or its original before
            pruning.
        job: the lowering of the exported checkpoint; None if only its original is given.
        calibrate: the calibration rows of the export; None: the checkpoint's examples.
    """

    artifact: Artifact
    reference: Checkpoint
    job: Job | None
    calibrate: Rows | None

    @classmethod
    def of(
        cls, artifact: Artifact, reference: Checkpoint, pruned: Checkpoint | None, calibrate: Rows | None
    ) -> "Exported":
        """Find out which checkpoint was exported, and check the calibration rows.

        Args:
            pruned: the exported checkpoint, if `reference` is its original.
            calibrate: the calibration rows of the export; None: the checkpoint's examples.

        Raises:
            BadInput: `pruned` is not the exported checkpoint, `reference` is already the exported checkpoint,
                or these are not the calibration rows of the export.
            MissingTool: a package of the backend is not installed.
        """
        made_of = artifact.manifest.made_of
        if pruned is None:
            exported = None if reference.differs_from(made_of) else reference
        elif not reference.differs_from(made_of):
            raise BadInput(
                "is the exported checkpoint itself, so --pruned has no effect",
                where=reference.path,
                fix="leave out --pruned, or give the original with --reference",
            )
        elif differing := pruned.differs_from(made_of):
            raise BadInput(
                f"is not the checkpoint that {artifact.path} was exported from ({' and '.join(differing)} "
                f"{'differs' if len(differing) == 1 else 'differ'})",
                where=pruned.path,
                fix="give the checkpoint of the export with --pruned",
            )
        else:
            exported = pruned
        job = None if exported is None else _job(artifact, exported, calibrate)
        return cls(artifact, reference, job, calibrate)

    def require_job(self) -> Job:
        """The lowering of the exported checkpoint.

        Raises:
            BadInput: only the original of the exported checkpoint is given.
        """
        if self.job is None:
            raise BadInput(
                "is not the exported checkpoint, which --layers compares the artifact with",
                where=self.reference.path,
                fix="give the exported checkpoint with --reference or --pruned",
            )
        return self.job

    @contextmanager
    def lowered_again(self, progress: Progress = silent) -> "Iterator[LoweredAgain | None]":
        """Lower the exported checkpoint again, in a temporary folder; yield None if only its original is
        given.
        """
        if self.job is None:
            yield None
            return
        with lowered_again(self.job, progress) as again:
            yield again


def _job(artifact: Artifact, checkpoint: Checkpoint, calibrate: Rows | None) -> Job:
    """The lowering job of a checkpoint; raise BadInput unless the calibration rows are the export's.

    Args:
        calibrate: the calibration rows; None: the checkpoint's examples.
    """
    manifest = artifact.manifest
    job = Job.of(checkpoint, manifest.recipe, calibrate)
    before, now = manifest.calibration, calibrated_on(job.calibration)
    if (before and (before.sha256, before.rows)) != (now and (now.sha256, now.rows)):
        rows = f"{before.rows} rows of {before.source}, SHA-256 {before.sha256[:12]}…" if before else "none"
        raise BadInput(
            f"these are not the rows that {artifact.path} was calibrated on (the export used {rows})",
            where=job.calibration.source if job.calibration else None,
            fix="give the calibration rows of the export with --calibrate",
        )
    return job


NOT_LOWERED = SameFile(
    None, "not confirmed: the exported checkpoint is not given, so nothing was lowered again"
)


@dataclass(frozen=True)
class LoweredAgain:
    """The files and programs from lowering an artifact's checkpoint again.

    Attributes:
        program: the program that was lowered, in PyTorch.
        file: the model file; its companion files are in the same folder.
        graph: the model file before the backend quantized it; its companion files are in the same folder.
    """

    job: Job
    program: nn.Module
    lowered: Lowered
    file: Path
    graph: Path

    def compared_with(self, manifest: Manifest) -> SameFile:
        """Whether the files equal the files that the manifest lists, byte for byte."""
        listed = {file.name: file.sha256 for file in manifest.files or (manifest.model,)}
        made = {path.name: path for path in self.file.parent.iterdir()}
        # A model file of another name differs too.
        compared = sorted(made.keys() & listed.keys() | {manifest.model.name})
        differing = [name for name in compared if name not in made or sha256(made[name]) != listed.get(name)]
        if not differing:
            return SameFile(True, "confirmed: lowering again gives the artifact's model file, byte for byte")
        files = " and ".join(differing)
        if other := _other_environment(manifest):
            text = (
                f"not confirmed: lowering again gives another {files}, which other software may explain "
                f"({other})"
            )
            return SameFile(None, text)
        text = f"NOT the same: lowering again gives another {files}, with the same software and processor"
        return SameFile(False, text)


def _other_environment(manifest: Manifest) -> str:
    """How this environment differs from the one of the export, in words; "" if both are equal."""
    before, now = manifest.reproducible, reproducible(manifest.recipe)
    if before is None:
        return "the manifest does not record the software of the export"
    pairs = [("nf-edge", manifest.nf_edge, __version__)]
    pairs += [(name, getattr(before, name), getattr(now, name)) for name in ("python", "machine", "cpu")]
    names = sorted({*before.packages, *now.packages})
    pairs += [(name, before.packages.get(name, "none"), now.packages.get(name, "none")) for name in names]
    return ", ".join(f"{name} {here} instead of {there}" for name, there, here in pairs if there != here)


@contextmanager
def lowered_again(job: Job, progress: Progress = silent) -> Iterator[LoweredAgain]:
    """Lower a checkpoint again in a temporary folder, which exists until the block ends.

    Args:
        job: the checkpoint and the recipe to lower.
    """
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
