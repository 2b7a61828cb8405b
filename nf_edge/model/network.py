"""The NoiseFormer in PyTorch: a GPT-2 whose attention is symmetric.

Module names equal the tensor names of a checkpoint, so a `state_dict` is the content of `model.safetensors`.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from nf_edge.model.attention import Attention, Pass
from nf_edge.model.attention_forms import AttentionForm, OutputTokens, TorchForm
from nf_edge.model.cache import Cache
from nf_edge.model.config import ModelConfig

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "gelu_new": lambda: nn.GELU(approximate="tanh"),
    "gelu": nn.GELU,
    "relu": nn.ReLU,
}


class MLP(nn.Module):
    """The feed-forward part of a layer: [B, T, D] → [B, T, D]."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        _, inner = config.layer_sizes[layer]
        self.c_fc = nn.Linear(config.n_embd, inner)
        self.act = ACTIVATIONS[config.activation_function]()
        self.c_proj = nn.Linear(inner, config.n_embd)

    def forward(self, x: Tensor) -> Tensor:
        return self.c_proj(self.act(self.c_fc(x)))


class Block(nn.Module):
    """One layer: attention and MLP, each after a LayerNorm and with a residual connection."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.attn = Attention(config, layer)
        self.ln_2 = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.mlp = MLP(config, layer)

    def forward(self, x: Tensor, this: Pass) -> Tensor:
        x = this.select(x) + self.attn(self.ln_1(x), this)
        return x + self.mlp(self.ln_2(x))


class Transformer(nn.Module):
    """Embeddings, layers and the last LayerNorm: everything except the head."""

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
        """Iterate over the layers in order; type checkers see them as `Block`."""
        return (cast(Block, block) for block in self.h)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        cache: Cache | None = None,
        output_tokens: OutputTokens = "all",
    ) -> Tensor:
        """Hidden states after the last LayerNorm: int64 [B, T] → float [B, T or 1, D].

        Args:
            attention_mask: int64 [B, T], 1 for real tokens, then 0 for padding; None: no padding.
            cache: holds the tokens that precede `input_ids`.
            output_tokens: the tokens to compute outputs for; "last" is the last real token.

        Raises:
            ValueError: a row of the mask is not one or more ones followed by zeros, or the model has too few
                positions.
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
        return self.ln_f(last(x, self._last_layer_pass(this, attention_mask, output_tokens)))

    def _last_layer_pass(
        self, this: Pass, attention_mask: Tensor | None, output_tokens: OutputTokens
    ) -> Pass:
        """A copy of the forward pass's context `this`, with which the last layer computes only some tokens.

        Args:
            attention_mask: int64 [B, T], ones then zeros; None: no padding.
            output_tokens: the tokens to compute; for "all", the result is `this` itself.
        """
        if output_tokens == "all":
            return this
        last = None
        if output_tokens == "last" and attention_mask is not None and this.cache is None:
            # Padding is on the right, so the number of real tokens gives the index of the last one.
            last = attention_mask.sum(dim=1) - 1
        narrowed = replace(this, output_tokens=output_tokens, last=last)
        if not self.form.takes_fewer_queries:
            return narrowed
        positions = this.positions[:1] if output_tokens == "first" else this.positions[-1:]
        if last is not None:
            # The last real token sees all real tokens, so it needs no causal mask.
            mask = self.form.mask(attention_mask, positions, this.keys, causal=False)
            return replace(narrowed, positions=last[:, None], mask=mask)
        return replace(
            narrowed,
            positions=positions,
            mask=self.form.mask(attention_mask, positions, this.keys, self.causal),
        )


class CausalLM(nn.Module):
    """A language model: the transformer, and a head that computes the logits of the next token."""

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
        """Logits of the token after each token: int64 [B, T] → float [B, T, V].

        For `attention_mask` and `cache`, see `Transformer.forward`.
        """
        return self.lm_head(self.transformer(input_ids, attention_mask, cache))


