"""Reading and placing artifact folders."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from nf_edge import strict_json
from nf_edge.artifact.guide import run_guide
from nf_edge.artifact.manifest import SCHEMA, Manifest
from nf_edge.errors import BadInput
from nf_edge.files import sha256, staged_folder
from nf_edge.model import Checkpoint, resolve_checkpoint
from nf_edge.model.checkpoint import WEIGHTS
from nf_edge.resources import names

MANIFEST, GUIDE, REPORT = "manifest.json", "RUN.md", "report.html"


@dataclass(frozen=True)
class Artifact:
    """An artifact as it lies on disk."""

    path: Path
    manifest: Manifest

    @property
    def model_file(self) -> Path:
        return self.path / self.manifest.model.name

    @property
    def tokenizer_file(self) -> Path | None:
        name = self.manifest.interface.tokenizer
        return None if name is None else self.path / name


def load_artifact(path: Path) -> Artifact:
    """Read an artifact folder and verify its model file against the manifest.

    Raises:
        BadInput: it is not an artifact, or its model file is not the one that was exported.
    """
    file = path / MANIFEST
    if not path.is_dir() or not file.is_file():
        raise BadInput(
            f"is not an artifact (it has no {MANIFEST})", where=path, fix="make one with `nf-edge export`"
        )
    try:
        document = strict_json.loads(file.read_text(encoding="utf-8"))
        found = document.get("schema") if isinstance(document, dict) else None
        if found != SCHEMA:
            raise BadInput(f"schema is {found!r}; this nf-edge reads {SCHEMA!r}", where=file)
        manifest = Manifest.model_validate(document)
    except (ValidationError, ValueError, RecursionError) as error:
        raise BadInput(f"is damaged: {error}", where=file, fix="export it again") from error
    artifact = Artifact(path, manifest)
    _verify(artifact)
    return artifact


def _verify(artifact: Artifact) -> None:
    wanted, model = artifact.manifest.model, artifact.model_file
    if not model.is_file():
        raise BadInput("is missing", where=model, fix="export it again")
    if sha256(model) != wanted.sha256:
        raise BadInput(
            "is not the file that was exported (its SHA-256 differs)", where=model, fix="export it again"
        )


def reference_of(artifact: Artifact, reference: str | None) -> Checkpoint:
    """The checkpoint that an artifact was made of, or the one that this was made smaller of.

    Args:
        reference: its folder or name; None for the bundled one of the name that the manifest has.

    Raises:
        BadInput: it is not to be found, or is neither what was exported nor what that was made smaller of.
    """
    origin = artifact.manifest.checkpoint
    if reference is None and origin.name not in names("checkpoints", suffix=""):
        raise BadInput(
            f"was made of a checkpoint {origin.name!r}, which is not a bundled one",
            where=artifact.path,
            fix="give its folder with --reference",
        )
    checkpoint = resolve_checkpoint(reference or origin.name)
    compression = artifact.manifest.compression
    known = {origin.sha256, *([compression.original_sha256] if compression else [])}
    if sha256(checkpoint.path / WEIGHTS) not in known:
        raise BadInput(
            f"is not the checkpoint that {artifact.path} was made of (the SHA-256 of its weights differs)",
            where=checkpoint.path,
            fix="give the right one with --reference, or export again",
        )
    return checkpoint


@contextmanager
def staged_artifact(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """A folder to build an artifact in; see `files.staged_folder`."""
    with staged_folder(path, overwrite=overwrite, marker=MANIFEST) as stage:
        yield stage


def write_papers(manifest: Manifest, report: str, stage: Path) -> None:
    """The texts that go beside the model file: manifest, report, and how to run it."""
    document = strict_json.dumps(manifest.to_json())
    (stage / MANIFEST).write_text(document + "\n", encoding="utf-8")
    (stage / GUIDE).write_text(run_guide(manifest), encoding="utf-8")
    (stage / REPORT).write_text(report, encoding="utf-8")
