"""The HTP form of a NoiseFormer: the same numbers in operators that the HTP has, of 16 bits each.

LayerNorm, Softmax and Gelu are operators there, so that the network stays as it is written, but for what
calibrated ranges would harm:

  - the affine parts of the layers' norms are folded into the linear layers that follow, for the HTP keeps a
    norm's weights in 8 bits, and ones are exact in those; that of the last norm is a product and a sum;
  - 1/√d is folded into K;
  - no mask is below −30, which would take all levels from the scores beside it;
  - rows of int8 tables are looked up as they are kept, and scaled afterwards.
"""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nf_edge.attention.forms import MatmulForm
from nf_edge.backends.base import Inputs
from nf_edge.backends.folding import fold_norms
from nf_edge.model import NoiseFormer

# Added to a hidden score: exp() of it is 1e-13, and the scores beside it keep most of the levels.
HIDDEN = -30.0


def specialise(model: NoiseFormer) -> None:
    """Fold what can be folded, in place and exactly."""
    model.transformer.form = MatmulForm(HIDDEN)
    for block in model.transformer.blocks:
        block.attn.fold_scale()
        fold_norms(block)


class HtpProgram(nn.Module):
    """(input_ids, attention_mask) int64 [1, T] → logits, of a specialised network.

    Args:
        seen: rows whose ranges are fixed when it is lowered.
    """

    def __init__(self, model: NoiseFormer, seen: Inputs = ()) -> None:
        super().__init__()
        self.model, self.seen = model, seen

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        logits: Tensor = self.model(input_ids, attention_mask)
        return logits


class Product(nn.Module):
    """A linear layer by its matrix [in, out], which keeps its name in what is exported."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.matrix = nn.Parameter(linear.weight.detach().T.contiguous(), requires_grad=False)
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        product = x @ self.matrix
        return product if self.bias is None else product + self.bias


class ScaledRows(nn.Module):
    """A table of int8 codes [V, D] as float32, and a scale [V, 1] a row."""

    def __init__(self, codes: Tensor, scales: Tensor) -> None:
        super().__init__()
        self.codes = nn.Parameter(codes.float(), requires_grad=False)
        self.scales = nn.Parameter(scales.float(), requires_grad=False)

    def forward(self, ids: Tensor) -> Tensor:
        return F.embedding(ids, self.codes) * F.embedding(ids, self.scales)


class Positions(nn.Module):
    """The first rows of a position table, which all texts of one length have."""

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        self.rows = nn.Parameter(rows.detach().clone(), requires_grad=False)

    def forward(self, positions: Tensor) -> Tensor:
        return self.rows


class LastNorm(nn.Module):
    """A LayerNorm whose affine part stands by itself."""

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.norm, self.eps = norm, norm.eps

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.norm.normalized_shape, eps=self.eps) * self.norm.weight + self.norm.bias


def exportable(model: NoiseFormer, length: int) -> NoiseFormer:
    """A copy of a specialised network, its tables quantized or not, that becomes operators of the HTP on rows
    of so many tokens."""
    model = copy.deepcopy(model)
    transformer = model.transformer
    with torch.no_grad():
        transformer.add_module("wpe", Positions(transformer.wpe(torch.arange(length))))
    if not isinstance(transformer.wte, nn.Embedding):
        transformer.add_module("wte", ScaledRows(transformer.wte.table, transformer.wte.scales))
    transformer.add_module("ln_f", LastNorm(transformer.ln_f))
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear):
            parent, _, own = name.rpartition(".")
            model.get_submodule(parent).add_module(own, Product(module))
    return model


def matrix(name: str) -> str:
    """What an exported model calls the matrix of a linear layer."""
    return f"{name}.matrix"
