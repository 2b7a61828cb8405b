"""The network rewritten for an Ethos-U NPU: the same results, with few and cheap operators.

Products with constant weights are nearly free on the NPU.  Products of two activations, reductions along the
innermost axis, and passes over [T, T] scores are slow.  Therefore:

  - The residual stream is centred (P = I − 11ᵀ/D in the tables and in both c_proj), so LayerNorm needs no
    mean.  Its scale and bias are folded into the next linear layer (`fold`, in place and exact).
  - The mean of squares is a lookup table (x²) and a linear layer with weights 1/D.
  - Scores are transposed, [keys, queries].  Maximum and sum over keys then need a tenth of the cycles, and
    the product with V needs no transpose.
  - Causal queries are computed in blocks, without the keys after the block.
  - Softmax divides by its sum only after the product with V: it scales [d, T] values instead of [T, T].
  - Low-rank and pairwise noise are block-diagonal linear layers over all heads.
  - If only one token is pooled, the last layer has one query.

The host computes the table lookups, pooling and a classifier's scores in float32.
"""

import torch
from torch import Tensor, nn

from nf_edge.backends.ethos_u.spec import ROWS
from nf_edge.backends.static_shape.fold_norms import fold_norms
from nf_edge.backends.static_shape.form import Hints, SelectToken, StaticShapeAttention, StaticShapeProgram
from nf_edge.backends.static_shape.output_tokens import output_tokens_of
from nf_edge.model import CausalLM, NoiseFormer
from nf_edge.model.attention import Attention
from nf_edge.model.attention_forms import OutputTokens
from nf_edge.model.network import Block


def fold(model: NoiseFormer) -> None:
    """Centre the residual stream and fold the norms' scales and biases into the next layers, in place and
    exactly.

    Afterwards the layers' norms have weights of 1, biases of 0, and inputs with mean 0.  `ln_f` keeps its
    scale and bias.  A tied head gets its own copy of the table, because the table is centred.
    """
    transformer = model.transformer
    with torch.no_grad():
        if isinstance(model, CausalLM):
            model.lm_head.weight = nn.Parameter(model.lm_head.weight.detach().clone())
        for table in (transformer.wte, transformer.wpe):
            table.weight.sub_(table.weight.mean(dim=1, keepdim=True))
        for block in transformer.blocks:
            block.attn.fold_scale()
            fold_norms(block)
            for linear in (block.attn.c_proj, block.mlp.c_proj):
                linear.weight.sub_(linear.weight.mean(dim=0))
                linear.bias.sub_(linear.bias.mean())


class Norm(nn.Module):
    """LayerNorm without scale and bias, for inputs with mean 0: x / √(mean x² + ε)."""

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.eps = norm.eps
        (width,) = norm.normalized_shape
        self.mean = _linear(torch.full((1, width), 1 / width), None)

    def forward(self, x: Tensor) -> Tensor:
        # Arm's compiler makes a lookup table of the exponent 2.0, but a product of the exponent 2.
        return x * torch.rsqrt(self.mean(torch.pow(x, 2.0)) + self.eps)


class SelectTokenBySum(SelectToken):
    """A `SelectToken` that uses a product and a sum over tokens.

    Every Ethos-U computes both with 16 bits, and in fewer cycles than a matrix product.
    """

    def forward(self, x: Tensor, hints: Hints) -> Tensor:
        if self.output_tokens == "all" or hints.pick is None:
            return super().forward(x, hints)
        return (x * hints.pick.transpose(1, 2)).sum(dim=1, keepdim=True)


