"""Symmetric attention: the mathematics, and the forms in which it leaves for a backend."""

from nf_edge.model.attention_forms import Asked, AttentionForm, TorchForm
from nf_edge.model.noise import Noise, build_noise

__all__ = ["Asked", "AttentionForm", "Noise", "TorchForm", "build_noise"]
