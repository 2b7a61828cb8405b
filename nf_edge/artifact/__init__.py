"""The artifact folder: model file, tokenizer, manifest, reports, and instructions to call it."""

from nf_edge.artifact.contents import SIGNATURE, listed
from nf_edge.artifact.folder import (
    GUIDE,
    REPORT,
    Artifact,
    check_out,
    discard,
    load_artifact,
    staged_artifact,
    write_documents,
)
from nf_edge.artifact.manifest import (
    ArtifactFile,
    Calibrated,
    Interface,
    Manifest,
    Origin,
    Reproducible,
    Requirements,
)
from nf_edge.artifact.reference import reference_of
from nf_edge.core.schemas import MANIFEST

__all__ = [
    "GUIDE",
    "MANIFEST",
    "REPORT",
    "SIGNATURE",
    "Artifact",
    "ArtifactFile",
    "Calibrated",
    "Interface",
    "Manifest",
    "Origin",
    "Reproducible",
    "Requirements",
    "check_out",
    "discard",
    "listed",
    "load_artifact",
    "reference_of",
    "staged_artifact",
    "write_documents",
]