class NpuAttention(StaticShapeAttention):
    """Attention with transposed scores, [keys, queries].

    Args:
        output_tokens: the tokens that the layer computes outputs for.
    """

    def __init__(self, attention: Attention, length: int, causal: bool, output_tokens: OutputTokens) -> None:
        super().__init__(attention, length, causal, output_tokens, ROWS, _linear)
        self.pick = SelectTokenBySum(output_tokens)
        self.c_proj = attention.c_proj

    def bias_layout(self, bias: Tensor) -> Tensor:
        return bias.transpose(1, 2).contiguous()

    def forward(self, x: Tensor, hints: Hints) -> Tensor:
        """Compute the outputs [1, T or 1, D] of the output tokens from x, [1, T, D].

        Args:
            hints: the padded keys, and the only output token if there is one.
        """
        k, v = self.k(x), self.v(x)
        source = self.pick(k if self.q is None else x, hints)
        q = source if self.q is None else self.q(source)
        if self.noise is not None:
            q = q + self.noise(q)
        keys = k.view(self.length, self.heads, self.head_size).permute(1, 0, 2)
        queries, values = self._columns(q), self._columns(v)
        parts = [self._attend(keys, queries, values, hints, low, high) for low, high in self.blocks]
        y = torch.cat(parts, dim=-1) if len(parts) > 1 else parts[0]
        return self.c_proj(y.reshape(1, self.heads * self.head_size, -1).permute(0, 2, 1))

    def _columns(self, x: Tensor) -> Tensor:
        """Reshape [1, T, H·d] to [H, d, T]."""
        return x.view(-1, self.heads, self.head_size).permute(1, 2, 0)

    def _attend(
        self, keys: Tensor, queries: Tensor, values: Tensor, hints: Hints, low: int, high: int
    ) -> Tensor:
        """Attention of queries `low` to `high` − 1, [H, d, high − low].

        Args:
            keys: [H, T, d].
            queries, values: [H, d, T].
            hints: `hidden` marks the padded keys.
        """
        if len(self.blocks) > 1:
            keys, queries, values = keys[:, :high], queries[:, :, low:high], values[:, :, :high]
        scores = keys @ queries
        bias = getattr(self, f"bias_{low}")
        if bias is not None:
            scores = scores + bias
        if self.sees_padding and hints.hidden is not None:
            scores = scores + hints.hidden
        # Add the negated maximum by a product with -1.  A subtraction needs one scale for both operands, and
        # U55 then rescales each separately.  A negation keeps its operand's zero point, which costs range.
        shares = torch.exp(scores + scores.amax(dim=1, keepdim=True) * -1.0)
        return (values @ shares) * torch.reciprocal(shares.sum(dim=1, keepdim=True))


class NpuBlock(nn.Module):
    def __init__(self, block: Block, length: int, causal: bool, output_tokens: OutputTokens) -> None:
        super().__init__()
        self.pick = SelectTokenBySum(output_tokens)
        self.ln_1, self.ln_2 = Norm(block.ln_1), Norm(block.ln_2)
        self.attn = NpuAttention(block.attn, length, causal, output_tokens)
        self.c_fc, self.act, self.c_proj = block.mlp.c_fc, block.mlp.act, block.mlp.c_proj

    def forward(self, x: Tensor, hints: Hints) -> Tensor:
        x = self.pick(x, hints) + self.attn(self.ln_1(x), hints)
        return x + self.c_proj(self.act(self.c_fc(self.ln_2(x))))


class Affine(nn.Module):
    """The scale and bias of the last LayerNorm, applied to pooled tokens; all other norms are folded."""

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.weight, self.bias = norm.weight, norm.bias

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight + self.bias


class Body(nn.Module):
    """The part that the NPU computes: the layers, the last norm, and a language model's head."""

    def __init__(self, model: NoiseFormer, length: int, output_tokens: OutputTokens) -> None:
        super().__init__()
        transformer, causal = model.transformer, model.config.causal
        *blocks, last = transformer.blocks
        layers = [NpuBlock(block, length, causal, "all") for block in blocks]
        self.layers = nn.ModuleList([*layers, NpuBlock(last, length, causal, output_tokens)])
        self.norm = Norm(transformer.ln_f)
        self.head: nn.Module = nn.Identity()
        if isinstance(model, CausalLM):
            weight, norm = model.lm_head.weight, transformer.ln_f
            self.head = _linear(weight * norm.weight, weight @ norm.bias)

    def forward(self, x: Tensor, hidden: Tensor | None, pick: Tensor | None) -> Tensor:
        """Map embeddings [1, T, D] to logits [1, T, V], or to a classifier's hidden states [1, T or 1, D].

        Args:
            hidden: [1, T, 1], −30 at padded keys and 0 at real keys; None if no query attends to padding.
            pick: [1, 1, T], 1 at the last real token, else 0; None unless this token is the only output.
        """
        for layer in self.layers:
            x = layer(x, Hints(hidden, pick))
        return self.head(self.norm(x))


def npu_program(model: NoiseFormer, length: int) -> StaticShapeProgram:
    """The fixed-length program to lower for the NPU; `fold` must already have changed the model."""
    body = Body(model, length, output_tokens_of(model.config))
    return StaticShapeProgram(model, length, body, Affine(model.transformer.ln_f))


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    out, inputs = weight.shape
    linear = nn.Linear(inputs, out, bias=bias is not None)
    linear.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
    if bias is not None:
        linear.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
    return linear
