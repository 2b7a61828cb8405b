"""Random initial weights: GPT-2's initialisation, and suitable values for the learned noise."""

import math
import os
import zlib

import numpy as np
import torch
from torch import Tensor

from nf_edge.core.errors import BadInput
from nf_edge.model.config import ModelConfig

WEIGHT_STD = 0.02
# Initial size of the noise, relative to the keys or scores. It is not zero: with A and B both zero, neither
# has a gradient, and tests of an exported model could not detect missing noise.
NOISE_SHARE = 0.1


def init_tensors(config: ModelConfig, seed: int) -> dict[str, Tensor]:
    """Random float32 tensors for every name and shape of `config.tensor_shapes()`.

    Weights and embeddings are N(0, 0.02²).  The two projections into the residual stream are
    N(0, 0.02² / (2·n_layer)) (Radford et al., 2019).  Biases are 0 and LayerNorms the identity.  Initial
    low-rank or pairwise noise changes the query by about a tenth of K's size.  Relative noise is N(0, 0.1²).
    `noise.log_sigma` is not included; training with random noise adds it.

    Args:
        seed: at least 0.  Each tensor has its own random stream, given by the seed and its name.  So two
            models with the same seed share all tensors of equal name and shape.

    Raises:
        BadInput: the tensors need more memory than this machine has.
    """
    size = sum(4 * math.prod(shape) for shape in config.tensor_shapes().values())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if size > memory:
        raise BadInput(
            f"the weights need {size / 1e9:,.0f} GB, but this machine has {memory / 1e9:,.0f} GB of memory",
            where=f"n_layer {config.n_layer}, n_embd {config.n_embd}, vocab_size {config.vocab_size}",
            fix="choose a smaller shape",
        )
    return {name: _draw(name, shape, config, seed) for name, shape in config.tensor_shapes().items()}


def _draw(name: str, shape: tuple[int, ...], config: ModelConfig, seed: int) -> Tensor:
    std = _std(name, config)
    if std == 0:
        return torch.ones(shape) if name.endswith(".weight") else torch.zeros(shape)
    # NumPy gives the same numbers on every CPU; PyTorch's normal_ depends on the vector instructions.
    stream = np.random.default_rng([seed, zlib.crc32(name.encode())])
    return torch.from_numpy(stream.standard_normal(shape, dtype=np.float32)).mul_(std)


def _std(name: str, config: ModelConfig) -> float:
    """Standard deviation of a tensor's initial values; 0 for biases and LayerNorms."""
    *_, layer, kind = name.split(".")
    if layer == "noise":
        # A channel of K P sums d channels of K, so entries of share/√d in P give share·K. An entry of A Bᵀ
        # sums `rank` products and must have the same size.
        entry = NOISE_SHARE / config.head_size**0.5
        factor = (entry / (config.noise.rank or 1) ** 0.5) ** 0.5
        return {"a": factor, "b": factor, "p": entry, "bias": NOISE_SHARE}[kind]
    if kind == "bias" or layer.startswith("ln_"):
        return 0.0
    return WEIGHT_STD / (2 * config.n_layer) ** 0.5 if layer == "c_proj" else WEIGHT_STD
