"""The network rewritten for the HTP: the same results, from the HTP's 16-bit operators.

LayerNorm, Softmax and Gelu are operators of the HTP, so most of the network is unchanged.  The following
parts change, because they would spoil calibrated ranges:

  - The scales and biases of the layers' norms are folded into the next linear layers.  The HTP stores a
    norm's weights in 8 bits, and 1 is exact in 8 bits.  The last norm's scale and bias are a separate product
    and sum.
  - 1/√d is folded into K.
  - No mask value is below −30, because a larger range would leave too few levels for the scores.
  - Rows of int8 tables are looked up as codes, and scaled afterwards.
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
    # Selected queries would be between two transposes.  ONNX Runtime removes such transposes for every
    # provider, and would separate operators from their quantized ranges.
    takes_fewer_queries = False

    def __init__(self) -> None:
        super().__init__(HIDDEN_QUANTIZED)


def specialise(model: NoiseFormer) -> None:
    """Rewrite a network for the HTP, in place and exactly.

    Linear layers absorb the norms' scales and biases and the factor 1/√d of attention.  Attention uses
    `HtpForm`.
    """
    model.transformer.form = HtpForm()
    for block in model.transformer.blocks:
        block.attn.fold_scale()
        fold_norms(block)


class HtpProgram(nn.Module):
    """The program of a specialised network: (input_ids, attention_mask), int64 [1, T] each → logits.

    Args:
        calibration_inputs: rows from which the lowering computes the ranges of activations.
    """

    def __init__(self, model: NoiseFormer, calibration_inputs: Inputs = ()) -> None:
        super().__init__()
        self.model, self.calibration_inputs = model, calibration_inputs

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return cast(Tensor, self.model(input_ids, attention_mask))


class Product(nn.Module):
    """A linear layer as a product with its matrix [in, out]; the exported model keeps the matrix's name."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.matrix = nn.Parameter(linear.weight.detach().T.contiguous(), requires_grad=False)
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        product = x @ self.matrix
        return product if self.bias is None else product + self.bias


class ScaledRows(nn.Module):
    """A table of int8 codes [V, D] stored as float32, with one scale per row, [V, 1]."""

    def __init__(self, codes: Tensor, scales: Tensor) -> None:
        super().__init__()
        self.codes = nn.Parameter(codes.float(), requires_grad=False)
        self.scales = nn.Parameter(scales.float(), requires_grad=False)

    def forward(self, ids: Tensor) -> Tensor:
        return F.embedding(ids, self.codes) * F.embedding(ids, self.scales)


class Positions(nn.Module):
    """The first rows of a position table, for texts of one fixed length."""

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        self.rows = nn.Parameter(rows.detach().clone(), requires_grad=False)

    def forward(self, positions: Tensor) -> Tensor:
        return self.rows


class LastNorm(nn.Module):
    """A LayerNorm whose scale and bias are a separate product and sum."""

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.norm, self.eps = norm, norm.eps

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.norm.normalized_shape, eps=self.eps) * self.norm.weight + self.norm.bias


class Whole(nn.Module):
    """The complete program of a network from `exportable`: (input_ids, attention_mask), int64 [1, T] →
    logits.
    """

    def __init__(self, model: NoiseFormer) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        model = self.model
        how = None if model.config.is_language_model else model.config.pooled_token
        if how is None or how == "first":
            return cast(Tensor, model(input_ids, attention_mask))
        # Pooling is a product.  The HTP cannot gather by a computed index.  A sum over a long row would
        # exceed the range of sums over shorter rows.
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
    """Copy a specialised network into modules that the HTP supports; its tables may be quantized.

    Args:
        length: the fixed length of the rows; None if positions are an input.
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
    """The name of a linear layer's matrix in an exported model."""
    return f"model.{name}.matrix"
