"""Weights rounded to the values that coremltools stores.

When coremltools then compresses these weights, it changes their values only by rounding to float16.
"""

import torch
from torch import Tensor, nn

from nf_edge.core.recipe.precision import Precision
from nf_edge.model import NoiseFormer
from nf_edge.model.noise import LowRankNoise, PairwiseNoise

# coremltools does not compress weights of this many values or fewer (OpLinearQuantizerConfig,
# weight_threshold).
THRESHOLD = 2048


def is_compressed(weight: Tensor, precision: Precision) -> bool:
    """Whether coremltools compresses a weight [out, in] if `precision` is requested."""
    return weight.numel() > THRESHOLD and not (precision.group and weight.shape[1] % precision.group)


def round_weights(model: NoiseFormer, precision: Precision) -> dict[str, Tensor]:
    """Round a network's linear layers and noise in place; return the linear layers' weights by name."""
    rounded = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            if module.weight is getattr(model.transformer.wte, "weight", None):
                # A tied head gets its own copy, because the table must not change.
                module.weight = nn.Parameter(module.weight.detach().clone(), requires_grad=False)
            module.weight.data = _rounded(module.weight.data, precision)
            rounded[name] = module.weight.detach()
        elif isinstance(module, LowRankNoise):
            module.a.data = _rounded_heads(module.a.data.transpose(1, 2), precision).transpose(1, 2)
            module.b.data = _rounded_heads(module.b.data, precision)
        elif isinstance(module, PairwiseNoise):
            module.p.data = _rounded_heads(module.p.data.transpose(1, 2), precision).transpose(1, 2)
    return rounded


def _rounded_heads(weights: Tensor, precision: Precision) -> Tensor:
    """Round weights [H, out, in], which a grouped convolution uses as one weight [H·out, in]."""
    return _rounded(weights.flatten(0, 1), precision).view(weights.shape)


def _rounded(weight: Tensor, precision: Precision) -> Tensor:
    """Round a weight [out, in] to 2^bits − 1 levels, symmetric about 0, per channel or per group."""
    if not is_compressed(weight, precision):
        return weight
    assert precision.bits is not None
    groups = weight.reshape(len(weight), -1, precision.group or weight.shape[1])
    most = 2 ** (precision.bits - 1) - 1
    scales = groups.abs().amax(dim=2, keepdim=True) / most
    scales = torch.where(scales == 0, 1.0, scales)
    return ((groups / scales).round() * scales).reshape(weight.shape)
