"""Convert a checkpoint of another code base to a valid NoiseFormer checkpoint."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from nf_edge.core.errors import BadInput
from nf_edge.core.staging import scratch_folder
from nf_edge.model.checkpoint import mismatches
from nf_edge.model.checkpoint_outline import TOKENIZER
from nf_edge.model.checkpoint_writer import save_checkpoint
from nf_edge.model.config import ModelConfig
from nf_edge.model.config_file import parse_config
from nf_edge.model.importers import huggingface, nanogpt
from nf_edge.model.importers.foreign import HEAD, WTE, ForeignCheckpoint
from nf_edge.model.tokenizer import END_OF_TEXT, read_tokenizer, vocabulary_size


@dataclass(frozen=True)
class Imported:
    """A converted checkpoint that is not yet on disk.

    Attributes:
        tensors: the tensors of `config.tensor_shapes()`, and `noise.log_sigma` if the source has it, in the
            dtypes of the source.
        notes: what the conversion assumed, dropped or added.
        tokenizer: a `tokenizer.json` to copy, or a tokenizer to write; None if there is none.
    """

    config: ModelConfig
    tensors: Mapping[str, Tensor]
    notes: tuple[str, ...]
    tokenizer: Path | Tokenizer | None

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of all tensors; float32 if they differ."""
        dtypes = {tensor.dtype for tensor in self.tensors.values()}
        return dtypes.pop() if len(dtypes) == 1 else torch.float32

    def save(self, path: Path, *, dtype: torch.dtype | None = None, overwrite: bool = False) -> None:
        """Write a checkpoint folder in `dtype` (None: the source's); an interruption leaves no partial
        folder.

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
        vocab_size: number of tokens; the embedding's other rows are padding and are dropped.  None: the size
            of `tokenizer_file`, otherwise 50257 if nanoGPT padded GPT-2's vocabulary to 50304, otherwise all
            rows.
        tokenizer_file: a `tokenizer.json`; None: the tokenizer of the folder, if it has one.
        activation: the activation of a nanoGPT model, whose file does not record it; None: exact GELU.

    Raises:
        BadInput: lists every reason why `source` cannot become a NoiseFormer checkpoint.
    """
    foreign = _read(source, activation, with_tokenizer=tokenizer_file is None)
    if tokenizer_file is not None:
        foreign.tokenizer = tokenizer_file
    tokenizer = foreign.tokenizer
    if isinstance(tokenizer, Path):
        tokenizer = read_tokenizer(tokenizer)
    if vocab_size is None and tokenizer is not None and tokenizer_file is not None:
        vocab_size = vocabulary_size(tokenizer)
    _cut_vocabulary(foreign, vocab_size)
    _match_tokenizer(foreign, tokenizer)
    config = parse_config(foreign.config, foreign.where, foreign.problems)
    problems = mismatches(config, foreign.tensors)
    if problems:
        fix = "correct the config or the weights, or save the model again"
        raise BadInput.listing(problems, where=source, fix=fix)
    return Imported(config, foreign.tensors, tuple(foreign.notes), foreign.tokenizer)


def _read(source: Path, activation: str | None, *, with_tokenizer: bool) -> ForeignCheckpoint:
    if not source.is_dir():
        return nanogpt.read(source, activation)
    if activation is not None:
        what = "config.json defines the activation, so --activation has no effect"
        raise BadInput(what, where=source, fix="remove --activation")
    return huggingface.read(source, with_tokenizer=with_tokenizer)


def _cut_vocabulary(foreign: ForeignCheckpoint, requested: int | None) -> None:
    """Drop the padding rows of the embedding and of a separate head.

    Args:
        requested: number of rows to keep; None: `foreign.vocabulary`, or all rows if that is unknown.
    """
    rows = foreign.config.get("vocab_size")
    size = requested or foreign.vocabulary or rows
    if not isinstance(rows, int) or not isinstance(size, int) or size == rows:
        return
    if size > rows:
        foreign.problems.append(
            f"vocabulary size {size} is more than the model's {rows} rows; give at most {rows}"
        )
        return
    for name in (WTE, HEAD):
        if name in foreign.tensors and len(foreign.tensors[name]) == rows:
            foreign.tensors[name] = foreign.tensors[name][:size]
    foreign.config["vocab_size"] = size
    foreign.notes.append(
        f"embedding rows {size} to {rows - 1} are dropped as padding of the vocabulary "
        f"(--vocab-size {rows} keeps them)"
    )


def _match_tokenizer(foreign: ForeignCheckpoint, tokenizer: Tokenizer | None) -> None:
    """Add notes and problems to `foreign` if tokenizer and vocabulary differ; set a missing eos_token_id."""
    if tokenizer is None:
        foreign.notes.append("there is no tokenizer; give --tokenizer to add a tokenizer.json")
        return
    vocabulary, tokens = foreign.config.get("vocab_size"), vocabulary_size(tokenizer)
    if isinstance(vocabulary, int) and tokens > vocabulary and not foreign.problems:
        foreign.problems.append(
            f"the tokenizer has {tokens} tokens, but the model has embeddings for only {vocabulary}; resize "
            "the model where it was trained (in transformers, "
            "model.resize_token_embeddings(len(tokenizer))), or remove the added tokens from the tokenizer"
        )
    elif tokens != vocabulary:
        foreign.notes.append(f"the tokenizer has {tokens} tokens, but the model has {vocabulary}")
    end = tokenizer.token_to_id(END_OF_TEXT)
    if (
        end is not None
        and isinstance(vocabulary, int)
        and end < vocabulary
        and "eos_token_id" not in foreign.config
    ):
        foreign.config["eos_token_id"] = end
        foreign.notes.append(
            f"the model has no eos_token_id, so it becomes {end}, the tokenizer's {END_OF_TEXT}"
        )
