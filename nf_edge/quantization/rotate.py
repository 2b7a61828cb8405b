"""Keys and values of a head rotated before they are quantized, exactly, so that no channel sticks out.

Scores are products of two keys, with the noise between them, so K may become K R for any orthogonal R if the
noise is rotated along; values may become V R if the layer after them undoes it.  R is the Hadamard matrix
where the head size is a power of two, which spreads one channel evenly over all (as in QuaRot, Ashkboos et
al., arXiv 2404.00456), else an orthogonal one drawn with a fixed seed.
"""

import torch
from torch import Tensor

from nf_edge.model import NoiseFormer
from nf_edge.model.network import Attention
from nf_edge.model.noise import LowRankNoise, PairwiseNoise


def rotate(network: NoiseFormer) -> None:
    """Rotate the heads of all layers, in place; what the network answers stays, but for rounding."""
    for block in network.transformer.blocks:
        _rotate(block.attn, rotation(block.attn.head_size))


def rotation(size: int) -> Tensor:
    """An orthogonal matrix, float64 [d, d]."""
    if size & (size - 1):
        generator = torch.Generator().manual_seed(size)
        drawn = torch.randn(size, size, generator=generator, dtype=torch.float64)
        return torch.linalg.qr(drawn).Q
    matrix = torch.ones(1, 1, dtype=torch.float64)
    while len(matrix) < size:
        matrix = torch.cat([torch.cat([matrix, matrix], dim=1), torch.cat([matrix, -matrix], dim=1)])
    return matrix / size**0.5


@torch.no_grad()
def _rotate(attention: Attention, turn: Tensor) -> None:
    heads, size = attention.heads, attention.head_size
    # Q, K and V, or K and V, have the same to do: every head of d outputs y becomes y R.
    projection = attention.c_kv if attention.symmetric else attention.c_attn
    for parameter in (projection.weight, projection.bias):
        rows = parameter.double().view(-1, size, parameter[0].numel())
        parameter.copy_((turn.T @ rows).view(parameter.shape))
    columns = attention.c_proj.weight.double().view(-1, heads, size)
    attention.c_proj.weight.copy_((columns @ turn).view(attention.c_proj.weight.shape))
    noise = attention.noise
    if isinstance(noise, LowRankNoise):
        noise.a.copy_(turn.T @ noise.a.double())
        noise.b.copy_(turn.T @ noise.b.double())
    if isinstance(noise, PairwiseNoise):
        noise.p.copy_(turn.T @ noise.p.double() @ turn)
