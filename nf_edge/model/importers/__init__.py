"""Import checkpoints of other code bases."""

from nf_edge.model.importers.imported import Imported, import_checkpoint

__all__ = ["Imported", "import_checkpoint"]
