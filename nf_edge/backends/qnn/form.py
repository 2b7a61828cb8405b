"""The HTP form of a NoiseFormer: the same numbers in operators that the HTP has, of 16 bits each.

LayerNorm, Softmax and Gelu are operators there, so that the network stays as it is written, but for what
calibrated ranges would harm:

  - the affine parts of the layers' norms are folded into the linear layers that follow, for the HTP keeps a
    norm's weights in 8 bits, and ones are exact in those; that of the last norm is a product and a sum;
  - 1/√d is folded into K;
  - no mask is below −30, which would take all levels from the other scores;
  - rows of int8 tables are looked up as they are kept, and scaled afterwards.
"""

import copy
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nf_edge.backends.input_shape import Inputs
from nf_edge.backends.static_shape.fold_norms import fold_norms
from nf_edge.backends.static_shape.pooling import last_of
from nf_edge.model import NoiseFormer
from nf_edge.model.attention_forms import HIDDEN_QUANTIZED, MatmulForm
from nf_edge.model.network import SequenceClassifier, masks


class HtpForm(MatmulForm):
    # Queries that are picked stand between two transpositions; ONNX Runtime, which removes those for every
    # provider, would part operators from their ranges.
    takes_fewer_queries = False

    def __init__(self) -> None:
        super().__init__(HIDDEN_QUANTIZED)


def specialise(model: NoiseFormer) -> None:
    """Fold what can be folded, in place and exactly."""
    model.transformer.form = HtpForm()
    for block in model.transformer.blocks:
        block.attn.fold_scale()
        fold_norms(block)


class HtpProgram(nn.Module):
    """(input_ids, attention_mask) int64 [1, T] → logits, of a specialised network.

    Args:
        calibration_inputs: rows whose ranges are fixed when it is lowered.
    """

    def __init__(self, model: NoiseFormer, calibration_inputs: Inputs = ()) -> None:
        super().__init__()
        self.model, self.calibration_inputs = model, calibration_inputs

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return cast(Tensor, self.model(input_ids, attention_mask))


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


class Whole(nn.Module):
    """(input_ids, attention_mask) int64 [1, T] → logits, of a network that was changed for being exported."""

    def __init__(self, model: NoiseFormer) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        model = self.model
        how = None if model.config.is_language_model else model.config.pooled_token
        if how is None or how == "first":
            return cast(Tensor, model(input_ids, attention_mask))
        # A product picks or averages: the HTP has no lookup by what it computes, and a sum over a long row
        # would leave the range of those over shorter ones.
        positions = torch.arange(input_ids.shape[1])
        visible, pooled = masks(model.config, input_ids, attention_mask, positions)
        if how == "mean":
            shares = pooled.float()
            shares = shares / shares.sum(dim=1, keepdim=True)
        else:
            shares = last_of(pooled)
        h = model.transformer(input_ids, visible)
        return cast(Tensor, cast(SequenceClassifier, model).score((shares[:, None] @ h)[:, 0]))


def exportable(model: NoiseFormer, length: int | None) -> NoiseFormer:
    """A copy of a specialised network, its tables quantized or not, that becomes operators of the HTP.

    Args:
        length: of the rows, which begin at the first position; None where their positions are given.
    """
    model = copy.deepcopy(model)
    transformer = model.transformer
    with torch.no_grad():
        rows = transformer.wpe(torch.arange(model.config.n_positions))
        table = nn.Embedding.from_pretrained(rows) if length is None else Positions(rows[:length])
        transformer.add_module("wpe", table)
    if not isinstance(transformer.wte, nn.Embedding):
        transformer.add_module("wte", ScaledRows(transformer.wte.table, transformer.wte.scales))
    transformer.add_module("ln_f", LastNorm(transformer.ln_f))
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear):
            parent, _, attribute = name.rpartition(".")
            model.get_submodule(parent).add_module(attribute, Product(module))
    return model.eval()


def matrix(name: str) -> str:
    """What an exported model calls the matrix of a linear layer."""
    return f"model.{name}.matrix"
