"""Write a checkpoint with a given shape and random weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from nf_edge.core.errors import BadInput
from nf_edge.core.presets import DEFAULT_RANK, PRESETS
from nf_edge.core.progress import Progress, silent
from nf_edge.model.checkpoint_writer import check_place, save_checkpoint
from nf_edge.model.config import CLASSIFIER, LANGUAGE_MODEL, ModelConfig
from nf_edge.model.config_file import parse_config
from nf_edge.model.init import init_tensors
from nf_edge.model.tokenizer import END_OF_TEXT, read_tokenizer, vocabulary_size
from nf_edge.model.written import WrittenCheckpoint


def write_random(
    out: Path,
    preset: str,
    shape: Mapping[str, Any],
    *,
    seed: int,
    dtype: str,
    tokenizer_file: Path | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> WrittenCheckpoint:
    """Write a checkpoint with random weights and the shape of a preset, which `shape` changes.

    Args:
        preset: a key of `PRESETS`.
        seed: seed of the random weights, at least 0.
        dtype: the dtype of the written weights, such as `float32`.
        tokenizer_file: a `tokenizer.json` to copy; None: the checkpoint gets no tokenizer.
        shape: maps keys of config.json to values that replace the preset's; None: the preset's value stays.
            `num_labels` makes a classifier.  `noise` is the kind of noise; `rank` is allowed only with
            low-rank noise.

    Raises:
        BadInput: the shape is not valid for a NoiseFormer or too large for this machine, the tokenizer has
            more tokens than `vocab_size`, or `out` cannot be written.
    """
    check_place(out, overwrite=overwrite, sources=[tokenizer_file] if tokenizer_file else [])
    config = _config_of(preset, shape, tokenizer_file)
    progress("drawing the weights", 0, 1)
    tensors = init_tensors(config, seed)
    progress("writing the checkpoint", 0, 1)
    save_checkpoint(
        out,
        config,
        tensors,
        dtype=getattr(torch, dtype),
        tokenizer_file=tokenizer_file,
        overwrite=overwrite,
    )
    return WrittenCheckpoint.load(out)


def _config_of(preset: str, shape: Mapping[str, Any], tokenizer_file: Path | None) -> ModelConfig:
    settings = {key: value for key, value in shape.items() if value is not None}
    noise, rank = settings.pop("noise"), settings.pop("rank", DEFAULT_RANK)
    document = {
        **PRESETS[preset],
        **(_tokenizer_keys(tokenizer_file, settings.get("vocab_size")) if tokenizer_file else {}),
        **settings,
        "architectures": [CLASSIFIER if "num_labels" in settings else LANGUAGE_MODEL],
        "noise": {"kind": noise, "rank": rank if noise == "lowrank" else None},
    }
    return parse_config(document, "the requested shape")


def _tokenizer_keys(path: Path, vocab_size: int | None) -> dict[str, int]:
    """The config keys that a tokenizer sets: `vocab_size`, and `eos_token_id` if it has an end-of-text token.

    Args:
        vocab_size: the size that the user requests, or None.

    Raises:
        BadInput: `vocab_size` is smaller than the tokenizer's vocabulary.
    """
    tokenizer = read_tokenizer(path)
    tokens, end = vocabulary_size(tokenizer), tokenizer.token_to_id(END_OF_TEXT)
    if vocab_size is not None and vocab_size < tokens:
        what = f"the tokenizer has {tokens} tokens, more than --vocab-size {vocab_size}"
        raise BadInput(what, where=path, fix=f"give --vocab-size {tokens} or more, or leave it out")
    return {"vocab_size": tokens} | ({} if end is None else {"eos_token_id": end})
