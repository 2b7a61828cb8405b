"""The network rewritten for Apple's Neural Engine: the same results, with channels first.

Activations are [1, channels, 1, tokens], because the engine aligns the last axis to 64 bytes.  Linear
layers are 1×1 convolutions.  Heads are computed separately: scores [1, keys, 1, queries] from keys
[1, keys, 1, d] and queries [1, d, 1, queries].  Queries need no transpose.  Apple describes this form at
https://machinelearning.apple.com/research/neural-engine-transformers.

Low-rank noise is two grouped convolutions and pairwise noise is one, with one group per head.  If only one
token is pooled, the last layer has one query.

A program shares the network's modules, so rounding the network's weights also rounds the program's.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nf_edge.backends.static_shape.output_tokens import output_tokens_of
from nf_edge.backends.static_shape.pooling import last_of
from nf_edge.model import CausalLM, NoiseFormer
from nf_edge.model.attention import Attention
from nf_edge.model.attention_forms import HIDDEN_IN_HALF, OutputTokens
from nf_edge.model.network import Block, SequenceClassifier, masks
from nf_edge.model.noise import LowRankNoise, Noise, PairwiseNoise


class Convolution(nn.Module):
    """A linear layer over channels: [1, in, 1, T] → [1, out, 1, T]."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.linear.weight[:, :, None, None], self.linear.bias)


class ChannelNorm(nn.Module):
    """LayerNorm over the channels of [1, channels, 1, T]."""

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(dim=1, keepdim=True)
        scaled = centred * torch.rsqrt((centred * centred).mean(dim=1, keepdim=True) + self.norm.eps)
        return scaled * self.norm.weight[:, None, None] + self.norm.bias[:, None, None]


class EngineAttention(nn.Module):
    """Attention over one row of fixed length.

    Args:
        output_tokens: the tokens that the layer computes outputs for.
    """

    bias: Tensor | None

    def __init__(self, attention: Attention, length: int, causal: bool, output_tokens: OutputTokens) -> None:
        super().__init__()
        self.heads, self.head_size, self.symmetric = (
            attention.heads,
            attention.head_size,
            attention.symmetric,
        )
        self.joint = Convolution(attention.projection)
        self.c_proj, self.noise = Convolution(attention.c_proj), attention.noise
        # In a causal model the last token attends to all keys except padding; other tokens to no later keys.
        masked = causal and output_tokens == "all"
        self.sees_padding = not masked
        self.register_buffer("bias", _score_bias(attention.noise, length, output_tokens, masked))

    def forward(self, x: Tensor, hidden: Tensor, pick: Tensor | None) -> Tensor:
        """Compute the output [1, D, 1, T or 1] from x, [1, D, 1, T].

        Args:
            hidden: [1, T, 1, 1]; a large negative value at padded keys and 0 at real keys.
            pick: [1, 1, 1, T]; 1 at the only output token, else 0.  None if all tokens are output tokens.
        """
        *query, k, v = self.joint(x).split(self.heads * self.head_size, dim=1)
        q = picked(query[0] if query else k, pick)
        if self.symmetric:
            q = _noisy(q, self.noise, self.heads)
        answers = []
        for head, (queries, keys, values) in enumerate(
            zip(*(part.split(self.head_size, dim=1) for part in (q, k, v)), strict=True)
        ):
            scores = torch.einsum("bchq,bkhc->bkhq", queries, keys.transpose(1, 3))
            if self.bias is not None:
                scores = scores + self.bias[head % len(self.bias)]
            if self.sees_padding:
                scores = scores + hidden
            answers.append(torch.einsum("bkhq,bchk->bchq", scores.softmax(dim=1), values))
        return self.c_proj(torch.cat(answers, dim=1))


class EngineBlock(nn.Module):
    def __init__(self, block: Block, length: int, causal: bool, output_tokens: OutputTokens) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = ChannelNorm(block.ln_1), ChannelNorm(block.ln_2)
        self.attn = EngineAttention(block.attn, length, causal, output_tokens)
        self.c_fc, self.act, self.c_proj = (
            Convolution(block.mlp.c_fc),
            block.mlp.act,
            Convolution(block.mlp.c_proj),
        )

    def forward(self, x: Tensor, hidden: Tensor, pick: Tensor | None) -> Tensor:
        """Compute the layer's output [1, D, 1, T or 1] from x, [1, D, 1, T].

        Args:
            hidden: [1, T, 1, 1]; a large negative value at padded keys and 0 at real keys.
            pick: [1, 1, 1, T]; 1 at the only output token, else 0.  None if all tokens are output tokens.
        """
        x = picked(x, pick) + self.attn(self.ln_1(x), hidden, pick)
        return x + self.c_proj(self.act(self.c_fc(self.ln_2(x))))


