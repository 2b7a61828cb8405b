"""Parts of static-shape programs, which take one row of fixed length and compute layers in int8 or int16.

The tables before the body, and a classifier's scores after it, are float32.  The values that hide padding are
inputs of the body, because it has no token ids to compute them from.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nf_edge.backends.static_shape.output_tokens import output_tokens_of
from nf_edge.backends.static_shape.pooling import last_of
from nf_edge.backends.static_shape.spec import query_blocks
from nf_edge.model import CausalLM, NoiseFormer
from nf_edge.model.attention import Attention
from nf_edge.model.attention_forms import HIDDEN_QUANTIZED, OutputTokens
from nf_edge.model.network import SequenceClassifier, Transformer, masks, real_mean
from nf_edge.model.noise import LowRankNoise, PairwiseNoise

# Map a linear layer's name in the program to its name in the network.  Q, K and V are missing, because they
# are one layer in the network.
NETWORK_NAMES = {"attn.c_proj": "attn.c_proj", "c_fc": "mlp.c_fc", "c_proj": "mlp.c_proj"}


@dataclass(frozen=True)
class Hints:
    """Inputs of the body that describe a row's padding.

    Attributes:
        hidden: [1, T, 1], `HIDDEN_QUANTIZED` at padded keys and 0 at real keys; None if no query attends to
            padding.
        pick: [1, 1, T], 1 at the last token that attention sees, else 0.  None unless this token is the only
            output.
    """

    hidden: Tensor | None
    pick: Tensor | None


class SelectToken(nn.Module):
    """Select the output tokens: [1, T, D] → [1, T or 1, D]."""

    def __init__(self, output_tokens: OutputTokens) -> None:
        super().__init__()
        self.output_tokens = output_tokens

    def forward(self, x: Tensor, hints: Hints) -> Tensor:
        if self.output_tokens == "all":
            return x
        return x[:, :1] if hints.pick is None else torch.bmm(hints.pick, x)


def selects_token(node: torch.fx.Node) -> bool:
    """Whether a node of a captured program is part of a `SelectToken` or a subclass."""
    kinds: list[type] = [SelectToken, *SelectToken.__subclasses__()]
    names = {_qualified_name(kind) for kind in kinds}
    stack = node.meta.get("nn_module_stack", {})
    return any(_qualified_name(kind) in names for _, kind in stack.values())


def _qualified_name(kind: type | str) -> str:
    """The qualified name of a module's class.

    `torch.export` records the class itself; in a copy of the program, the record is the qualified name.
    """
    return kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}"


class Lookup(nn.Module):
    """The part of a program before the body: it looks up embeddings, and computes the `Hints`."""

    positions: Tensor

    def __init__(self, transformer: Transformer, length: int, hides: bool, picks: bool) -> None:
        super().__init__()
        self.transformer, self.hides, self.picks = transformer, hides, picks
        self.register_buffer("positions", torch.arange(length))

    def forward(self, input_ids: Tensor, visible: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Compute the embeddings [1, T, D], and the `Hints` `hidden` and `pick`."""
        x = self.transformer.wte(input_ids) + self.transformer.wpe(self.positions)
        hidden = ((1 - visible.float()) * HIDDEN_QUANTIZED)[:, :, None] if self.hides else None
        return x, hidden, last_of(visible)[:, None, :] if self.picks else None


class Answer(nn.Module):
    """The part of a program after the body: it computes a classifier's logits from normalized tokens.

    Args:
        output_tokens: the tokens that the body returns.
        affine: the last norm's scale and bias; an identity if the body already applied them.
    """

    def __init__(self, model: SequenceClassifier, output_tokens: OutputTokens, affine: nn.Module) -> None:
        super().__init__()
        self.pooled = model.config.pooled_token if output_tokens == "all" else "first"
        self.affine, self.score = affine, model.score

    def forward(self, h: Tensor, pooled: Tensor) -> Tensor:
        """Compute logits [1, num_labels] from tokens [1, T or 1, D] and the mask of tokens that may
        be pooled.
        """
        if self.pooled == "mean":
            token = real_mean(h, pooled)
        elif self.pooled == "first":
            token = h[:, 0]
        else:
            token = (h * last_of(pooled)[:, :, None]).sum(dim=1)
        return self.score(self.affine(token))


