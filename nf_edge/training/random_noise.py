"""The random noise ε·σ that training adds to every score, with one learned σ = exp(log_sigma) per head.

The network (`nf_edge.model.attention.Attention`) adds it in training mode if `noise.log_sigma` exists.
Inference never adds it.
"""

import math

import torch
from torch import Tensor, nn

from nf_edge.model.noise import Noise

INITIAL_LOG_SIGMA = -2.0
PRIOR_SIGMA = 0.1


def add_random_noise(model: nn.Module) -> None:
    """Give every attention layer a trainable log_sigma [H] with its initial value."""
    for noise in _noise_modules(model):
        noise.log_sigma = nn.Parameter(torch.full((noise.heads,), INITIAL_LOG_SIGMA))


def noise_prior(model: nn.Module) -> Tensor:
    """A loss term that keeps each head's σ near its prior σ₀ = 0.1; a scalar.

    It is the mean over all heads of KL(N(0, σ²) ‖ N(0, σ₀²)) = ln(σ₀/σ) + σ²/(2σ₀²) − ½.  Without it,
    training would reduce σ to zero, because random scores do not help the task.
    """
    log_sigmas = [noise.log_sigma for noise in _noise_modules(model)]
    log_sigma = torch.cat([each for each in log_sigmas if isinstance(each, nn.Parameter)])
    log_ratio = log_sigma - math.log(PRIOR_SIGMA)
    return (((2 * log_ratio).exp() - 1) / 2 - log_ratio).mean()


def _noise_modules(model: nn.Module) -> list[Noise]:
    return [module for module in model.modules() if isinstance(module, Noise)]
