"""The NoiseFormer: its config, its network in PyTorch, and its checkpoints.

Each module is imported when a name in it is used: memory predictions need only `ModelConfig`, not PyTorch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nf_edge.model.cache import Cache, KVCache
    from nf_edge.model.checkpoint import Checkpoint, load_checkpoint, resolve_checkpoint
    from nf_edge.model.checkpoint_writer import save_checkpoint
    from nf_edge.model.config import ModelConfig
    from nf_edge.model.decoder import Decoder, TorchDecoder
    from nf_edge.model.network import CausalLM, NoiseFormer, SequenceClassifier, build

MODULES = {
    "cache": ("Cache", "KVCache"),
    "checkpoint": ("Checkpoint", "load_checkpoint", "resolve_checkpoint"),
    "checkpoint_writer": ("save_checkpoint",),
    "config": ("ModelConfig",),
    "decoder": ("Decoder", "TorchDecoder"),
    "network": ("CausalLM", "NoiseFormer", "SequenceClassifier", "build"),
}

__all__ = [
    "Cache",
    "CausalLM",
    "Checkpoint",
    "Decoder",
    "KVCache",
    "ModelConfig",
    "NoiseFormer",
    "SequenceClassifier",
    "TorchDecoder",
    "build",
    "load_checkpoint",
    "resolve_checkpoint",
    "save_checkpoint",
]


def __getattr__(name: str) -> Any:
    for module, names in MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