class StaticShapeProgram(nn.Module):
    """The program: (input_ids, attention_mask), int64 [1, T] each → logits.

    Args:
        body: maps embeddings and `Hints` to logits [1, T, V] of a language model, or to normalized output
            tokens [1, T or 1, D].
        affine: the last norm's scale and bias, which a classifier applies to pooled tokens.  An identity if
            the body already applied them.
    """

    def __init__(self, model: NoiseFormer, length: int, body: nn.Module, affine: nn.Module) -> None:
        super().__init__()
        output_tokens = output_tokens_of(model.config)
        picks = output_tokens == "last"
        self.lookup = Lookup(model.transformer, length, hides=picks or not model.config.causal, picks=picks)
        self.config, self.body = model.config, body
        self.answer = None if isinstance(model, CausalLM) else Answer(model, output_tokens, affine)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        visible, pooled = masks(self.config, input_ids, attention_mask, self.lookup.positions)
        answered: Tensor = self.body(*self.lookup(input_ids, visible))
        return answered if self.answer is None else self.answer(answered, pooled)


def projections(attention: Attention) -> list[tuple[Tensor, Tensor]]:
    """Pairs of weight [H·d, D] and bias [H·d]: for K and V, or for Q, K and V if Q has its own projection."""
    width = attention.heads * attention.head_size
    joint = attention.projection
    return list(zip(joint.weight.split(width), joint.bias.split(width), strict=True))


def noise_weights(attention: Attention) -> list[Tensor]:
    """Weights [out, in] of linear layers over all heads, which add noise to the query [T, H·d].

    They are block-diagonal: two consecutive layers for low-rank noise, one for pairwise noise, none for other
    noise.
    """
    noise = attention.noise
    if isinstance(noise, LowRankNoise):
        return [torch.block_diag(*noise.a.transpose(1, 2)), torch.block_diag(*noise.b)]
    if isinstance(noise, PairwiseNoise):
        return [torch.block_diag(*noise.p.transpose(1, 2))]
    return []


def score_bias(attention: Attention, low: int, high: int, keys: int, masked: bool) -> Tensor | None:
    """The sum of relative noise and causal mask, [1 or H, high − low, keys], for queries `low` to `high` − 1.

    None if there is neither noise nor mask.
    """
    queries = torch.arange(low, high)
    bias = attention.noise.score_bias(queries, keys)
    if masked:
        mask = torch.where(torch.arange(keys) <= queries[:, None], 0.0, HIDDEN_QUANTIZED)[None]
        bias = mask if bias is None else bias + mask
    return None if bias is None else bias.detach()


class StaticShapeAttention(nn.Module):
    """The common parts of attention over one row of fixed length.

    Args:
        output_tokens: the tokens that the layer computes outputs for.
        rows: number of queries in each block of a causal layer, which computes its attention block by block.
        linear: a function that makes a layer from a weight [out, in] and a bias.
    """

    def __init__(
        self,
        attention: Attention,
        length: int,
        causal: bool,
        output_tokens: OutputTokens,
        rows: int,
        linear: Callable[[Tensor, Tensor | None], nn.Module],
    ) -> None:
        super().__init__()
        self.heads, self.head_size, self.pick = (
            attention.heads,
            attention.head_size,
            SelectToken(output_tokens),
        )
        self.length = length
        *query, k, v = projections(attention)
        self.k, self.v = linear(*k), linear(*v)
        self.q = linear(*query[0]) if query else None
        noise = [linear(weight, None) for weight in noise_weights(attention)]
        self.noise = nn.Sequential(*noise) if noise else None
        # In a causal model the last token attends to all keys except padding; other tokens to no later keys.
        masked = causal and output_tokens == "all"
        self.sees_padding = not masked
        self.blocks = query_blocks(length if output_tokens == "all" else 1, rows if masked else None)
        for low, high in self.blocks:
            bias = score_bias(attention, low, high, high if masked else length, masked)
            self.register_buffer(f"bias_{low}", None if bias is None else self.bias_layout(bias))

    def bias_layout(self, bias: Tensor) -> Tensor:
        """The bias [1 or H, queries, keys] in the layout of the backend's attention scores.

        This class returns the bias unchanged; a subclass may transpose it.
        """
        return bias


def network_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a program's quantized weights to the names of the network's modules.

    Weights of noise, of the head and of modules that the network does not have are dropped.
    """
    renamed = {name: weight for name, weight in weights.items() if not name.startswith("body.")}
    for number in range(len(weights)):
        parts = [weights.get(f"body.layers.{number}.attn.{part}") for part in "qkv"]
        rows = [part for part in parts if part is not None]
        if not rows:
            break
        names = {f"attn.{'c_kv' if parts[0] is None else 'c_attn'}": torch.cat(rows)}
        names |= {network: weights[f"body.layers.{number}.{part}"] for part, network in NETWORK_NAMES.items()}
        renamed |= {f"transformer.h.{number}.{name}": weight for name, weight in names.items()}
    return renamed
