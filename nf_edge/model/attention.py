"""Symmetric attention with learned noise, and GPT-2's attention as the baseline."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nf_edge.model.attention_forms import AttentionForm, OutputTokens
from nf_edge.model.cache import Cache
from nf_edge.model.config import ModelConfig
from nf_edge.model.noise import build_noise


@dataclass(frozen=True)
class Pass:
    """The context of one forward pass.

    All layers share this object.  Only the last layer may have its own, to compute fewer tokens.

    Attributes:
        form: the implementation of attention (see `attention_forms`).
        positions: int64 [T], positions of the queries; or int64 [B, 1], one query per row, each at its own
            position.
        keys: number of keys, including cached ones.
        mask: the mask of hidden keys, in the form's own format; None if no key is hidden.
        cache: keys and values of earlier tokens; None without a cache.
        output_tokens: the tokens that a layer computes outputs for.
        last: int64 [B], index of each row's last real token; None if it is not needed.
    """

    form: AttentionForm
    positions: Tensor
    keys: int
    mask: Tensor | None
    cache: Cache | None
    output_tokens: OutputTokens = "all"
    last: Tensor | None = None

    def select(self, tokens: Tensor) -> Tensor:
        """Keep only the output tokens of a tensor: [B, T, …] → [B, T or 1, …]."""
        if self.output_tokens == "all":
            return tokens
        if self.output_tokens == "first":
            return tokens[:, :1]
        if self.last is None:
            return tokens[:, -1:]
        return tokens[torch.arange(tokens.shape[0]), self.last][:, None]


class Attention(nn.Module):
    """Symmetric attention (one projection gives query and key), or GPT-2's attention as the baseline."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.layer, self.head_size = layer, config.head_size
        self.heads, _ = config.layer_sizes[layer]
        width = self.heads * self.head_size
        self.symmetric = config.attention == "symmetric"
        if self.symmetric:
            self.c_kv = nn.Linear(config.n_embd, 2 * width)
        else:
            self.c_attn = nn.Linear(config.n_embd, 3 * width)
        self.c_proj = nn.Linear(width, config.n_embd)
        self.noise = build_noise(
            config.noise.kind, self.heads, self.head_size, config.noise.rank, config.n_positions
        )
        self.scale = self.head_size**-0.5

    @property
    def projection(self) -> nn.Linear:
        """The linear layer that computes K and V of all heads; with standard attention, Q, K and V."""
        return self.c_kv if self.symmetric else self.c_attn

    def forward(self, x: Tensor, this: Pass) -> Tensor:
        """Compute attention's output for the output tokens: [B, T, D] → [B, T or 1, D].

        Args:
            x: hidden states of the tokens that follow the cached ones.
            this: the context of the forward pass.
        """
        batch, length, _ = x.shape
        projected = self.projection(x)
        heads = [
            part.view(batch, length, self.heads, self.head_size).transpose(1, 2)
            for part in projected.split(self.heads * self.head_size, dim=-1)
        ]
        k, v = heads[-2:]
        q = self.noise.query(k) if self.symmetric else heads[0]
        if this.form.takes_fewer_queries and this.output_tokens != "all":
            q = this.select(q.transpose(1, 2)).transpose(1, 2)
        if this.cache is not None:
            k, v = this.cache.append(self.layer, k, v)
        bias = self._score_bias(q, this.positions, this.keys)
        y = this.form(q, k, v, self.scale, this.mask, bias).transpose(1, 2)
        if not this.form.takes_fewer_queries:
            y = this.select(y)
        return self.c_proj(y.reshape(batch, -1, self.heads * self.head_size))

    def _score_bias(self, q: Tensor, positions: Tensor, keys: int) -> Tensor | None:
        queries = q.shape[2]
        bias = self.noise.score_bias(positions, keys)
        if self.training and self.noise.log_sigma is not None:
            sigma = self.noise.log_sigma.exp()[:, None, None]
            random = sigma * torch.randn(q.shape[0], self.heads, queries, keys, device=q.device)
            bias = random if bias is None else bias + random
        return bias

    def fold_scale(self) -> None:
        """Move the factor 1/√d on the scores into the weights; results differ only by rounding.

        With symmetric attention the scores are quadratic in K for every kind of noise, so K is scaled by
        d^(−1/4).  With standard attention the query is scaled by 1/√d.
        """
        width = self.heads * self.head_size
        linear, factor = self.projection, self.scale**0.5 if self.symmetric else self.scale
        # The first rows belong to K with symmetric attention, and to Q with standard attention.
        factors = torch.ones(linear.out_features)
        factors[:width] = factor
        # New tensors, because the network may share its weights with the checkpoint.
        with torch.no_grad():
            linear.weight = nn.Parameter(linear.weight * factors[:, None], linear.weight.requires_grad)
            linear.bias = nn.Parameter(linear.bias * factors, linear.bias.requires_grad)
        self.scale = 1.0
