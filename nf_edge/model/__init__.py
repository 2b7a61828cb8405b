"""The NoiseFormer: its config, its network in PyTorch, and its checkpoints."""

from nf_edge.model.cache import KVCache
from nf_edge.model.checkpoint import Checkpoint, load_checkpoint, resolve_checkpoint, save_checkpoint
from nf_edge.model.config import ModelConfig
from nf_edge.model.network import CausalLM, LastLogitsLM, NoiseFormer, SequenceClassifier, build

__all__ = [
    "CausalLM",
    "Checkpoint",
    "KVCache",
    "LastLogitsLM",
    "ModelConfig",
    "NoiseFormer",
    "SequenceClassifier",
    "build",
    "load_checkpoint",
    "resolve_checkpoint",
    "save_checkpoint",
]
