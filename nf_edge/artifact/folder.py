"""Read and write artifact folders."""

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nf_edge.artifact.contents import SIGNATURE, described, read_manifest_bytes, verify
from nf_edge.artifact.guide import run_guide
from nf_edge.artifact.manifest import SCHEMAS, Manifest
from nf_edge.backends import agreeing_backend, backend_for
from nf_edge.backends.runnable import Runnable
from nf_edge.core import strict_json
from nf_edge.core.errors import EXPORT_AGAIN, BadInput
from nf_edge.core.files import staged_folder
from nf_edge.core.output_checks import FolderKind, check_target
from nf_edge.core.schemas import MANIFEST, is_artifact, require_schema
from nf_edge.core.staging import is_utf8, sweep
from nf_edge.model.config_file import unknown_keys

GUIDE, REPORT = "RUN.md", "report.html"
# A part of the messages about artifacts of schema 1.
EARLIER = "was made by an earlier nf-edge, whose manifest has only the hash of {model}"


@dataclass(frozen=True)
class Artifact:
    """An artifact folder whose files match its manifest.

    Attributes:
        manifest_sha256: SHA-256 of the manifest that was read.
        notes: remarks for the user about the folder.
        verified_with: the public key that verified the signature; None if the signature was not verified.
    """

    path: Path
    manifest: Manifest
    manifest_sha256: str
    notes: tuple[str, ...] = ()
    verified_with: Path | None = None

    @property
    def model_file(self) -> Path:
        return self.path / self.manifest.model.name

    def runnable(self) -> Runnable:
        """The model file, with everything that is needed to run it.

        Raises:
            MissingTool: a package of the backend is not installed.
        """
        manifest = self.manifest
        return Runnable(
            backend=backend_for(manifest.recipe),
            file=self.model_file,
            config=manifest.config,
            checkpoint=manifest.checkpoint.name,
            input_shape=manifest.interface.input_shape,
            recipe=manifest.recipe,
        )

    @property
    def tokenizer_file(self) -> Path | None:
        """The path of the tokenizer; None if the artifact has none.

        Raises:
            BadInput: the manifest lists no files, so the tokenizer cannot be verified.
        """
        name = self.manifest.interface.tokenizer
        if name is None:
            return None
        if self.manifest.files is None:
            earlier = EARLIER.format(model=self.manifest.model.name)
            what = f"cannot be verified, because the artifact {earlier}"
            fix = f"{EXPORT_AGAIN}; generate also takes token ids (--ids)"
            raise BadInput(what, where=self.path / name, fix=fix)
        return self.path / name

    @property
    def signature(self) -> str:
        """The state of the signature: "none", "not verified", or "verified with KEY"."""
        if not self.is_signed:
            return "none"
        return f"verified with {self.verified_with}" if self.verified_with else "not verified"

    @property
    def is_signed(self) -> bool:
        """Whether the folder contains a signature, which may be invalid; `signature.verify` verifies it."""
        return os.path.lexists(self.path / SIGNATURE)


def load_artifact(path: Path) -> Artifact:
    """Read an artifact folder and verify all of its files against the manifest.

    Raises:
        BadInput: the folder is not an artifact, or files are missing, changed or not listed; the message
            names all of them.
    """
    if not is_utf8(path):
        what = "this path is not valid UTF-8, so runtimes cannot open the files"
        raise BadInput(what, where=path, fix="rename the folder")
    sweep(path)  # deletes the work folders of a signing that was killed
    if not os.path.lexists(path):
        raise BadInput("does not exist", where=path, fix="make an artifact with `nf-edge export`")
    if not os.path.isdir(path) or not os.path.lexists(path / MANIFEST):
        raise BadInput(
            f"is not an artifact (it has no {MANIFEST})", where=path, fix="make one with `nf-edge export`"
        )
    content = read_manifest_bytes(path)
    manifest = _manifest(content, path / MANIFEST)
    notes = verify(path, manifest.files or (manifest.model,), complete=manifest.files is not None)
    _require_companions(path, manifest)
    if manifest.files is None:
        earlier = EARLIER.format(model=manifest.model.name)
        notes = (f"{path} {earlier}; {EXPORT_AGAIN} so that all files are verified",)
    return Artifact(path, manifest, hashlib.sha256(content).hexdigest(), notes)


