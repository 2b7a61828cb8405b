"""The NoiseFormer in PyTorch: a GPT-2 whose attention is symmetric.

Module names are the tensor names of the checkpoint, so a `state_dict` is the content of
`model.safetensors`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from nf_edge.model.attention_forms import Asked, AttentionForm, TorchForm
from nf_edge.model.cache import Cache
from nf_edge.model.config import ModelConfig
from nf_edge.model.noise import build_noise

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "gelu_new": lambda: nn.GELU(approximate="tanh"),
    "gelu": nn.GELU,
    "relu": nn.ReLU,
}


@dataclass(frozen=True)
class Pass:
    """What all layers of one forward pass have in common.

    Attributes:
        form: how attention is written.
        positions: int64 [T], of the queries of this layer; [B, 1] where one is asked for that is not the same
            in all rows.
        keys: number of keys that they meet, those in the cache among them.
        mask: what the form made to hide keys.
        cache: takes the pass's keys and values; None where there is nothing to keep.
        asked: the tokens that this layer has to answer for: fewer than all in the last one, whose other
            answers nobody reads.
        last: int64 [B], index of each row's last real token; None where that is the last of all.
    """

    form: AttentionForm
    positions: Tensor
    keys: int
    mask: Tensor | None
    cache: Cache | None
    asked: Asked = "all"
    last: Tensor | None = None

    def pick(self, tokens: Tensor) -> Tensor:
        """[B, T, …] → [B, T or 1, …], the tokens asked for."""
        if self.asked == "all":
            return tokens
        if self.asked == "first":
            return tokens[:, :1]
        if self.last is None:
            return tokens[:, -1:]
        return tokens[torch.arange(tokens.shape[0]), self.last][:, None]


class Attention(nn.Module):
    """Symmetric attention (one projection gives query and key), or GPT-2's own as the baseline."""

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
        """The layer before the scores, D → the K and V of all heads; Q first with standard attention."""
        return self.c_kv if self.symmetric else self.c_attn

    def forward(self, x: Tensor, this: Pass) -> Tensor:
        """[B, T, D] → [B, T or 1, D], of the tokens asked for; what a cache holds stands before them."""
        batch, length, _ = x.shape
        projected = self.projection(x)
        heads = [
            part.view(batch, length, self.heads, self.head_size).transpose(1, 2)
            for part in projected.split(self.heads * self.head_size, dim=-1)
        ]
        k, v = heads[-2:]
        q = self.noise.query(k) if self.symmetric else heads[0]
        if this.form.takes_fewer_queries and this.asked != "all":
            q = this.pick(q.transpose(1, 2)).transpose(1, 2)
        if this.cache is not None:
            k, v = this.cache.append(self.layer, k, v)
        bias = self._score_bias(q, this.positions, this.keys)
        y = this.form(q, k, v, self.scale, this.mask, bias).transpose(1, 2)
        if not this.form.takes_fewer_queries:
            y = this.pick(y)
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
        """Move the factor 1/√d on the scores into the weights, exactly but for rounding.

        K enters the scores quadratically or not at all, so K takes d^(−1/4), whatever the noise;
        with standard attention the query takes it whole.
        """
        width = self.heads * self.head_size
        linear, factor = (self.c_kv, self.scale**0.5) if self.symmetric else (self.c_attn, self.scale)
        with torch.no_grad():
            # The first rows are K's when symmetric, Q's when standard.
            linear.weight[:width] *= factor
            linear.bias[:width] *= factor
        self.scale = 1.0


class MLP(nn.Module):
    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        _, inner = config.layer_sizes[layer]
        self.c_fc = nn.Linear(config.n_embd, inner)
        self.act = ACTIVATIONS[config.activation_function]()
        self.c_proj = nn.Linear(inner, config.n_embd)

    def forward(self, x: Tensor) -> Tensor:
        return self.c_proj(self.act(self.c_fc(x)))


class Block(nn.Module):
    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.attn = Attention(config, layer)
        self.ln_2 = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.mlp = MLP(config, layer)

    def forward(self, x: Tensor, this: Pass) -> Tensor:
        x = this.pick(x) + self.attn(self.ln_1(x), this)
        return x + self.mlp(self.ln_2(x))


