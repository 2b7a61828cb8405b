"""Read checkpoints of nanoGPT and of code bases derived from it: a `.pt` file with weights and shape.

Tensor names and layout are those of nf-edge.  Symmetric attention has its K and V rows in `attn.c_kv`, and
learned noise has nf-edge's names (`attn.noise.a` and so on).
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nf_edge.core.errors import BadInput, quoted
from nf_edge.model.config import LANGUAGE_MODEL
from nf_edge.model.importers.foreign import (
    HEAD,
    ForeignCheckpoint,
    drop_tied_head,
    is_causal_mask,
    is_dense,
    load_torch,
)
from nf_edge.model.importers.names import gpt2_names

# Keys of the shape: nanoGPT's model_args → nf-edge's config.
SHAPE = {
    "n_layer": "n_layer",
    "n_head": "n_head",
    "n_embd": "n_embd",
    "block_size": "n_positions",
    "vocab_size": "vocab_size",
}
UNUSED = {"bias", "dropout"}
# The size of GPT-2's vocabulary, and the size that nanoGPT pads it to (a multiple of 64).
GPT2_VOCABULARY, GPT2_PADDED = 50257, 50304

WITHOUT_BIAS = {"transformer.wte", "transformer.wpe", "lm_head"}
NOISE_KINDS = {"a": "lowrank", "b": "lowrank", "p": "pairwise", "bias": "relative"}


def read(path: Path, activation: str | None) -> ForeignCheckpoint:
    """Read a `.pt` file.

    Args:
        activation: the activation of the MLPs, which the file does not record; None: exact GELU, as in
            nanoGPT's newer code (its older code used `gelu_new`).

    Raises:
        BadInput: the file is not a nanoGPT checkpoint.
    """
    weights, arguments = _parts(path)
    problems: list[str] = []
    notes: list[str] = []
    tensors = _tensors(weights, problems, notes)
    config = {
        "architectures": [LANGUAGE_MODEL],
        **{ours: arguments[theirs] for theirs, ours in SHAPE.items()},
        "activation_function": activation or "gelu",
        "attention": _attention(tensors, problems),
        "noise": _noise(tensors, problems),
        "tie_word_embeddings": not drop_tied_head(tensors),
    }
    foreign = ForeignCheckpoint(config, tensors, path, notes, problems)
    if HEAD in tensors:
        foreign.notes.append(
            "lm_head.weight differs from the embedding: it stays a separate head, although nanoGPT ties both"
        )
    if activation is None:
        foreign.notes.append(
            "activation: gelu (exact) is assumed, as in nanoGPT's newer code; "
            "for a model of its older code give --activation gelu_new"
        )
    if arguments.get("bias") is False:
        added = _add_zero_biases(tensors)
        foreign.notes.append(f"bias=False: {added} biases are written as zeros")
    unknown = {key: value for key, value in arguments.items() if key not in SHAPE.keys() | UNUSED}
    if unknown:
        listed = ", ".join(f"{key}={quoted(value)}" for key, value in unknown.items())
        foreign.notes.append(f"model_args not read: {listed}; check that the model does not need them")
    if config["vocab_size"] == GPT2_PADDED:
        foreign.vocabulary = GPT2_VOCABULARY
    return foreign


def _parts(path: Path) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The state dict and the model_args of a file.

    Raises:
        BadInput: the file does not contain them.
    """
    document = load_torch(path)
    if not isinstance(document, Mapping):
        raise BadInput(f"holds a {type(document).__name__}, not a nanoGPT checkpoint", where=path)
    problems = [
        f"has no {key!r} with names as keys, which nanoGPT saves"
        for key in ("model", "model_args")
        if not isinstance(document.get(key), Mapping) or not all(isinstance(k, str) for k in document[key])
    ]
    if problems:
        raise BadInput.listing(problems, where=path, fix=f"it has: {', '.join(map(str, document))[:200]}")
    arguments = document["model_args"]
    wrong = [
        f"model_args has no whole number {key!r}" for key in SHAPE if type(arguments.get(key)) is not int
    ]
    if wrong:
        raise BadInput.listing(wrong, where=path)
    return document["model"], arguments


def _tensors(weights: Mapping[str, Any], problems: list[str], notes: list[str]) -> dict[str, Tensor]:
    """The weights by GPT-2's names, without masks."""
    tensors, names = {}, gpt2_names(weights, problems, notes)
    for key, value in weights.items():
        name = names[key]
        if not isinstance(value, Tensor) or not is_dense(value):
            problems.append(f"{key} is not a dense tensor")
        elif not is_causal_mask(name, value):
            tensors[name] = value.detach()
    return tensors


def _attention(names: Mapping[str, Tensor], problems: list[str]) -> str:
    """`symmetric` or `standard`, by the names of the projections in the layers."""
    layers: dict[str, list[int]] = {}
    for name in names:
        if match := re.fullmatch(r"transformer\.h\.(\d+)\.attn\.(c_kv|c_attn)\.weight", name):
            layers.setdefault(match[2], []).append(int(match[1]))
    if not layers:
        shown = ", ".join(list(names)[:3])
        problems.append(
            "has neither attn.c_attn nor attn.c_kv weights: it is not a GPT-2 or a NoiseFormer "
            f"(its first names: {shown})"
        )
    if len(layers) > 1:
        listed = {kind: ", ".join(map(str, sorted(which))) for kind, which in layers.items()}
        problems.append(
            f"layers {listed['c_attn']} have attn.c_attn (standard) and layers {listed['c_kv']} "
            "attn.c_kv (symmetric), but a model has one kind of attention"
        )
    return "symmetric" if "c_kv" in layers else "standard"


def _noise(tensors: Mapping[str, Tensor], problems: list[str]) -> dict[str, Any]:
    """The kind and rank of the noise, from the tensors' names and shapes."""
    kinds, ranks = set(), set()
    for name, tensor in tensors.items():
        if match := re.fullmatch(r"transformer\.h\.\d+\.attn\.noise\.(a|b|p|bias)", name):
            kinds.add(NOISE_KINDS[match[1]])
            ranks.add(tensor.shape[-1] if tensor.dim() else 0)
    if len(kinds) > 1:
        problems.append(f"has noise of several kinds, {' and '.join(sorted(kinds))}, but a model has one")
    kind = min(kinds, default="none")
    return {"kind": kind, "rank": max(ranks)} if kind == "lowrank" else {"kind": kind}


def _add_zero_biases(tensors: dict[str, Tensor]) -> int:
    """Add zero biases to linear layers and LayerNorms without a bias; returns the number of added biases."""
    layers = {name.removesuffix(".weight") for name in tensors if name.endswith(".weight")} - WITHOUT_BIAS
    missing = [layer for layer in sorted(layers) if f"{layer}.bias" not in tensors]
    for layer in missing:
        weight = tensors[f"{layer}.weight"]
        tensors[f"{layer}.bias"] = torch.zeros(weight.shape[:1], dtype=weight.dtype)
    return len(missing)
