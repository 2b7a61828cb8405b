"""Find the checkpoint that an artifact is compared with, and check that the artifact was made from it."""

from nf_edge.artifact.folder import Artifact
from nf_edge.core.errors import EXPORT_AGAIN, BadInput
from nf_edge.core.identity import UNKNOWN
from nf_edge.core.reading import sha256
from nf_edge.core.resources import names
from nf_edge.model import Checkpoint, resolve_checkpoint
from nf_edge.model.tokenizer import copied_tokenizer


def reference_of(artifact: Artifact, reference: str | Checkpoint | None) -> Checkpoint:
    """Load the checkpoint that an artifact is compared with, and check that the artifact was made from it.

    Args:
        reference: a checkpoint, its folder, or the name of a bundled one: the exported checkpoint, or its
            original before `compress`.  None: the bundled checkpoint that the manifest names.

    Raises:
        BadInput: there is no such checkpoint, the artifact was not made from it, or the artifact has another
            tokenizer.
    """
    origin = artifact.manifest.checkpoint
    if reference is None and origin.name not in names("checkpoints", suffix=""):
        raise BadInput(
            f"was exported from checkpoint {origin.name!r}, which is not bundled with nf-edge",
            where=artifact.path,
            fix="give the checkpoint's folder with --reference",
        )
    named = origin.name if reference is None else reference
    checkpoint = named if isinstance(named, Checkpoint) else resolve_checkpoint(named)
    compression = artifact.manifest.compression
    known = [artifact.manifest.made_of, *([compression.made_of] if compression else [])]
    differing = [checkpoint.differs_from(identity) for identity in known]
    if all(differing):
        nearest = min(differing, key=len)
        raise BadInput(
            f"is not the checkpoint that {artifact.path} was exported from ({' and '.join(nearest)} "
            f"{'differs' if len(nearest) == 1 else 'differ'})",
            where=checkpoint.path,
            fix="give the checkpoint of the export with --reference, or export the artifact again",
        )
    _require_its_tokenizer(artifact, checkpoint)
    return checkpoint


def _require_its_tokenizer(artifact: Artifact, checkpoint: Checkpoint) -> None:
    """Check that an artifact has the tokenizer of the exported checkpoint, or none if that has none.

    An application encodes texts with this file.  The rows of a check are encoded by the checkpoint's
    tokenizer, so a check alone does not show that the files differ.

    Args:
        checkpoint: the exported checkpoint, or its original before `compress`.
    """
    manifest, exported = artifact.manifest, artifact.manifest.checkpoint.tokenizer_sha256
    if manifest.files is None:
        return
    if manifest.interface.tokenizer is None:
        if exported in (None, UNKNOWN):
            return
        raise BadInput("has no tokenizer, but its checkpoint has one", where=artifact.path, fix=EXPORT_AGAIN)
    file = artifact.path / manifest.interface.tokenizer
    same = sha256(file) == exported
    if not same and exported in (UNKNOWN, checkpoint.identity.tokenizer_sha256):
        # An export switches padding and truncation off in its copy.
        source = checkpoint.tokenizer_file
        same = source is not None and file.read_bytes() == copied_tokenizer(source)
    if not same:
        raise BadInput(
            "is not the tokenizer of the checkpoint that the artifact was exported from",
            where=file,
            fix=EXPORT_AGAIN,
        )
