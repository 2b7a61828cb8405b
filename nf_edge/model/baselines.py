"""A NoiseFormer and what it is compared with: models of one shape that differ in their attention alone."""

from pathlib import Path
from typing import Any

from nf_edge.core.presets import PRESETS
from nf_edge.core.progress import Progress, silent
from nf_edge.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from nf_edge.model.config import LANGUAGE_MODEL, ModelConfig, parse_config
from nf_edge.model.init import init_tensors

SEED = 0
CAVEAT = (
    "random weights: sizes and times are as of trained models of these shapes; of accuracy they say nothing"
)


def baseline_configs(preset: str, rank: int) -> dict[str, ModelConfig]:
    """The three language models of a preset's shape, by name; the NoiseFormer comes first.

    Args:
        rank: of the NoiseFormer's low-rank noise, from 1 to the head size.

    Raises:
        BadInput: the rank is beyond the head size.
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
    """Checkpoints with random weights, each in a folder of its name; what two have in common is the same."""
    for done, (name, config) in enumerate(configs.items()):
        progress("drawing random weights", done, len(configs))
        save_checkpoint(folder / name, config, init_tensors(config, SEED))
    progress("drawing random weights", len(configs), len(configs))
    return [load_checkpoint(folder / name) for name in configs]