class Transformer(nn.Module):
    """Everything below the head."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.causal, self.positions = config.causal, config.n_positions
        self.form: AttentionForm = TorchForm()
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.n_positions, config.n_embd)
        self.h = nn.ModuleList(Block(config, i) for i in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)

    @property
    def blocks(self) -> Iterator[Block]:
        """The layers, typed."""
        return (cast(Block, block) for block in self.h)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        cache: Cache | None = None,
        asked: Asked = "all",
    ) -> Tensor:
        """int64 [B, T] → float [B, T or 1, D]; with a cache, the tokens that follow those it holds.

        Args:
            asked: the tokens to answer for; "last" is the last real one.

        Raises:
            ValueError: the mask is not padding on the right of at least one real token a row, or there
                are more tokens than the model has positions.
        """
        length = input_ids.shape[1]
        if not torch.compiler.is_exporting():
            _check_input(attention_mask, length, self.positions)
        positions, keys = (torch.arange(length), length) if cache is None else cache.advance(length)
        x = self.wte(input_ids) + self.wpe(positions)
        mask = self.form.mask(attention_mask, positions, keys, self.causal)
        this = Pass(self.form, positions, keys, mask, cache)
        *blocks, last = self.blocks
        for block in blocks:
            x = block(x, this)
        return self.ln_f(last(x, self._narrowed(this, attention_mask, asked)))

    def _narrowed(self, this: Pass, attention_mask: Tensor | None, asked: Asked) -> Pass:
        """The pass of the last layer."""
        if asked == "all":
            return this
        # Padding stands on the right, so the number of real tokens is where they end.
        last = attention_mask.sum(dim=1) - 1 if asked == "last" and attention_mask is not None else None
        narrowed = replace(this, asked=asked, last=last if this.cache is None else None)
        if not self.form.takes_fewer_queries:
            return narrowed
        positions = this.positions[:1] if asked == "first" else this.positions[-1:]
        if narrowed.last is not None:
            # Each row's own: of what is real, the last token sees everything.
            mask = self.form.mask(attention_mask, positions, this.keys, causal=False)
            return replace(narrowed, positions=narrowed.last[:, None], mask=mask)
        return replace(
            narrowed,
            positions=positions,
            mask=self.form.mask(attention_mask, positions, this.keys, self.causal),
        )


class CausalLM(nn.Module):
    origin: Path | None = None
    """The checkpoint's folder, for messages."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.transformer = Transformer(config)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        if config.tie_word_embeddings:
            self.lm_head.weight = self.transformer.wte.weight

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, cache: Cache | None = None
    ) -> Tensor:
        """Logits of every token: int64 [B, T] → float [B, T, V]."""
        return self.lm_head(self.transformer(input_ids, attention_mask, cache))


class SequenceClassifier(nn.Module):
    """Pools one token, or the mean, and scores it."""

    origin: Path | None = None
    """The checkpoint's folder, for messages."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.transformer = Transformer(config)
        self.score = nn.Linear(config.n_embd, config.num_labels or 0, bias=False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """int64 [B, T] → float [B, num_labels]."""
        if not torch.compiler.is_exporting():
            _check_input(attention_mask, input_ids.shape[1], self.transformer.positions)
        how = self.config.pooled_token
        positions = torch.arange(input_ids.shape[1])
        seen, pooled = masks(self.config, input_ids, attention_mask, positions)
        if self.config.answers_for_one_token:
            asked: Asked = "first" if how == "first" else "last"
            return self.score(self.transformer(input_ids, seen, asked=asked)[:, 0])
        h = self.transformer(input_ids, seen)
        if how == "mean":
            return self.score(real_mean(h, pooled))
        if pooled is None or how == "first":
            return self.score(h[:, 0])
        return self.score(h[torch.arange(h.shape[0]), pooled.sum(dim=1) - 1])


NoiseFormer = CausalLM | SequenceClassifier
AnyMask = TypeVar("AnyMask", Tensor, None, Tensor | None)


def _check_input(attention_mask: Tensor | None, length: int, positions: int) -> None:
    if length > positions:
        raise ValueError(f"{length} tokens, but the model has {positions} positions")
    if attention_mask is None:
        return
    real = attention_mask != 0
    # Right-padded rows never go up from 0 to 1, and begin with a real token.
    if not bool((real[:, 0] & (real[:, 1:] <= real[:, :-1]).all(dim=1)).all()):
        raise ValueError("attention_mask must be 1 for at least one token, then 0 for padding on the right")


def masks(
    config: ModelConfig, input_ids: Tensor, attention_mask: AnyMask, positions: Tensor
) -> tuple[Tensor | AnyMask, Tensor | AnyMask]:
    """What attention may see of each row, and the tokens up to the last one that may be pooled: int64 [B, T],
    ones before zeros, or None for all.

    Both are the padding mask, unless a classifier passes over pad tokens at the end of a text.  Where it is
    causal, nothing that is pooled sees them, so that they are padding like any other.

    Args:
        positions: int64 [T], 0 to T − 1.
    """
    if config.is_language_model or config.pooled_token != "last_not_pad":
        return attention_mask, attention_mask
    counts = torch.ne(input_ids, config.pad_token_id or 0).to(torch.int64)
    if attention_mask is not None:
        counts = counts * attention_mask
    # 0, the first token, where there is none.
    last = (positions * counts).amax(dim=1, keepdim=True)
    pooled = (positions <= last).to(torch.int64)
    return pooled if config.causal else attention_mask, pooled


def real_mean(h: Tensor, attention_mask: Tensor | None) -> Tensor:
    """[B, T, D] → [B, D], the mean of the real tokens."""
    if attention_mask is None:
        return h.mean(dim=1)
    weight = attention_mask.to(h.dtype)
    # Delegates that sum over tokens at all keep their axis.
    total = (h * weight[:, :, None]).sum(dim=1, keepdim=True)
    return total[:, 0] / weight.sum(dim=1, keepdim=True)


def build(config: ModelConfig) -> NoiseFormer:
    """The network of a config, its weights uninitialised for use."""
    return CausalLM(config) if config.is_language_model else SequenceClassifier(config)
