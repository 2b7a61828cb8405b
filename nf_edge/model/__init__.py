"""The NoiseFormer: its config, its network in PyTorch, and its checkpoints."""

from nf_edge.model.cache import Cache, KVCache
from nf_edge.model.checkpoint import Checkpoint, load_checkpoint, resolve_checkpoint
from nf_edge.model.checkpoint_writer import save_checkpoint
from nf_edge.model.config import ModelConfig
from nf_edge.model.decoder import Decoder, TorchDecoder
from nf_edge.model.network import CausalLM, NoiseFormer, SequenceClassifier, build

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
