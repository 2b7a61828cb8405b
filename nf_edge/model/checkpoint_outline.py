"""A checkpoint folder without its weights: its files' names and its config.  It imports no PyTorch."""

from dataclasses import dataclass
from pathlib import Path

from nf_edge.core.identity import UNKNOWN, Identity
from nf_edge.core.resources import resolve
from nf_edge.model.config import ModelConfig
from nf_edge.model.config_file import parse_config, read_config

CONFIG, WEIGHTS = "config.json", "model.safetensors"
TOKENIZER, EXAMPLES, CARD = "tokenizer.json", "examples.jsonl", "MODEL_CARD.md"
# The record of how the checkpoint was made from a larger one.
PROVENANCE = "compression.json"


@dataclass(frozen=True)
class CheckpointOutline:
    """A checkpoint folder and its validated config; the weights are not read, and may be missing.

    Attributes:
        warnings: remarks about the config, for the user.
    """

    path: Path
    config: ModelConfig
    warnings: tuple[str, ...] = ()

    def differs_from(self, other: Identity) -> list[str]:
        """Names of the files that differ between this outline and `other`: `config.json`, or none.

        A config that `other` does not know counts as equal.
        """
        same = other.config == UNKNOWN or self.config == parse_config(other.config, CONFIG)
        return [] if same else [CONFIG]


def resolve_outline(name: str) -> CheckpointOutline:
    """Read the config of a bundled checkpoint by its name, or of a folder by its path.

    Raises:
        BadInput: neither exists, or the config is invalid.
    """
    path = resolve("checkpoints", name, suffix="")
    config, warnings = read_config(path / CONFIG)
    return CheckpointOutline(path, config, tuple(warnings))
