"""Adapters of peft, which change what a model answers: their files, and their names of tensors."""

from pathlib import Path

from nf_edge.core.errors import BadInput
from nf_edge.core.reading import is_there

CONFIG = "adapter_config.json"
FILES = (CONFIG, "adapter_model.safetensors", "adapter_model.bin")
# Parts of a tensor's name; others begin with LORA.
PARTS, LORA = {"base_layer", "modules_to_save", "original_module"}, "lora_"


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


def is_of_adapter(key: str) -> bool:
    """Whether a tensor's name says that an adapter was put into the model and not merged."""
    return any(part in PARTS or part.startswith(LORA) for part in key.split("."))


def adapter_notes(folder: Path) -> list[str]:
    """What a user should know of adapters in folders below, which transformers loads by their names only."""
    below = sorted(path.parent.relative_to(folder) for path in folder.glob("*/**/" + CONFIG))
    return [f"the adapter in {place} is not part of what is imported" for place in below]
