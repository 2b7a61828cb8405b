"""The common result of all importers, and helpers for GPT-2 checkpoints of any origin."""

import os
import re
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import torch
from tokenizers import Tokenizer
from torch import Tensor

from nf_edge.core.errors import BadInput
from nf_edge.core.reading import LARGEST, open_regular

WTE, HEAD = "transformer.wte.weight", "lm_head.weight"


@dataclass
class ForeignCheckpoint:
    """A checkpoint of another code base, converted to nf-edge's names but not yet validated.

    Attributes:
        config: the content of nf-edge's `config.json`.
        tensors: weights as [out, in]; a head that equals the embedding is left out.
        where: the file that defines the model's shape, for messages.
        notes: remarks for the user on the conversion.
        problems: reasons why the checkpoint cannot be converted.
        vocabulary: number of tokens if the embedding has more rows than tokens; None if this is not known.
        tokenizer: the path of a `tokenizer.json` to copy, or a tokenizer built from several files.
    """

    config: dict[str, Any]
    tensors: dict[str, Tensor]
    where: Path
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    vocabulary: int | None = None
    tokenizer: Path | Tokenizer | None = None


def load_torch(path: Path) -> Any:
    """The content of a `torch.save` file with only tensors, numbers, texts, and containers of them.

    Raises:
        BadInput: the file is unreadable, cut short, or needs pickle, which could run any code.
    """
    with open_regular(path, LARGEST) as file:
        try:
            _check_zip(file)
            return torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # files of other kinds raise arbitrary exceptions
            needs = re.search(r"GLOBAL (\S+)", str(error))
            if needs is None:
                fix = "copy or download it again, or save it again with torch.save"
                raise BadInput("is not a complete PyTorch file", where=path, fix=fix) from error
            raise BadInput(
                f"contains a Python object ({needs[1]}). Only pickle can load it, and pickle can run "
                "arbitrary code",
                where=path,
                fix="if you trust the file, load it with torch.load(..., weights_only=False) and save only "
                "its tensors, numbers and text",
            ) from error


def _check_zip(file: BinaryIO) -> None:
    """Refuse a compressed archive, which `torch.save` never writes.

    Raises:
        ValueError: the archive's entries are larger than the file, so they could fill the memory.
    """
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > file.seek(0, os.SEEK_END):
            raise ValueError("the archive expands to more bytes than the file has")
    file.seek(0)


def is_dense(tensor: Tensor) -> bool:
    """Whether the file stores every value of a tensor.

    A tensor with a stride of 0 repeats few stored values, and could fill the memory.  A tensor on the device
    `meta` has no values.
    """
    if tensor.layout != torch.strided or tensor.device.type != "cpu":
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def is_causal_mask(name: str, tensor: Tensor) -> bool:
    """Whether a tensor is the buffer of the causal mask, [1, 1, P, P], or the constant score of hidden keys.

    The mask is named `attn.bias`; real biases have longer names, such as `attn.c_attn.bias`.
    """
    return name.endswith(".attn.masked_bias") or (name.endswith(".attn.bias") and tensor.dim() == 4)


def drop_tied_head(tensors: dict[str, Tensor]) -> bool:
    """Remove a head that equals the embedding; returns whether a different head remains."""
    if HEAD in tensors and WTE in tensors and torch.equal(tensors[HEAD], tensors[WTE]):
        del tensors[HEAD]
    return HEAD in tensors