class EngineProgram(nn.Module):
    """The program: (input_ids, attention_mask), int64 [1, T] each → logits.

    `fold_scale` must already have moved the network's attention scale into its weights.
    """

    positions: Tensor

    def __init__(self, model: NoiseFormer, length: int) -> None:
        super().__init__()
        transformer, causal = model.transformer, model.config.causal
        self.config, self.output_tokens = model.config, output_tokens_of(model.config)
        self.wte, self.wpe, self.norm = transformer.wte, transformer.wpe, ChannelNorm(transformer.ln_f)
        *blocks, last = transformer.blocks
        layers = [EngineBlock(block, length, causal, "all") for block in blocks]
        self.layers = nn.ModuleList([*layers, EngineBlock(last, length, causal, self.output_tokens)])
        self.classifies = isinstance(model, SequenceClassifier)
        self.head = Convolution(model.lm_head if isinstance(model, CausalLM) else model.score)
        self.pooled = model.config.pooled_token
        self.register_buffer("positions", torch.arange(length))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Compute float32 logits: [1, num_labels] of a classifier, [1, T, V] of a language model."""
        x = (self.wte(input_ids) + self.wpe(self.positions)).transpose(1, 2)[:, :, None]
        visible, pooled = masks(self.config, input_ids, attention_mask, self.positions)
        hidden = ((1 - visible.float()) * HIDDEN_IN_HALF)[:, :, None, None]
        *layers, last = self.layers
        for layer in layers:
            x = layer(x, hidden, None)
        x = self.norm(last(x, hidden, self._pick(pooled)))
        if not self.classifies:
            return self.head(x)[:, :, 0].transpose(1, 2)
        if self.pooled == "mean":
            weights = pooled.float()[:, None, None]
            x = (x * weights).sum(dim=3, keepdim=True) / weights.sum(dim=3, keepdim=True)
        elif self.output_tokens == "all":
            x = picked(x, self._one_hot(pooled, self.pooled))
        return self.head(x).flatten(1)

    def _pick(self, pooled: Tensor) -> Tensor | None:
        return None if self.output_tokens == "all" else self._one_hot(pooled, self.output_tokens)

    def _one_hot(self, pooled: Tensor, which: str) -> Tensor:
        """A float32 mask [1, 1, 1, T] that is 1 only at the selected token.

        Args:
            pooled: 1 at tokens that may be pooled.
            which: "first" selects the first token, "last" the last token that may be pooled.
        """
        if which == "first":
            return (self.positions == 0).float()[None, None, None]
        return last_of(pooled)[:, None, None]


def picked(x: Tensor, pick: Tensor | None) -> Tensor:
    """Select one token of x [1, C, 1, T] with `pick`: [1, C, 1, 1].  If `pick` is None, return x."""
    return x if pick is None else (x * pick).sum(dim=3, keepdim=True)


def _noisy(k: Tensor, noise: Noise, heads: int) -> Tensor:
    """The query [1, H·d, 1, T]: K with low-rank or pairwise noise, or K itself for other noise."""
    if isinstance(noise, LowRankNoise):
        # `a` and `b` are [H, d, r]; a grouped convolution needs weights [out, in] for each head.
        down = F.conv2d(k, noise.a.transpose(1, 2).flatten(0, 1)[:, :, None, None], groups=heads)
        return k + F.conv2d(down, noise.b.flatten(0, 1)[:, :, None, None], groups=heads)
    if isinstance(noise, PairwiseNoise):
        return k + F.conv2d(k, noise.p.transpose(1, 2).flatten(0, 1)[:, :, None, None], groups=heads)
    return k


def _score_bias(noise: Noise, length: int, output_tokens: OutputTokens, masked: bool) -> Tensor | None:
    """The sum of relative noise and causal mask, [1 or H, 1, keys, 1, queries]; None if both are absent.

    Args:
        length: number of keys.
        masked: whether to include the causal mask.
    """
    queries = torch.arange(length if output_tokens == "all" else 1)
    bias = noise.score_bias(queries, length)
    if masked:
        mask = torch.where(torch.arange(length) <= queries[:, None], 0.0, HIDDEN_IN_HALF)[None]
        bias = mask if bias is None else bias + mask
    return None if bias is None else bias.detach().transpose(1, 2)[:, None, :, None].contiguous()
