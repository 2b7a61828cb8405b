"""Rotate the keys and values of each head, so that no channel is an outlier when they are quantized.

A score is the product of two keys with the noise in between. K can become K R for any orthogonal R if the
noise is rotated too. Values can become V R if the output projection multiplies by the inverse of R. The
float32 network's outputs stay the same.

R is the Hadamard matrix if the head size is a power of two. It spreads each channel evenly over all channels
(as in QuaRot, Ashkboos et al., arXiv 2404.00456). For other head sizes R is a random orthogonal matrix with a
fixed seed.
"""

import torch
from torch import Tensor

from nf_edge.model import NoiseFormer
from nf_edge.model.attention import Attention
from nf_edge.model.noise import LowRankNoise, PairwiseNoise


def rotate(network: NoiseFormer) -> None:
    """Rotate the heads of all layers, in place; the outputs stay the same up to float32 rounding."""
    for block in network.transformer.blocks:
        _rotate_heads(block.attn, rotation(block.attn.head_size))


def rotation(size: int) -> Tensor:
    """The orthogonal matrix that rotates heads of this size, float64 [size, size]: Hadamard's, or random."""
    if size & (size - 1):
        generator = torch.Generator().manual_seed(size)
        random = torch.randn(size, size, generator=generator, dtype=torch.float64)
        return torch.linalg.qr(random).Q
    matrix = torch.ones(1, 1, dtype=torch.float64)
    while len(matrix) < size:
        matrix = torch.cat([torch.cat([matrix, matrix], dim=1), torch.cat([matrix, -matrix], dim=1)])
    return matrix / size**0.5


@torch.no_grad()
def _rotate_heads(attention: Attention, r: Tensor) -> None:
    heads, size = attention.heads, attention.head_size
    # Each head's output y of the projection (Q, K or V) becomes y R.
    projection = attention.projection
    for parameter in (projection.weight, projection.bias):
        rows = parameter.double().view(-1, size, parameter[0].numel())
        parameter.copy_((r.T @ rows).view(parameter.shape))
    columns = attention.c_proj.weight.double().view(-1, heads, size)
    attention.c_proj.weight.copy_((columns @ r).view(attention.c_proj.weight.shape))
    noise = attention.noise
    if isinstance(noise, LowRankNoise):
        noise.a.copy_(r.T @ noise.a.double())
        noise.b.copy_(r.T @ noise.b.double())
    if isinstance(noise, PairwiseNoise):
        noise.p.copy_(r.T @ noise.p.double() @ r)
