"""Adapters of peft beside a model's weights: other answers than those of the weights alone."""

from pathlib import Path

from nf_edge.core.errors import BadInput
from nf_edge.core.reading import is_there

CONFIG = "adapter_config.json"
FILES = (CONFIG, "adapter_model.safetensors", "adapter_model.bin")


def refuse_adapter(folder: Path) -> None:
    """Raises BadInput where a folder is or has an adapter, which transformers adds to the weights."""
    found = [name for name in FILES if is_there(folder / name)]
    if found:
        raise BadInput(
            f"has an adapter ({', '.join(found)}), which transformers adds to the weights; an import takes "
            "weights that it is merged into",
            where=folder,
            fix="move the adapter's files into a folder ADAPTER of their own; then import the WEIGHTS as "
            "they are, or, where peft is installed, what this saves:\n"
            "    # of a classifier, AutoModelForSequenceClassification\n"
            '    model = transformers.AutoModelForCausalLM.from_pretrained("WEIGHTS")\n'
            '    model = peft.PeftModel.from_pretrained(model, "ADAPTER").merge_and_unload()\n'
            '    model.save_pretrained("merged")',
        )


def adapter_notes(folder: Path) -> list[str]:
    """What a user should know of adapters in folders below, which transformers loads by their names only."""
    below = sorted(path.parent.relative_to(folder) for path in folder.glob("*/**/" + CONFIG))
    return [f"the adapter in {place} is not part of what is imported" for place in below]
