"""The artifact folder: model file, tokenizer, manifest, reports, and how to call it."""

from nf_edge.artifact.folder import (
    GUIDE,
    MANIFEST,
    REPORT,
    Artifact,
    load_artifact,
    reference_of,
    staged_artifact,
    write_papers,
)
from nf_edge.artifact.manifest import Calibrated, Interface, Manifest, ModelFile, Origin, Requirements

__all__ = [
    "GUIDE",
    "MANIFEST",
    "REPORT",
    "Artifact",
    "Calibrated",
    "Interface",
    "Manifest",
    "ModelFile",
    "Origin",
    "Requirements",
    "load_artifact",
    "reference_of",
    "staged_artifact",
    "write_papers",
]
