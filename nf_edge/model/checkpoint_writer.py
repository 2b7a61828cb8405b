"""Write checkpoint folders."""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from nf_edge.core import strict_json
from nf_edge.core.errors import BadInput
from nf_edge.core.files import staged_folder
from nf_edge.core.output_checks import FolderKind, check_target
from nf_edge.core.reading import read_json_object
from nf_edge.model.checkpoint import mismatches
from nf_edge.model.checkpoint_outline import CARD, CONFIG, EXAMPLES, PROVENANCE, TOKENIZER, WEIGHTS
from nf_edge.model.config import ModelConfig
from nf_edge.model.tokenizer import write_tokenizer


def is_checkpoint(path: Path) -> bool:
    """Whether a folder has a NoiseFormer's config.json.  Its `model_type` decides, because other models also
    have a config.json.
    """
    try:
        return read_json_object(path / CONFIG).get("model_type") == "noiseformer"
    except BadInput:
        return False


def _file_names(path: Path) -> set[str]:
    return {CONFIG, WEIGHTS, TOKENIZER, EXAMPLES, CARD, PROVENANCE}


KIND = FolderKind("a NoiseFormer", is_checkpoint, _file_names)


def check_place(
    path: Path, *, overwrite: bool, sources: Iterable[Path] = (), other_outputs: Iterable[Path] = ()
) -> None:
    """Check before a long job that `staged_checkpoint` can write the folder.

    Args:
        sources: files and folders that the job reads.  `path` is refused if it is or contains one of them.
        other_outputs: other paths that the job will write; each must be writable.

    Raises:
        BadInput: the folder exists and may not be replaced, or it cannot be written.
    """
    check_target(path, KIND, overwrite=overwrite, sources=sources, other_outputs=other_outputs)


@contextmanager
def staged_checkpoint(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """A new folder for a checkpoint, which replaces `path` when the block succeeds.

    Raises:
        BadInput: `path` exists and may not be replaced, or it cannot be written.
    """
    with staged_folder(path, KIND, overwrite=overwrite) as stage:
        yield stage


def save_checkpoint(
    path: Path,
    config: ModelConfig,
    tensors: Mapping[str, Tensor],
    *,
    dtype: torch.dtype = torch.float32,
    tokenizer_file: Path | None = None,
    overwrite: bool = False,
) -> None:
    """Write a checkpoint folder; an interruption leaves no partial folder.

    Args:
        tensors: maps the names in `ModelConfig.tensor_shapes` to tensors; a tied head is not written.
        dtype: the dtype of the written tensors.
        tokenizer_file: a `tokenizer.json` to copy; None: the checkpoint gets no tokenizer.

    Raises:
        BadInput: the tensors do not match the config, or `path` exists and may not be replaced.
    """
    with staged_checkpoint(path, overwrite=overwrite) as stage:
        write_checkpoint(stage, config, tensors, dtype=dtype, tokenizer_file=tokenizer_file, where=path)


def write_checkpoint(
    folder: Path,
    config: ModelConfig,
    tensors: Mapping[str, Tensor],
    *,
    dtype: torch.dtype,
    tokenizer_file: Path | None,
    where: Path,
) -> None:
    """Write the files of a checkpoint into an existing folder.

    Args:
        tensors: maps the names in `ModelConfig.tensor_shapes` to tensors; a tied head is not written.
        tokenizer_file: a `tokenizer.json` to copy.
        where: the path of the checkpoint in messages.

    Raises:
        BadInput: the tensors do not match the config.
    """
    kept = {name: tensor.detach().to(dtype).contiguous() for name, tensor in tensors.items()}
    if config.tie_word_embeddings:
        kept.pop("lm_head.weight", None)
    problems = mismatches(config, kept)
    if problems:
        fix = (
            "write the weights as float32: float16 values above 65504 become Inf"
            if dtype == torch.float16
            else None
        )
        raise BadInput.listing(problems, where=where, fix=fix)
    document = strict_json.dumps(config.to_json())
    (folder / CONFIG).write_text(document + "\n", encoding="utf-8")
    save_file(kept, folder / WEIGHTS, metadata={"format": "pt"})
    # safetensors creates files that only their owner can read.
    shutil.copymode(folder / CONFIG, folder / WEIGHTS)
    if tokenizer_file is not None:
        write_tokenizer(tokenizer_file, folder / TOKENIZER)