class SequenceClassifier(nn.Module):
    """A classifier or a regression model.

    It computes label scores from the hidden state of one token, or from the mean over all tokens.
    """

    origin: Path | None = None
    """The checkpoint's folder, for messages."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.transformer = Transformer(config)
        self.score = nn.Linear(config.n_embd, config.num_labels or 0, bias=False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Logits of the labels: int64 [B, T] → float [B, num_labels].

        Args:
            attention_mask: int64 [B, T], 1 for real tokens, then 0 for padding; None: no padding.
        """
        if not torch.compiler.is_exporting():
            _check_input(attention_mask, input_ids.shape[1], self.transformer.positions)
        how = self.config.pooled_token
        positions = torch.arange(input_ids.shape[1])
        visible, pooled = masks(self.config, input_ids, attention_mask, positions)
        if self.config.outputs_one_token:
            token: OutputTokens = "first" if how == "first" else "last"
            return self.score(self.transformer(input_ids, visible, output_tokens=token)[:, 0])
        h = self.transformer(input_ids, visible)
        if how == "mean":
            return self.score(real_mean(h, pooled))
        if pooled is None or how == "first":
            return self.score(h[:, 0])
        return self.score(h[torch.arange(h.shape[0]), pooled.sum(dim=1) - 1])


NoiseFormer = CausalLM | SequenceClassifier
AnyMask = TypeVar("AnyMask", Tensor, None, Tensor | None)


def _check_input(attention_mask: Tensor | None, length: int, positions: int) -> None:
    if length > positions:
        raise ValueError(f"the input has {length} tokens, but the model has {positions} positions")
    if attention_mask is None:
        return
    real = attention_mask != 0
    # A right-padded mask starts with 1 and never rises from 0 to 1.
    if not bool((real[:, 0] & (real[:, 1:] <= real[:, :-1]).all(dim=1)).all()):
        raise ValueError("attention_mask must be 1 for at least one token, then 0 for padding on the right")


def masks(
    config: ModelConfig, input_ids: Tensor, attention_mask: AnyMask, positions: Tensor
) -> tuple[Tensor | AnyMask, Tensor | AnyMask]:
    """Two masks for a classifier: the tokens that attention sees, and the tokens that pooling considers.

    With most kinds of pooling, both are the padding mask.  With "last_not_pad" pooling, the second mask also
    hides the pad tokens at the end of a text.  A causal classifier then uses the second mask for attention
    too: the pooled token comes before these pad tokens and does not see them.

    Args:
        positions: int64 [T], 0 to T − 1.

    Returns:
        Two masks int64 [B, T], ones before zeros; None stands for a mask of ones.
    """
    if config.is_language_model or config.pooled_token != "last_not_pad":
        return attention_mask, attention_mask
    counts = torch.ne(input_ids, config.pad_token_id or 0).to(torch.int64)
    if attention_mask is not None:
        counts = counts * attention_mask
    # 0 (the first token) if all tokens are pad tokens.
    last = (positions * counts).amax(dim=1, keepdim=True)
    pooled = (positions <= last).to(torch.int64)
    return pooled if config.causal else attention_mask, pooled


def real_mean(h: Tensor, attention_mask: Tensor | None) -> Tensor:
    """The mean hidden state over the real tokens: [B, T, D] → [B, D].

    Args:
        attention_mask: [B, T], 1 for real tokens, 0 for padding; None: all tokens are real.
    """
    if attention_mask is None:
        return h.mean(dim=1)
    weight = attention_mask.to(h.dtype)
    # keepdim, because delegates that support a sum over tokens require it.
    total = (h * weight[:, :, None]).sum(dim=1, keepdim=True)
    return total[:, 0] / weight.sum(dim=1, keepdim=True)


def build(config: ModelConfig) -> NoiseFormer:
    """A network with the shape of the config; load its weights before use."""
    return CausalLM(config) if config.is_language_model else SequenceClassifier(config)