def _manifest(content: bytes, where: Path) -> Manifest:
    """Parse the content of a manifest file; an earlier schema is converted.

    Raises:
        BadInput: the content is not a valid manifest, or has the schema of a newer nf-edge.
    """
    try:
        document = strict_json.loads(content.decode("utf-8"))
        require_schema(document, SCHEMAS, where)
        if document["schema"] == SCHEMAS[0]:
            _convert_drop_to_points(document)
        manifest = Manifest.model_validate(document)
        # config.json may have keys of other tools, so unknown keys pass there.  Only nf-edge writes
        # manifests.
        if unknown := unknown_keys(document["config"], "config"):
            raise ValueError("; ".join(unknown))
        return manifest
    except ValidationError as error:
        raise BadInput(
            f"is damaged ({'; '.join(_problems(error))})", where=where, fix=EXPORT_AGAIN
        ) from error
    except (ValueError, RecursionError) as error:
        raise BadInput(f"is damaged ({error})", where=where, fix=EXPORT_AGAIN) from error


def _convert_drop_to_points(document: dict[str, Any]) -> None:
    """Change the limit `max_drop` of a schema-1 manifest, in place, from a share to points (0.01 → 1)."""
    recipe = document.get("recipe")
    limits = recipe.get("limits") if isinstance(recipe, dict) else None
    if isinstance(limits, dict) and isinstance(share := limits.get("max_drop"), float):
        limits["max_drop"] = round(100 * share, 9)


def _problems(error: ValidationError, most: int = 3) -> list[str]:
    """The first `most` problems of a manifest, in words, each with its key."""
    items = error.errors(include_url=False)
    problems = [
        f"{'.'.join(map(str, item['loc'])) or 'manifest'}: {item['msg'].removeprefix('Value error, ')}"
        for item in items[:most]
    ]
    return [*problems, f"and {len(items) - most} more"] if len(items) > most else problems


def _require_companions(path: Path, manifest: Manifest) -> None:
    """Raise BadInput if the manifest does not list the other files that the model file needs."""
    listed_names = {file.name for file in manifest.files or ()}
    companions = agreeing_backend(manifest.recipe).companions
    if missing := [name for name in companions if name not in listed_names]:
        raise BadInput(
            f"does not list {' and '.join(missing)}, which {manifest.model.name} needs",
            where=path / MANIFEST,
            fix=EXPORT_AGAIN,
        )


def _known_files(path: Path) -> set[str] | None:
    """Names of the files that an artifact may contain: the manifest, the listed files, and the signature.

    None if the manifest cannot be read or lists no files.
    """
    try:
        files = _manifest(read_manifest_bytes(path), path / MANIFEST).files
    except BadInput:
        return None
    return None if files is None else {MANIFEST, SIGNATURE, *(file.name for file in files)}


KIND = FolderKind("an artifact", is_artifact, _known_files)


def check_out(path: Path, *, overwrite: bool, sources: Iterable[Path] = ()) -> None:
    """Check before a long job that `staged_artifact` can write the folder.

    Args:
        sources: files and folders that the job reads.  `path` must neither be nor contain one of them.

    Raises:
        BadInput: the folder exists and may not be replaced, or cannot be created.
    """
    check_target(path, KIND, overwrite=overwrite, sources=sources)


@contextmanager
def staged_artifact(path: Path, *, overwrite: bool, sources: Iterable[Path] = ()) -> Iterator[Path]:
    """A new folder to build an artifact in; it replaces `path` when the block succeeds.

    Args:
        overwrite: whether an existing artifact may be replaced.
        sources: files and folders that the job reads.  `path` must neither be nor contain one of them.

    Raises:
        BadInput: `path` may not be replaced, changed while the block ran, or cannot be written.
    """
    with staged_folder(path, KIND, overwrite=overwrite, sources=sources) as stage:
        yield stage


def discard(stage: Path) -> None:
    """Delete a staged artifact; the folder that it would have replaced stays."""
    shutil.rmtree(stage)


def write_documents(manifest: Manifest, report: str, stage: Path) -> Manifest:
    """Write RUN.md, the report and the manifest; returns the manifest, which then lists RUN.md and the
    report.
    """
    (stage / GUIDE).write_text(run_guide(manifest), encoding="utf-8")
    (stage / REPORT).write_text(report, encoding="utf-8")
    documents = (described(stage / name) for name in (GUIDE, REPORT))
    files = sorted((*(manifest.files or ()), *documents), key=lambda file: file.name)
    complete = manifest.model_copy(update={"files": tuple(files)})
    document = strict_json.dumps(complete.to_json())
    (stage / MANIFEST).write_text(document + "\n", encoding="utf-8")
    return complete
