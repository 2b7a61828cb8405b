"""A NoiseFormer and its baselines: models of the same shape that differ only in their attention."""

from pathlib import Path
from typing import Any

from nf_edge.core.presets import PRESETS
from nf_edge.core.progress import Progress, silent
from nf_edge.model.checkpoint import Checkpoint, load_checkpoint
from nf_edge.model.checkpoint_writer import save_checkpoint
from nf_edge.model.config import LANGUAGE_MODEL, ModelConfig
from nf_edge.model.config_file import parse_config
from nf_edge.model.init import init_tensors

SEED = 0
CAVEAT = (
    "random weights: sizes and times are those of trained models of these shapes; accuracy is meaningless"
)


def baseline_configs(preset: str, rank: int) -> dict[str, ModelConfig]:
    """Configs of three language models of a preset's shape, by name; the NoiseFormer comes first.

    Args:
        rank: rank of the NoiseFormer's low-rank noise, from 1 to the head size.

    Raises:
        BadInput: the rank is larger than the head size.
    """
    kinds: dict[str, dict[str, Any]] = {
        "NoiseFormer": {"attention": "symmetric", "noise": {"kind": "lowrank", "rank": rank}},
        "GPT-2": {"attention": "standard"},
        "symmetric": {"attention": "symmetric"},
    }
    shape = {**PRESETS[preset], "architectures": [LANGUAGE_MODEL]}
    return {name: parse_config({**shape, **kind}, f"preset {preset}") for name, kind in kinds.items()}


def write_baselines(
    configs: dict[str, ModelConfig], folder: Path, progress: Progress = silent
) -> list[Checkpoint]:
    """Write a checkpoint with random weights for each config, into the subfolder with the config's name.

    Tensors with the same name and shape have the same values in all models.
    """
    for done, (name, config) in enumerate(configs.items()):
        progress("drawing random weights", done, len(configs))
        save_checkpoint(folder / name, config, init_tensors(config, SEED))
    progress("drawing random weights", len(configs), len(configs))
    return [load_checkpoint(folder / name) for name in configs]
