"""Sign and verify all files of an artifact with OpenSSF's model-signing and key files.

Hashes in the manifest show that the files belong together.  Only a signature shows who made them.
"""

import contextlib
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from nf_edge.artifact.contents import SIGNATURE, opened
from nf_edge.artifact.folder import EARLIER, Artifact, load_artifact
from nf_edge.core.environment import KEY_PASSWORD, PUBLIC_KEY
from nf_edge.core.errors import EXPORT_AGAIN, BadInput, MissingTool
from nf_edge.core.files import write_bytes
from nf_edge.core.schemas import MANIFEST
from nf_edge.core.staging import scratch_folder

HOW_TO_NAME_KEY = f"give the signer's public key with --public-key or {PUBLIC_KEY}"
GET_SIGNED = "get a signed artifact, or sign this one: nf-edge sign"
CHANGED = re.compile(r"Hash mismatch for \\*'(.*?)\\*'")
CURVES = "of curve P-256, P-384 or P-521 in PEM format"


def load_trusted(path: Path, public_key: Path | None, *, required: bool) -> Artifact:
    """Read an artifact and verify its files.  If it has a signature and a key is given, verify the signature
    too.

    Args:
        public_key: the key of the trusted signer; None: the signature is not verified.
        required: whether an artifact without a verified signature is an error.

    Raises:
        BadInput: the artifact is invalid, the key does not verify its signature, or `required` is true and
            no signature was verified.
        MissingTool: model-signing is not installed.
    """
    artifact = load_artifact(path)
    if artifact.is_signed and public_key is not None:
        return verify(artifact, public_key)
    if artifact.is_signed and required:
        raise BadInput(
            "is signed, but there is no public key to verify the signature", where=path, fix=HOW_TO_NAME_KEY
        )
    if required:
        raise BadInput("is not signed, but a signature is required", where=path, fix=GET_SIGNED)
    if artifact.is_signed:
        note = f"{path} is signed, but the signature is not verified; {HOW_TO_NAME_KEY}"
    elif public_key is not None:
        note = (
            f"{path} is not signed, so {public_key} is not used; give --require-signature to refuse unsigned "
            "artifacts"
        )
    else:
        return artifact
    return replace(artifact, notes=(*artifact.notes, note))


def sign(artifact: Artifact, private_key: Path, password: str | None = None) -> Path:
    """Sign all files of an artifact with a key file; an earlier signature is replaced.

    Args:
        password: the password of the key; None if the key is not encrypted.

    Returns:
        The path of the signature.

    Raises:
        BadInput: the artifact cannot be signed, or the file has no private key.
        MissingTool: model-signing is not installed.
    """
    if artifact.manifest.files is None:
        earlier = EARLIER.format(model=artifact.manifest.model.name)
        raise BadInput(f"cannot be signed, because it {earlier}", where=artifact.path, fix=EXPORT_AGAIN)
    hashing = _folder_hashing()
    from model_signing import signing

    with _key_errors(private_key, "private"):
        secret = None if password is None else password.encode()
        config = signing.Config().use_elliptic_key_signer(private_key=private_key, password=secret)
    with scratch_folder() as scratch:
        signed = scratch / SIGNATURE
        try:
            config.set_hashing_config(hashing).sign(artifact.path, signed)
        except ValueError as error:  # raised for an unlisted link or pipe
            fix = "remove links and special files from the folder"
            raise BadInput(f"cannot be signed ({error})", where=artifact.path, fix=fix) from error
        _require_unchanged(artifact, hashing.hashed)
        write_bytes(artifact.path / SIGNATURE, signed.read_bytes())
    return artifact.path / SIGNATURE


