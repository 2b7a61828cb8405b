"""The results of `sign` and `verify`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nf_edge.artifact.folder import Artifact, load_artifact
from nf_edge.artifact.manifest import Manifest
from nf_edge.artifact.signature import sign


@dataclass(frozen=True)
class Signed:
    """A signed artifact.

    Attributes:
        signature: the path of the signature.
        warnings: remarks about the artifact.
    """

    signature: Path
    manifest: Manifest
    warnings: tuple[str, ...]

    @property
    def files(self) -> list[str]:
        """Names of the signed files, without the manifest."""
        return [file.name for file in self.manifest.files or ()]

    def to_json(self) -> dict[str, Any]:
        return {"signature": str(self.signature), "status": self.manifest.status, "files": self.files}


@dataclass(frozen=True)
class Verified:
    """An artifact whose signature was verified with a public key."""

    artifact: Artifact
    public_key: Path

    @property
    def files(self) -> list[str]:
        """Names of the verified files, without the manifest."""
        manifest = self.artifact.manifest
        return [file.name for file in manifest.files or (manifest.model,)]

    def to_json(self) -> dict[str, Any]:
        return {
            "artifact": str(self.artifact.path),
            "verified_with": str(self.public_key),
            "status": self.artifact.manifest.status,
            "files": self.files,
        }


def sign_artifact(path: Path, private_key: Path, password: str | None) -> Signed:
    """Load an artifact and sign all of its files, even if its status is `fail`.

    Args:
        password: the password of the key file; None if the key is not encrypted.

    Raises:
        BadInput: the artifact is invalid, or the key cannot be used.
        MissingTool: model-signing is not installed.
    """
    artifact = load_artifact(path)
    warnings = list(artifact.notes)
    if artifact.manifest.status == "fail":
        warnings.append(f"{path} failed a check at its export (status: fail); it is signed with this status")
    return Signed(sign(artifact, private_key, password), artifact.manifest, tuple(warnings))
