"""Read checkpoints of nanoGPT and of code bases derived from it: a `.pt` file with weights and shape.

nanoGPT's tensor names and layout are the same as nf-edge's.  Symmetric attention has its K and V rows in
`attn.c_kv`, and learned noise has nf-edge's names (`attn.noise.a` and so on).
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

# Shape: key in nanoGPT's model_args → key in nf-edge's config.
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
    """Read a nanoGPT `.pt` file and convert its names and shape to nf-edge's.

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
            "lm_head.weight differs from the embedding, so it stays a separate head; nanoGPT ties them"
        )
    if activation is None:
        foreign.notes.append(
            "the file does not record the activation; gelu (exact) is assumed, as in newer nanoGPT code. "
            "For a model of older nanoGPT code, give --activation gelu_new"
        )
    if arguments.get("bias") is False:
        added = _add_zero_biases(tensors)
        foreign.notes.append(f"the model has no biases (bias=False), so {added} biases of zeros are added")
    unknown = {key: value for key, value in arguments.items() if key not in SHAPE.keys() | UNUSED}
    if unknown:
        listed = ", ".join(f"{key}={quoted(value)}" for key, value in unknown.items())
        foreign.notes.append(
            f"these model_args are ignored: {listed}; check that the model does not need them"
        )
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
        what = f"must be the dict of a nanoGPT checkpoint, but contains a {type(document).__name__}"
        raise BadInput(what, where=path, fix="give a .pt file that nanoGPT saved, such as ckpt.pt")
    problems = [
        f"must have a dict {key!r} with names as keys, as nanoGPT saves it"
        for key in ("model", "model_args")
        if not isinstance(document.get(key), Mapping) or not all(isinstance(k, str) for k in document[key])
    ]
    if problems:
        fix = f"its keys are: {', '.join(map(str, document))[:200]}"
        raise BadInput.listing(problems, where=path, fix=fix)
    arguments = document["model_args"]
    wrong = [
        f"model_args must have a whole number {key!r}" for key in SHAPE if type(arguments.get(key)) is not int
    ]
    if wrong:
        raise BadInput.listing(wrong, where=path)
    return document["model"], arguments


def _tensors(weights: Mapping[str, Any], problems: list[str], notes: list[str]) -> dict[str, Tensor]:
    """Map GPT-2's tensor names to the weights; the buffers of causal masks are left out.

    Args:
        weights: the state dict of the file.
        problems: receives the reasons why the checkpoint cannot be converted.
        notes: receives a remark if a prefix is removed from all names.
    """
    tensors, names = {}, gpt2_names(weights, problems, notes)
    for key, value in weights.items():
        name = names[key]
        if not isinstance(value, Tensor) or not is_dense(value):
            problems.append(f"{key} must be a dense tensor")
        elif not is_causal_mask(name, value):
            tensors[name] = value.detach()
    return tensors


def _attention(names: Mapping[str, Tensor], problems: list[str]) -> str:
    """The kind of attention, `symmetric` or `standard`, from the names of the layers' projections.

    Args:
        problems: receives the reasons why the checkpoint cannot be converted.
    """
    layers: dict[str, list[int]] = {}
    for name in names:
        if match := re.fullmatch(r"transformer\.h\.(\d+)\.attn\.(c_kv|c_attn)\.weight", name):
            layers.setdefault(match[2], []).append(int(match[1]))
    if not layers:
        shown = ", ".join(list(names)[:3])
        problems.append(
            "is not a GPT-2 or a NoiseFormer, because it has neither attn.c_attn nor attn.c_kv weights "
            f"(its first tensors: {shown})"
        )
    if len(layers) > 1:
        listed = {kind: ", ".join(map(str, sorted(which))) for kind, which in layers.items()}
        problems.append(
            f"all layers must have one kind of attention, but layers {listed['c_attn']} have attn.c_attn "
            f"(standard) and layers {listed['c_kv']} attn.c_kv (symmetric)"
        )
    return "symmetric" if "c_kv" in layers else "standard"


def _noise(tensors: Mapping[str, Tensor], problems: list[str]) -> dict[str, Any]:
    """The kind and rank of the noise, from the tensors' names and shapes.

    Args:
        problems: receives the reasons why the checkpoint cannot be converted.
    """
    kinds, ranks = set(), set()
    for name, tensor in tensors.items():
        if match := re.fullmatch(r"transformer\.h\.\d+\.attn\.noise\.(a|b|p|bias)", name):
            kinds.add(NOISE_KINDS[match[1]])
            ranks.add(tensor.shape[-1] if tensor.dim() else 0)
    if len(kinds) > 1:
        problems.append(f"all layers must have one kind of noise, but it has {' and '.join(sorted(kinds))}")
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
