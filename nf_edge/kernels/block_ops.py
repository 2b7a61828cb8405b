"""What lies between attention and the linear layers, as operators of ours: PyTorch's own functions, for the
sake of kernels that run on all threads and read their input once (`native/block_ops.h`)."""

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
    """float32 [..., D], [D], [D] → [..., D]."""
    return F.layer_norm(x, weight.shape, weight, bias, epsilon)


def gelu_new(x: Tensor) -> Tensor:
    """GPT-2's GELU, by the tanh formula, of float32."""
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
