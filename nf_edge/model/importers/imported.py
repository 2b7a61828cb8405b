"""From a checkpoint of another code base to one that is known to be whole and ours."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from nf_edge.core.errors import BadInput
from nf_edge.core.staging import scratch_folder
from nf_edge.model.checkpoint import TOKENIZER, mismatches, save_checkpoint
from nf_edge.model.config import ModelConfig, parse_config
from nf_edge.model.importers import huggingface, nanogpt
from nf_edge.model.importers.foreign import HEAD, WTE, Foreign
from nf_edge.model.tokenizer import END_OF_TEXT, read_tokenizer, vocabulary_size


@dataclass(frozen=True)
class Imported:
    """A converted checkpoint that is not on disk yet.

    Attributes:
        tensors: exactly those of `config.tensor_shapes()`, and `noise.log_sigma` where there was one, in
            the dtypes of the source.
        notes: what was assumed, dropped or added on the way.
        tokenizer: a `tokenizer.json` to copy, or one to write.
    """

    config: ModelConfig
    tensors: Mapping[str, Tensor]
    notes: tuple[str, ...]
    tokenizer: Path | Tokenizer | None

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of all tensors, or float32 where they differ."""
        dtypes = {tensor.dtype for tensor in self.tensors.values()}
        return dtypes.pop() if len(dtypes) == 1 else torch.float32

    def save(self, path: Path, *, dtype: torch.dtype | None = None, overwrite: bool = False) -> None:
        """Write a checkpoint folder, in `dtype` (None: the source's), whole or not at all.

        Raises:
            BadInput: `path` exists and may not be replaced, or a value does not fit `dtype`.
        """
        with scratch_folder() as scratch:
            tokenizer = self.tokenizer
            if isinstance(tokenizer, Tokenizer):
                written = scratch / TOKENIZER
                tokenizer.save(str(written))
                tokenizer = written
            save_checkpoint(
                path,
                self.config,
                self.tensors,
                dtype=dtype or self.dtype,
                tokenizer_file=tokenizer,
                overwrite=overwrite,
            )


def import_checkpoint(
    source: Path,
    *,
    vocab_size: int | None = None,
    tokenizer_file: Path | None = None,
    activation: str | None = None,
) -> Imported:
    """Read a nanoGPT `.pt` file or a Hugging Face GPT-2 folder.

    Args:
        vocab_size: number of tokens; the rows of the embedding past it are padding and are dropped.
            None: as many as `tokenizer_file` has, else GPT-2's 50257 where nanoGPT padded them to
            50304, else all rows.
        tokenizer_file: a `tokenizer.json`; None: a folder's own, if it has one.
        activation: of a nanoGPT model, whose file does not say it; None: exact GELU.

    Raises:
        BadInput: with every reason why `source` cannot be a NoiseFormer checkpoint.
    """
    foreign = _read(source, activation, own_tokenizer=tokenizer_file is None)
    if tokenizer_file is not None:
        foreign.tokenizer = tokenizer_file
    tokenizer = foreign.tokenizer
    if isinstance(tokenizer, Path):
        tokenizer = read_tokenizer(tokenizer)
    if vocab_size is None and tokenizer is not None and tokenizer_file is not None:
        vocab_size = vocabulary_size(tokenizer)
    _cut_vocabulary(foreign, vocab_size)
    _heed_tokenizer(foreign, tokenizer)
    config = parse_config(foreign.config, foreign.where, foreign.problems)
    problems = mismatches(config, foreign.tensors)
    if problems:
        raise BadInput.listing(problems, where=source)
    return Imported(config, foreign.tensors, tuple(foreign.notes), foreign.tokenizer)


def _read(source: Path, activation: str | None, *, own_tokenizer: bool) -> Foreign:
    if not source.is_dir():
        return nanogpt.read(source, activation)
    if activation is not None:
        raise BadInput("says its activation in config.json", where=source, fix="leave --activation out")
    return huggingface.read(source, own_tokenizer=own_tokenizer)


def _cut_vocabulary(foreign: Foreign, asked: int | None) -> None:
    """Drop the rows that only pad the embedding, and the head if it is another tensor."""
    rows = foreign.config.get("vocab_size")
    wanted = asked or foreign.vocabulary or rows
    if not isinstance(rows, int) or not isinstance(wanted, int) or wanted == rows:
        return
    if wanted > rows:
        foreign.problems.append(f"a vocabulary of {wanted} is asked for, but the model has one of {rows}")
        return
    for name in (WTE, HEAD):
        if name in foreign.tensors and len(foreign.tensors[name]) == rows:
            foreign.tensors[name] = foreign.tensors[name][:wanted]
    foreign.config["vocab_size"] = wanted
    foreign.notes.append(
        f"vocabulary: rows {wanted} to {rows - 1} are taken for padding and dropped "
        f"(--vocab-size {rows} keeps them)"
    )


def _heed_tokenizer(foreign: Foreign, tokenizer: Tokenizer | None) -> None:
    """Say where tokenizer and vocabulary differ, and take over where a text ends."""
    if tokenizer is None:
        foreign.notes.append("no tokenizer: give --tokenizer to put a tokenizer.json beside the weights")
        return
    vocabulary, tokens = foreign.config.get("vocab_size"), vocabulary_size(tokenizer)
    if isinstance(vocabulary, int) and tokens > vocabulary and not foreign.problems:
        foreign.problems.append(
            f"the tokenizer has {tokens} tokens, the model {vocabulary}: it has no row for the ids from "
            f"{vocabulary} on; resize it where it was trained (in transformers, "
            "model.resize_token_embeddings(len(tokenizer))), or leave those tokens out"
        )
    elif tokens != vocabulary:
        foreign.notes.append(f"the tokenizer has {tokens} tokens, the model {vocabulary}")
    end = tokenizer.token_to_id(END_OF_TEXT)
    if (
        end is not None
        and isinstance(vocabulary, int)
        and end < vocabulary
        and "eos_token_id" not in foreign.config
    ):
        foreign.config["eos_token_id"] = end
        foreign.notes.append(f"eos_token_id is {end}, the tokenizer's {END_OF_TEXT}: the model names none")
