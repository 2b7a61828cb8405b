"""Import checkpoints of other code bases: nanoGPT and Hugging Face's GPT-2."""

from nf_edge.model.importers.imported import Imported, import_checkpoint

__all__ = ["Imported", "import_checkpoint"]
