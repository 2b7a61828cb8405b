"""The random noise ε·σ that training adds to every score, one learned σ = exp(log_sigma) a head.

The network adds it (`nf_edge.model.network.Attention`) where `noise.log_sigma` is there and the model
is in training mode; inference knows nothing of it.
"""

import math

import torch
from torch import Tensor, nn

from nf_edge.model.noise import Noise

INITIAL_LOG_SIGMA = -2.0
PRIOR_SIGMA = 0.1


def add_random_noise(model: nn.Module) -> None:
    """Give every attention layer a trainable log_sigma [H], at its starting value."""
    for noise in _noises(model):
        noise.log_sigma = nn.Parameter(torch.full((noise.heads,), INITIAL_LOG_SIGMA))


def noise_prior(model: nn.Module) -> Tensor:
    """Mean over all heads of KL(N(0, σ²) ‖ N(0, σ₀²)) = ln(σ₀/σ) + σ²/(2σ₀²) − ½, σ₀ = 0.1; a scalar.

    The task alone has no use for random scores and would let σ decay to nothing.
    """
    spreads = [noise.log_sigma for noise in _noises(model)]
    log_sigma = torch.cat([spread for spread in spreads if isinstance(spread, nn.Parameter)])
    log_ratio = log_sigma - math.log(PRIOR_SIGMA)
    return (((2 * log_ratio).exp() - 1) / 2 - log_ratio).mean()


def _noises(model: nn.Module) -> list[Noise]:
    return [module for module in model.modules() if isinstance(module, Noise)]