def verify(artifact: Artifact, public_key: Path) -> Artifact:
    """Verify the signature of an artifact, and that the loaded files are the signed ones.

    Returns:
        The artifact, with `verified_with` set.

    Raises:
        BadInput: there is no signature, it is damaged, it was made with another key, or a file was added,
            removed or changed afterwards.  The message names the file.
        MissingTool: model-signing is not installed.
    """
    file = artifact.path / SIGNATURE
    if not artifact.is_signed:
        raise BadInput("is not signed", where=artifact.path, fix=GET_SIGNED)
    with opened(file):
        pass  # raises an error for a link or a pipe
    hashing = _folder_hashing()
    from cryptography.exceptions import InvalidSignature
    from model_signing import verifying

    with _key_errors(public_key, "public"):
        config = verifying.Config().use_elliptic_key_verifier(public_key=public_key)
    try:
        # The library prints remarks to stdout.
        with contextlib.redirect_stdout(io.StringIO()):
            config.set_hashing_config(hashing).verify(artifact.path, file)
    except InvalidSignature as error:
        raise _refused(
            file, f"was not made with the private key of {public_key}, or was changed later"
        ) from error
    except Exception as error:
        message = str(error)
        if "Key mismatch" in message:
            raise _refused(file, f"was made with another key, not the private key of {public_key}") from error
        if message.startswith(("Signature mismatch: ", "Cannot use")):
            # Compare names only, without digests.
            names = dict.fromkeys(CHANGED.findall(message))
            what = message.removeprefix("Signature mismatch: ").strip("[]")
            if names:
                what = f"changed since it was signed: {', '.join(names)}"
            raise _refused(file, f"does not match the folder ({what})") from error
        raise _refused(file, f"is damaged ({message or type(error).__name__})") from error
    _require_unchanged(artifact, hashing.hashed)
    return replace(artifact, verified_with=public_key)


def _refused(file: Path, what: str) -> BadInput:
    return BadInput(what, where=file, fix="get the artifact again from its signer")


def _folder_hashing() -> Any:
    """A model-signing configuration that hashes all files of a folder except the signature and git's files.

    It ignores exclusions in a signature, so a signature that omits a file does not verify.  Its attribute
    `hashed` has the names and hashes of the files that it hashed last.

    Raises:
        MissingTool: model-signing is not installed.
    """
    try:
        from model_signing import hashing
    except ImportError as error:
        raise MissingTool(
            f"signatures need model-signing, which is not fully installed ({error})",
            fix="pip install 'nf-edge[sign]'",
        ) from error

    class Complete(hashing.Config):
        hashed: Any = None

        def add_ignored_paths(self, **ignored: Any) -> None:
            return

        def hash(self, *arguments: Any, **options: Any) -> Any:
            self.hashed = super().hash(*arguments, **options)
            return self.hashed

    return Complete().use_file_serialization().set_ignored_paths(paths=[SIGNATURE])


@contextlib.contextmanager
def _key_errors(key: Path, kind: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BadInput(f"cannot be read ({error.strerror})", where=key) from error
    except Exception as error:
        if "Password was not given" in str(error):
            fix = f"set the environment variable {KEY_PASSWORD} to its password"
            raise BadInput("is an encrypted key and needs a password", where=key, fix=fix) from error
        other = f", or {KEY_PASSWORD} is not its password" if kind == "private" else ""
        fix = "`nf-edge sign --help` shows the commands that make a key pair"
        raise BadInput(f"is not a {kind} key {CURVES}{other}", where=key, fix=fix) from error


def _require_unchanged(artifact: Artifact, manifest: Any) -> None:
    """Raise BadInput if the artifact changed between its loading and the hashing for the signature."""
    hashed = {each.identifier: each.digest.digest_hex for each in manifest.resource_descriptors()}
    loaded = {file.name: file.sha256 for file in artifact.manifest.files or (artifact.manifest.model,)}
    loaded[MANIFEST] = artifact.manifest_sha256
    if changed := sorted(name for name, digest in loaded.items() if hashed.get(name) != digest):
        what = f"changed while nf-edge read it: {', '.join(changed)}"
        raise BadInput(what, where=artifact.path, fix="run the command again")
