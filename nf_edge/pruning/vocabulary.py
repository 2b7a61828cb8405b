"""Remove tokens that the data does not use from the embedding table, the head and the tokenizer.

A byte-level BPE builds a token by merging two others, so a kept token keeps those two as well.  All 256 bytes
stay, so every text can still be encoded.  If all tokens of a text stay, its encoding does not change.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from tokenizers import pre_tokenizers
from torch import Tensor

from nf_edge.core import strict_json
from nf_edge.core.errors import BadInput
from nf_edge.core.reading import read_json_object
from nf_edge.model import ModelConfig
from nf_edge.model.tokenizer import MOST_BYTES


def tokens_to_keep(
    tokenizer_file: Path, config: ModelConfig, counts: Mapping[int, int], least: int
) -> list[int]:
    """The ids to keep, ascending.

    Args:
        counts: how often each id occurs in the data.
        least: ids that occur at least this often stay.  The tokens that they are merged from, the bytes and
            the special tokens stay too.

    Raises:
        BadInput: the tokenizer is not a byte-level BPE, or has tokens without a row in the model's table.
    """
    document = _read_bpe(tokenizer_file)
    vocab: dict[str, int] = document["model"]["vocab"]
    if max(vocab.values(), default=0) >= config.vocab_size:
        raise BadInput(
            f"has ids up to {max(vocab.values())}, but the model has embeddings for only {config.vocab_size} "
            "tokens",
            where=tokenizer_file,
            fix="use the tokenizer that the model was trained with",
        )
    parents: dict[int, list[int]] = {}
    for left, right in map(_pair, document["model"]["merges"]):
        parents.setdefault(vocab[left + right], []).extend((vocab[left], vocab[right]))
    waiting = [vocab[byte] for byte in pre_tokenizers.ByteLevel.alphabet() if byte in vocab]
    waiting += [token["id"] for token in document.get("added_tokens", ())]
    waiting += _processor_ids(document.get("post_processor") or {})
    waiting += [token for tokens in config.special_tokens.values() for token in tokens]
    waiting += [token for token, count in counts.items() if count >= least]
    kept: set[int] = set()
    while waiting:
        token = waiting.pop()
        if token not in kept:
            kept.add(token)
            waiting += parents.get(token, ())
    return sorted(kept)


def drop_tokens(
    config: ModelConfig, tensors: Mapping[str, Tensor], kept: list[int]
) -> tuple[ModelConfig, dict[str, Tensor]]:
    """Config and tensors with only the kept rows; new row i is the row of the old id kept[i]."""
    result, rows = dict(tensors), torch.tensor(kept)
    for name in ("transformer.wte.weight", "lm_head.weight"):
        if name in tensors:
            result[name] = tensors[name].index_select(0, rows)
    new = {old: i for i, old in enumerate(kept)}
    changes: dict[str, Any] = {"vocab_size": len(kept)}
    for key in config.special_tokens:
        old = getattr(config, key)
        if old is not None:
            changes[key] = [new[token] for token in old] if isinstance(old, tuple) else new[old]
    return ModelConfig.model_validate({**config.model_dump(), **changes}), result


def smaller_tokenizer(tokenizer_file: Path, kept: list[int]) -> str:
    """The content of a `tokenizer.json` with the kept tokens, renumbered from 0."""
    document, new = _read_bpe(tokenizer_file), {old: i for i, old in enumerate(kept)}
    model = document["model"]
    vocab = {token: new[old] for token, old in model["vocab"].items() if old in new}
    model["merges"] = [
        merge
        for merge in model["merges"]
        if all(part in vocab for part in (*_pair(merge), "".join(_pair(merge))))
    ]
    model["vocab"] = vocab
    for token in document.get("added_tokens", ()):
        token["id"] = new[token["id"]]
    _renumber(document.get("post_processor") or {}, new)
    return strict_json.dumps(document, ascii_only=False, indent=None)


def _renumber(processor: dict[str, Any], new: Mapping[int, int]) -> None:
    """Replace the ids of special tokens in a post-processor of any kind by the new ids."""
    for part in processor.get("processors", ()):
        _renumber(part, new)
    for token in (processor.get("special_tokens") or {}).values():
        token["ids"] = [new[old] for old in token["ids"]]
    for end in ("sep", "cls"):
        if end in processor:
            token, old = processor[end]
            processor[end] = [token, new[old]]


def count_reencoded(
    before: Iterable[tuple[int, ...]], after: Iterable[tuple[int, ...]], kept: list[int]
) -> int:
    """The number of rows that the smaller tokenizer encodes differently.

    Args:
        before: the rows in the original's ids.
        after: the same rows in the new ids.
        kept: the original id of each new id.
    """
    return sum(old != tuple(kept[i] for i in new) for old, new in zip(before, after, strict=True))


def count_tokens(rows: Iterable[Iterable[int]]) -> Counter[int]:
    """Map each id that occurs in the rows to its number of occurrences."""
    counts: Counter[int] = Counter()
    for row in rows:
        counts.update(row)
    return counts


def _read_bpe(path: Path) -> dict[str, Any]:
    document = read_json_object(path, MOST_BYTES)
    if problem := _bpe_problem(document.get("model") or {}):
        raise BadInput(problem, where=path, fix="remove prune.vocabulary from the recipe")
    return document


def _bpe_problem(model: dict[str, Any]) -> str:
    """The reason why prune.vocabulary does not support a tokenizer's model; "" if it does."""
    if model.get("type") != "BPE":
        return f"has a model of type {model.get('type')}, but prune.vocabulary supports only byte-level BPE"
    if not isinstance(model.get("merges"), list):
        return "is a BPE without a list of merges, which prune.vocabulary needs"
    # With a prefix, a merged token is not the concatenation of its two parts.
    if prefix := model.get("continuing_subword_prefix"):
        return f"is a BPE with continuing_subword_prefix {prefix!r}, which prune.vocabulary does not support"
    return ""


def _processor_ids(processor: dict[str, Any]) -> list[int]:
    """The token ids that a tokenizer's post-processor adds around a text."""
    ids = [index for part in processor.get("processors", ()) for index in _processor_ids(part)]
    ids += [index for token in (processor.get("special_tokens") or {}).values() for index in token["ids"]]
    return ids + [processor[end][1] for end in ("sep", "cls") if end in processor]


def _pair(merge: str | list[str]) -> tuple[str, str]:
    """The two parts of a merge: older files write `"a b"`, newer ones `["a", "b"]`."""
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left, right
