"""The network rewritten for CMSIS-NN: the same results, from operators that have CMSIS-NN kernels.

  - A linear layer is a 1×1 convolution over [1, D, 1, T], stored in memory like [T, D].  CMSIS-NN's
    convolution has a scale per output channel and computes four products in one pass.  ExecuTorch calls
    CMSIS-NN's fully connected layer with only one scale, and that layer computes row after row.
  - Scores are [queries, keys], because the softmax kernel works along the innermost axis.  The kernel for
    products of two activations needs the second operand transposed.
  - The kernels can broadcast an operand only if it has one value per channel.  A mask is equal for all heads,
    or for all heads and queries.  Scores are reshaped so that the mask has one value per channel.
  - Causal queries are computed in blocks, without the keys after the block.
  - If only one token is pooled, the last layer has one query.

LayerNorm stays in float32: CMSIS-NN has none, and these cores have an FPU.
"""

import torch
from torch import Tensor, nn

from nf_edge.backends.cortex_m.spec import ROWS
from nf_edge.backends.static_shape.form import Hints, SelectToken, StaticShapeAttention, StaticShapeProgram
from nf_edge.backends.static_shape.output_tokens import output_tokens_of
from nf_edge.model import CausalLM, NoiseFormer
from nf_edge.model.attention import Attention
from nf_edge.model.attention_forms import OutputTokens
from nf_edge.model.network import Block


class Pointwise(nn.Conv2d):
    """A linear layer as a 1×1 convolution: [1, in, 1, T] → [1, out, 1, T]."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        out, inputs = weight.shape
        super().__init__(inputs, out, kernel_size=1, bias=bias is not None)
        self.weight = nn.Parameter(weight.detach().clone()[:, :, None, None], requires_grad=False)
        if bias is not None:
            self.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)

    @classmethod
    def of(cls, linear: nn.Linear) -> "Pointwise":
        return cls(linear.weight, linear.bias)


def image_of(x: Tensor) -> Tensor:
    """Convert rows [1, T, D] to an image [1, D, 1, T]."""
    return x.reshape(1, 1, -1, x.shape[2]).permute(0, 3, 1, 2)


def rows_of(image: Tensor) -> Tensor:
    """Convert an image [1, D, 1, T] to rows [1, T, D]."""
    return image.permute(0, 2, 3, 1).reshape(1, -1, image.shape[1])


class PointwiseAttention(StaticShapeAttention):
    """Attention whose linear layers are 1×1 convolutions.

    Args:
        output_tokens: the tokens that the layer computes outputs for.
    """

    def __init__(self, attention: Attention, length: int, causal: bool, output_tokens: OutputTokens) -> None:
        super().__init__(attention, length, causal, output_tokens, ROWS, Pointwise)
        self.c_proj = Pointwise.of(attention.c_proj)

    def forward(self, x: Tensor, hints: Hints) -> Tensor:
        """Compute the outputs [1, T or 1, D] of the output tokens from x, [1, T, D].

        Args:
            hints: the padded keys, and the only output token if there is one.
        """
        image = image_of(x)
        k, v = rows_of(self.k(image)), rows_of(self.v(image))
        source = self.pick(k if self.q is None else x, hints)
        q = source if self.q is None else rows_of(self.q(image_of(source)))
        if self.noise is not None:
            q = q + rows_of(self.noise(image_of(q)))
        q, k, v = (part.view(-1, self.heads, self.head_size) for part in (q, k, v))
        parts = [self._attend(q, k, v, hints, low, high) for low, high in self.blocks]
        y = torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]
        # The heads must be contiguous in memory before `view` merges them, so this copies.
        y = torch.permute_copy(y, (1, 0, 2)).view(1, -1, self.heads * self.head_size)
        return rows_of(self.c_proj(image_of(y)))

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, hints: Hints, low: int, high: int) -> Tensor:
        """Attention of queries `low` to `high` − 1: q, k, v [T, H, d] → [H, high − low, d].

        Args:
            hints: `hidden` marks the padded keys.
        """
        if len(self.blocks) > 1:
            q, k, v = q[low:high], k[:high], v[:high]
        scores = torch.bmm(q.permute(1, 0, 2), k.permute(1, 2, 0))
        bias = getattr(self, f"bias_{low}")
        if bias is not None:
            scores = _plus(scores, bias)
        if self.sees_padding and hints.hidden is not None:
            scores = _plus(scores, hints.hidden.permute(0, 2, 1))
        return torch.bmm(torch.softmax(scores, dim=-1), v.permute(1, 0, 2))


def _plus(scores: Tensor, bias: Tensor) -> Tensor:
    """Add a bias [H or 1, queries or 1, keys] to scores [H, queries, keys]."""
    if bias.shape == scores.shape:
        return scores + bias
    channels = bias.numel()
    return (scores.reshape(-1, channels, 1, 1) + bias.reshape(1, channels, 1, 1)).view(scores.shape)


class StaticShapeBlock(nn.Module):
    def __init__(self, block: Block, length: int, causal: bool, output_tokens: OutputTokens) -> None:
        super().__init__()
        self.pick = SelectToken(output_tokens)
        self.ln_1, self.ln_2 = block.ln_1, block.ln_2
        self.attn = PointwiseAttention(block.attn, length, causal, output_tokens)
        self.c_fc, self.c_proj = Pointwise.of(block.mlp.c_fc), Pointwise.of(block.mlp.c_proj)
        self.act = block.mlp.act

    def forward(self, x: Tensor, hints: Hints) -> Tensor:
        x = self.pick(x, hints) + self.attn(self.ln_1(x), hints)
        return x + rows_of(self.c_proj(self.act(self.c_fc(image_of(self.ln_2(x))))))


class Body(nn.Module):
    """The part of the program that is quantized: the layers, the last norm, and a language model's head."""

    def __init__(self, model: NoiseFormer, length: int, output_tokens: OutputTokens) -> None:
        super().__init__()
        transformer, causal = model.transformer, model.config.causal
        *blocks, last = transformer.blocks
        layers = [StaticShapeBlock(block, length, causal, "all") for block in blocks]
        self.layers = nn.ModuleList([*layers, StaticShapeBlock(last, length, causal, output_tokens)])
        self.norm = transformer.ln_f
        self.head = Pointwise(model.lm_head.weight) if isinstance(model, CausalLM) else None

    def forward(self, x: Tensor, hidden: Tensor | None, pick: Tensor | None) -> Tensor:
        """Map embeddings [1, T, D] to logits [1, T, V], or to a classifier's hidden states [1, T or 1, D].

        Args:
            hidden: [1, T, 1], −30 at padded keys and 0 at real keys; None if no query attends to padding.
            pick: [1, 1, T], 1 at the last real token, else 0; None unless this token is the only output.
        """
        for layer in self.layers:
            x = layer(x, Hints(hidden, pick))
        h: Tensor = self.norm(x)
        return h if self.head is None else rows_of(self.head(image_of(h)))


def cortex_m_program(model: NoiseFormer, length: int) -> StaticShapeProgram:
    """The fixed-length program to lower for CMSIS-NN.

    `fold_scale` must already have moved the model's attention scale into its weights.
    """
    return StaticShapeProgram(
        model, length, Body(model, length, output_tokens_of(model.config)), nn.Identity()
    )
