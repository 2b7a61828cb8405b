"""LayerNorm and GELU as custom operators.

In PyTorch they call PyTorch's functions; ExecuTorch runs the kernels of `native/block_ops.h`, which use all
threads and read their input once.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

library = torch.library.Library("nf", "FRAGMENT")
_NORM = "Tensor x, Tensor weight, Tensor bias, float epsilon"
library.define(f"layer_norm({_NORM}) -> Tensor")
library.define(f"layer_norm.out({_NORM}, *, Tensor(z!) out) -> Tensor(z!)")
library.define("gelu_new(Tensor x) -> Tensor")
library.define("gelu_new.out(Tensor x, *, Tensor(z!) out) -> Tensor(z!)")


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """LayerNorm over the last dimension: float32 [..., D], weight [D], bias [D] → [..., D]."""
    return F.layer_norm(x, weight.shape, weight, bias, epsilon)


def gelu_new(x: Tensor) -> Tensor:
    """GPT-2's GELU (tanh formula): float32 [...] → [...]."""
    return F.gelu(x, approximate="tanh")


def _norm_out(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float, *, out: Tensor) -> Tensor:
    return out.copy_(layer_norm(x, weight, bias, epsilon))


def _gelu_out(x: Tensor, *, out: Tensor) -> Tensor:
    return out.copy_(gelu_new(x))


library.impl("layer_norm", layer_norm, "CPU")
library.impl("layer_norm.out", _norm_out, "CPU")
library.impl("gelu_new", gelu_new, "CPU")
library.impl("gelu_new.out", _gelu_out, "CPU")
for _name in ("nf::layer_norm", "nf::gelu_new"):
    torch.library.register_fake(_name, lambda x, *_: torch.empty_like(x), lib=library)
