"""AdamW for a NoiseFormer, and the schedule of its learning rate."""

import math

import torch
from torch import nn

from nf_edge.training.settings import Optimizer, Schedule

# As in GPT-3 (Brown et al., 2020, appendix B).
BETAS = (0.9, 0.95)


def adamw(model: nn.Module, settings: Optimizer) -> torch.optim.AdamW:
    """The optimizer of a model's trainable parameters.

    Weight decay applies to matrices: weights, embeddings, and the learned noise, which it pulls towards plain
    symmetric attention.  It does not apply to biases, norms and log_sigma.
    """
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.dim() >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in trainable if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=BETAS)


def learning_rate_share(step: int, steps: int, schedule: Schedule) -> float:
    """The learning rate of a step (from 0) as a share of the highest learning rate.

    Loshchilov and Hutter, 2017, eq. 5.
    """
    if step < schedule.warmup_steps:
        return (step + 1) / schedule.warmup_steps
    done = (step - schedule.warmup_steps) / (steps - schedule.warmup_steps)
    return schedule.final_share + (1 - schedule.final_share) * (1 + math.cos(math.pi * done)) / 2
