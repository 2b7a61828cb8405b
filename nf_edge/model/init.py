"""Random weights to start from: GPT-2's initialisation, and the noise's own."""

import math
import os
import zlib

import numpy as np
import torch
from torch import Tensor

from nf_edge.core.errors import BadInput
from nf_edge.model.config import ModelConfig

WEIGHT_STD = 0.02
# Size of the noise at the start, as a share of what it is added to.  Not zero: with A and B both at
# zero neither has a gradient, and a test of the exported model could not tell whether noise is there.
NOISE_SHARE = 0.1


def init_tensors(config: ModelConfig, seed: int) -> dict[str, Tensor]:
    """Every tensor of `config.tensor_shapes()`, float32, to train from or to export as it is.

    Weights and embeddings are N(0, 0.02²), the two projections that end in the residual stream
    N(0, 0.02² / 2·n_layer) (Radford et al., 2019), biases 0, LayerNorms the identity.  Low-rank and
    pairwise noise start where the query's correction is about a tenth of K, relative noise at
    N(0, 0.1²).  `noise.log_sigma` is not among them: whoever trains with random noise adds it.

    Args:
        seed: not negative.  Each tensor draws from a stream of its own, of the seed and its name, so
            two models of one seed share every tensor that has the same name and shape in both.

    Raises:
        BadInput: the tensors have more bytes than this machine has memory.
    """
    size = sum(4 * math.prod(shape) for shape in config.tensor_shapes().values())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if size > memory:
        raise BadInput(
            f"its weights take {size / 1e9:,.0f} GB, more than this machine has ({memory / 1e9:,.0f} GB)",
            where=f"n_layer {config.n_layer}, n_embd {config.n_embd}, vocab_size {config.vocab_size}",
        )
    return {name: _draw(name, shape, config, seed) for name, shape in config.tensor_shapes().items()}


def _draw(name: str, shape: tuple[int, ...], config: ModelConfig, seed: int) -> Tensor:
    std = _std(name, config)
    if std == 0:
        return torch.ones(shape) if name.endswith(".weight") else torch.zeros(shape)
    # NumPy's streams are the same on every kind of CPU; PyTorch's normal_ depends on its vector units.
    stream = np.random.default_rng([seed, zlib.crc32(name.encode())])
    return torch.from_numpy(stream.standard_normal(shape, dtype=np.float32)).mul_(std)


def _std(name: str, config: ModelConfig) -> float:
    """Standard deviation of a tensor's values; 0 for biases and LayerNorms."""
    *_, layer, kind = name.split(".")
    if layer == "noise":
        # A channel of K P is a sum over the d channels of K, so P of share/√d makes it share·K.  An
        # entry of A Bᵀ is a sum over the rank of products of two, and has to come out as large.
        entry = NOISE_SHARE / config.head_size**0.5
        factor = (entry / (config.noise.rank or 1) ** 0.5) ** 0.5
        return {"a": factor, "b": factor, "p": entry, "bias": NOISE_SHARE}[kind]
    if kind == "bias" or layer.startswith("ln_"):
        return 0.0
    return WEIGHT_STD / (2 * config.n_layer) ** 0.5 if layer == "c_proj" else WEIGHT_STD
