"""GPT-2 in NumPy, to hold imported models against; nothing of it is nf_edge's."""

import math
from collections.abc import Callable

import numpy as np

Array = np.ndarray

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "gelu": np.vectorize(lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2),
    "gelu_new": lambda x: x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2,
    "relu": lambda x: np.maximum(x, 0),
}


def random_weights(seed=0, layers=2, width=12, vocabulary=23, positions=9) -> dict[str, Array]:
    """Float32 weights by Hugging Face's names and layout: linears are [in, out]."""
    rng = np.random.default_rng(seed)
    weights = {
        "transformer.wte.weight": rng.normal(0, 0.7, (vocabulary, width)),
        "transformer.wpe.weight": rng.normal(0, 0.3, (positions, width)),
    }

    def affine(name: str, *shape: int, mean: float = 0.0) -> None:
        weights[f"{name}.weight"] = rng.normal(mean, 0.3, shape)
        weights[f"{name}.bias"] = rng.normal(0, 0.2, shape[-1])

    for i in range(layers):
        block = f"transformer.h.{i}."
        affine(block + "ln_1", width, mean=1)
        affine(block + "attn.c_attn", width, 3 * width)
        affine(block + "attn.c_proj", width, width)
        affine(block + "ln_2", width, mean=1)
        affine(block + "mlp.c_fc", width, 4 * width)
        affine(block + "mlp.c_proj", 4 * width, width)
    affine("transformer.ln_f", width, mean=1)
    return {name: weight.astype(np.float32) for name, weight in weights.items()}


def hidden_states(weights: dict[str, Array], ids: Array, heads: int, activation: str) -> Array:
    """[T] ids → [T, D] after the last LayerNorm, in float64; a missing bias is zero."""
    w = {name: weight.astype(np.float64) for name, weight in weights.items()}

    def norm(x: Array, name: str) -> Array:
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5)
        return x * w[f"{name}.weight"] + w.get(f"{name}.bias", 0)

    def linear(x: Array, name: str) -> Array:
        return x @ w[f"{name}.weight"] + w.get(f"{name}.bias", 0)

    def attention(x: Array, name: str) -> Array:
        outputs = []
        parts = np.split(linear(x, f"{name}.c_attn"), 3, axis=1)
        for q, k, v in zip(*(np.split(part, heads, axis=1) for part in parts), strict=True):
            scores = np.exp(q @ k.T / np.sqrt(q.shape[1])) * np.tri(len(x))
            outputs.append(scores / scores.sum(1, keepdims=True) @ v)
        return linear(np.concatenate(outputs, axis=1), f"{name}.c_proj")

    x = w["transformer.wte.weight"][ids] + w["transformer.wpe.weight"][: len(ids)]
    layers = sum(name.endswith(".ln_1.weight") for name in w)
    for block in (f"transformer.h.{i}" for i in range(layers)):
        x = x + attention(norm(x, f"{block}.ln_1"), f"{block}.attn")
        inner = ACTIVATIONS[activation](linear(norm(x, f"{block}.ln_2"), f"{block}.mlp.c_fc"))
        x = x + linear(inner, f"{block}.mlp.c_proj")
    return norm(x, "transformer.ln_f")


def logits(weights: dict[str, Array], ids: Array, heads: int, activation: str) -> Array:
    """[T] ids → [T, V], by the head if there is one, else by the embedding."""
    head = weights.get("lm_head.weight", weights["transformer.wte.weight"])
    return hidden_states(weights, ids, heads, activation) @ head.T.astype(np.float64)
