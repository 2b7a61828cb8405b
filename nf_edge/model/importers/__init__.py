"""Checkpoints of other code bases, turned into ours."""

from nf_edge.model.importers.imported import Imported, import_checkpoint

__all__ = ["Imported", "import_checkpoint"]
