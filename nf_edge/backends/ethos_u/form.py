"""The NPU form of a NoiseFormer: the same numbers in operators that an Ethos-U has, and few of them.

What costs an NPU is not what costs a CPU.  Products with constant weights are nearly free; products of two
activations, reductions along the innermost axis, and passes over [T, T] scores are not.  So

  - the residual stream is centred (P = I − 11ᵀ/D in the tables and in both c_proj), LayerNorm has no mean to
    take, and its affine part is folded into the linear layer that follows (`fold`, in place and exact);
  - the mean of squares is a table (x²) and a linear layer of weights 1/D;
  - scores are kept transposed, [keys, queries]: maximum and sum over keys then run along an outer axis, for a
    tenth of the cycles, and the product with V needs no other layout;
  - causal queries are taken in blocks of rows that meet only the keys that they may see;
  - shares are normalised after the product with V, [d, T] values instead of [T, T];
  - low-rank and pairwise noise are linear layers over all heads, block-diagonal;
  - in the last layer only the token that is pooled from has a query.

The tables stand outside, on the host, and so do pooling and the score of a classifier, in float32.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nf_edge.attention import Asked
from nf_edge.attention.noise import LowRankNoise, PairwiseNoise
from nf_edge.backends.answering import asked_of, last_real
from nf_edge.model import CausalLM, NoiseFormer
from nf_edge.model.network import Attention, Block, SequenceClassifier, Transformer, real_mean

# Added to a hidden score: exp() of it vanishes in int8, and the scores beside it keep most of the levels.
HIDDEN = -30.0
# Queries of a causal layer that are taken together.
ROWS = 16
# Linear layers of an `NpuBlock`, and the network's names of them; its Q, K and V are parts of one.
NETWORK_NAMES = {"attn.c_proj": "attn.c_proj", "c_fc": "mlp.c_fc", "c_proj": "mlp.c_proj"}


def fold(model: NoiseFormer) -> None:
    """Centre the residual stream and fold the affine part of the layers' norms forward, in place and exactly.

    What is left is the same network in the same modules: its norms have weights of 1, biases of 0, and
    inputs whose mean is 0; `ln_f` keeps its affine part.  A tied head parts from its table, which is centred.
    """
    transformer = model.transformer
    with torch.no_grad():
        if isinstance(model, CausalLM):
            model.lm_head.weight = nn.Parameter(model.lm_head.weight.detach().clone())
        for table in (transformer.wte, transformer.wpe):
            table.weight.sub_(table.weight.mean(dim=1, keepdim=True))
        for block in transformer.blocks:
            block.attn.fold_scale()
            _fold_norm(block.ln_1, block.attn.c_kv if block.attn.symmetric else block.attn.c_attn)
            _fold_norm(block.ln_2, block.mlp.c_fc)
            for linear in (block.attn.c_proj, block.mlp.c_proj):
                linear.weight.sub_(linear.weight.mean(dim=0))
                linear.bias.sub_(linear.bias.mean())


def _fold_norm(norm: nn.LayerNorm, linear: nn.Linear) -> None:
    linear.bias.add_(linear.weight @ norm.bias)
    linear.weight.mul_(norm.weight)
    norm.weight.fill_(1)
    norm.bias.zero_()


class Norm(nn.Module):
    """LayerNorm of what has no mean, without its affine part: x / √(mean x² + ε)."""

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.eps = norm.eps
        (width,) = norm.normalized_shape
        self.mean = _linear(torch.full((1, width), 1 / width), None)

    def forward(self, x: Tensor) -> Tensor:
        # An exponent of 2 would become a product; of 2.0, a table.
        return x * torch.rsqrt(self.mean(torch.pow(x, 2.0)) + self.eps)


@dataclass(frozen=True)
class Hints:
    """What the host gives of a row's padding, where it matters.

    Attributes:
        hidden: [1, T, 1], `HIDDEN` at padded keys and 0 at real ones; None where no query can see padding.
        pick: [1, 1, T], 1 at the last real token; None where the answer is not that one's.
    """

    hidden: Tensor | None
    pick: Tensor | None


class Pick(nn.Module):
    """[1, T, D] → [1, T or 1, D], of the tokens asked for."""

    def __init__(self, asked: Asked) -> None:
        super().__init__()
        self.asked = asked

    def forward(self, x: Tensor, hints: Hints) -> Tensor:
        if self.asked == "all":
            return x
        return x[:, :1] if hints.pick is None else hints.pick @ x


class NpuAttention(nn.Module):
    """Attention over rows of a fixed length, without a batch.

    Args:
        asked: the tokens to answer for.
    """

    def __init__(self, attention: Attention, length: int, causal: bool, asked: Asked) -> None:
        super().__init__()
        self.heads, self.head_size, self.pick = attention.heads, attention.head_size, Pick(asked)
        self.length, self.c_proj = length, attention.c_proj
        width = self.heads * self.head_size
        joint = attention.c_kv if attention.symmetric else attention.c_attn
        *query, k, v = zip(joint.weight.split(width), joint.bias.split(width), strict=True)
        self.k, self.v = _linear(*k), _linear(*v)
        self.q = _linear(*query[0]) if query else None
        self.noise = _noise(attention)
        # Of a causal model the last token sees all keys but padding; the others, no later ones.
        masked = causal and asked == "all"
        self.sees_padding = not masked
        self.blocks = query_blocks(length if asked == "all" else 1, masked)
        for low, high in self.blocks:
            bias = _score_bias(attention, low, high, high if masked else length, masked)
            self.register_buffer(f"bias_{low}", bias)

    def forward(self, x: Tensor, hints: Hints) -> Tensor:
        """[1, T, D] → [1, T or 1, D], of the tokens asked for."""
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
        """[1, T, H·d] → [H, d, T]."""
        return x.view(-1, self.heads, self.head_size).permute(1, 2, 0)

    def _attend(
        self, keys: Tensor, queries: Tensor, values: Tensor, hints: Hints, low: int, high: int
    ) -> Tensor:
        """The queries from `low` to `high`: [H, T, d], [H, d, T], [H, d, T] → [H, d, high − low]."""
        if len(self.blocks) > 1:
            keys, queries, values = keys[:, :high], queries[:, :, low:high], values[:, :, :high]
        scores = keys @ queries
        bias = getattr(self, f"bias_{low}")
        if bias is not None:
            scores = scores + bias
        if self.sees_padding and hints.hidden is not None:
            scores = scores + hints.hidden
        # A sum with a product: of two operands of one scale, which a difference has, U55 rescales each by
        # itself, and a negation keeps the zero-point of its operand, which costs its range.
        shares = torch.exp(scores + scores.amax(dim=1, keepdim=True) * -1.0)
        return (values @ shares) * torch.reciprocal(shares.sum(dim=1, keepdim=True))


def query_blocks(queries: int, masked: bool) -> list[tuple[int, int]]:
    """Where the blocks of queries that are taken together begin and end; one block where none is masked."""
    rows = ROWS if masked else queries
    return [(low, min(low + rows, queries)) for low in range(0, queries, rows)]


class NpuBlock(nn.Module):
    def __init__(self, block: Block, length: int, causal: bool, asked: Asked) -> None:
        super().__init__()
        self.pick = Pick(asked)
        self.ln_1, self.ln_2 = Norm(block.ln_1), Norm(block.ln_2)
        self.attn = NpuAttention(block.attn, length, causal, asked)
        self.c_fc, self.act, self.c_proj = block.mlp.c_fc, block.mlp.act, block.mlp.c_proj

    def forward(self, x: Tensor, hints: Hints) -> Tensor:
        x = self.pick(x, hints) + self.attn(self.ln_1(x), hints)
        return x + self.c_proj(self.act(self.c_fc(self.ln_2(x))))


class Lookup(nn.Module):
    """The host's part before the NPU's: tokens, and their padding, as that takes them."""

    positions: Tensor

    def __init__(self, transformer: Transformer, length: int, hides: bool, picks: bool) -> None:
        super().__init__()
        self.transformer, self.hides, self.picks = transformer, hides, picks
        self.register_buffer("positions", torch.arange(length))

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """The residual stream [1, T, D], and both `Hints`."""
        x = self.transformer.wte(input_ids) + self.transformer.wpe(self.positions)
        hidden = ((1 - attention_mask.float()) * HIDDEN)[:, :, None] if self.hides else None
        return x, hidden, last_real(attention_mask)[:, None, :] if self.picks else None


class Answer(nn.Module):
    """The host's part after the NPU's: logits of a classifier, of its normed tokens.

    Args:
        asked: the tokens that it is given.
    """

    def __init__(self, model: SequenceClassifier, asked: Asked) -> None:
        super().__init__()
        self.pooled = model.config.pooled_token if asked == "all" else "first"
        self.ln_f, self.score = model.transformer.ln_f, model.score

    def forward(self, h: Tensor, attention_mask: Tensor) -> Tensor:
        """[1, T or 1, D] → [1, num_labels]."""
        if self.pooled == "mean":
            pooled = real_mean(h, attention_mask)
        elif self.pooled == "last":
            pooled = (h * last_real(attention_mask)[:, :, None]).sum(dim=1)
        else:
            pooled = h[:, 0]
        return self.score(pooled * self.ln_f.weight + self.ln_f.bias)


class Body(nn.Module):
    """What the NPU takes: the layers, the last norm, and the head of a language model."""

    def __init__(self, model: NoiseFormer, length: int, asked: Asked) -> None:
        super().__init__()
        transformer, causal = model.transformer, model.config.causal
        *blocks, last = transformer.blocks
        layers = [NpuBlock(block, length, causal, "all") for block in blocks]
        self.layers = nn.ModuleList([*layers, NpuBlock(last, length, causal, asked)])
        self.norm = Norm(transformer.ln_f)
        self.head: nn.Module = nn.Identity()
        if isinstance(model, CausalLM):
            weight, norm = model.lm_head.weight, transformer.ln_f
            self.head = _linear(weight * norm.weight, weight @ norm.bias)

    def forward(self, x: Tensor, hidden: Tensor | None, pick: Tensor | None) -> Tensor:
        """The residual stream [1, T, D] and `Hints` → logits [1, T, V], or normed tokens [1, T or 1, D]."""
        for layer in self.layers:
            x = layer(x, Hints(hidden, pick))
        return self.head(self.norm(x))


class NpuProgram(nn.Module):
    """(input_ids, attention_mask) int64 [1, T] → logits, of a model that `fold` has changed."""

    def __init__(self, model: NoiseFormer, length: int) -> None:
        super().__init__()
        asked, config = asked_of(model), model.config
        picks = asked == "last"
        self.lookup = Lookup(model.transformer, length, hides=picks or not config.causal, picks=picks)
        self.body: nn.Module = Body(model, length, asked)
        self.answer = Answer(model, asked) if isinstance(model, SequenceClassifier) else None

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        answered = self.body(*self.lookup(input_ids, attention_mask))
        return answered if self.answer is None else self.answer(answered, attention_mask)


def network_weights(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a program by the names of the network's modules; without those of noise and of a head, which
    are made of several tensors, and of the means, which are no weights."""
    found = {name: weight for name, weight in weights.items() if not name.startswith("body.")}
    for number in range(len(weights)):
        parts = [weights.get(f"body.layers.{number}.attn.{part}") for part in "qkv"]
        rows = [part for part in parts if part is not None]
        if not rows:
            break
        names = {f"attn.{'c_kv' if parts[0] is None else 'c_attn'}": torch.cat(rows)}
        names |= {network: weights[f"body.layers.{number}.{own}"] for own, network in NETWORK_NAMES.items()}
        found |= {f"transformer.h.{number}.{name}": weight for name, weight in names.items()}
    return found


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    out, inputs = weight.shape
    linear = nn.Linear(inputs, out, bias=bias is not None)
    linear.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
    if bias is not None:
        linear.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
    return linear


def _noise(attention: Attention) -> nn.Module | None:
    """What is added to the query, [1, T, H·d] → the same: of all heads in one product, or two."""
    noise = attention.noise
    if isinstance(noise, LowRankNoise):
        down = _linear(torch.block_diag(*noise.a.transpose(1, 2)), None)
        return nn.Sequential(down, _linear(torch.block_diag(*noise.b), None))
    if isinstance(noise, PairwiseNoise):
        return _linear(torch.block_diag(*noise.p.transpose(1, 2)), None)
    return None


def _score_bias(attention: Attention, low: int, high: int, keys: int, masked: bool) -> Tensor | None:
    """Relative noise and causal mask [1 or H, keys, queries] of the queries from `low` to `high`; None where
    there is neither."""
    queries = torch.arange(low, high)
    bias = attention.noise.score_bias(queries, keys)
    if masked:
        mask = torch.where(torch.arange(keys) <= queries[:, None], 0.0, HIDDEN)[None]
        bias = mask if bias is None else bias + mask
    return None if bias is None else bias.detach().transpose(1, 2).contiguous()
