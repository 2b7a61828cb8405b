"""Detect peft adapters by their files and tensor names.  An adapter changes a model's predictions."""

from pathlib import Path

from nf_edge.core.errors import BadInput
from nf_edge.core.reading import is_there

CONFIG = "adapter_config.json"
FILES = (CONFIG, "adapter_model.safetensors", "adapter_model.bin")
# Parts of an adapter's tensor names; all other parts start with LORA.
PARTS, LORA = {"base_layer", "modules_to_save", "original_module"}, "lora_"


def refuse_adapter(folder: Path) -> None:
    """Raise BadInput if a folder is or contains an adapter, which transformers would add to the weights."""
    present = [name for name in FILES if is_there(folder / name)]
    if present:
        raise BadInput(
            f"has an adapter ({', '.join(present)}), which import cannot read",
            where=folder,
            fix="move the adapter's files into another folder, ADAPTER. Then import this folder (WEIGHTS) "
            "without the adapter, or merge the adapter with peft and import the folder `merged`:\n"
            "    # for a classifier: AutoModelForSequenceClassification\n"
            '    model = transformers.AutoModelForCausalLM.from_pretrained("WEIGHTS")\n'
            '    model = peft.PeftModel.from_pretrained(model, "ADAPTER").merge_and_unload()\n'
            '    model.save_pretrained("merged")',
        )


def is_of_adapter(key: str) -> bool:
    """Whether a tensor's name belongs to an adapter that was not merged into the weights."""
    return any(part in PARTS or part.startswith(LORA) for part in key.split("."))


def adapter_notes(folder: Path) -> list[str]:
    """One note per adapter in a subfolder; transformers loads it only on request."""
    subfolders = sorted(path.parent.relative_to(folder) for path in folder.glob("*/**/" + CONFIG))
    return [f"the adapter in {subfolder} is not imported" for subfolder in subfolders]
