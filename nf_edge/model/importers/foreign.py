"""What every importer hands over, and what GPT-2 checkpoints of all origins have in common."""

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
class Foreign:
    """A checkpoint as it was read, under our names; nothing is validated yet.

    Attributes:
        config: content for our `config.json`.
        tensors: weights as [out, in]; a head that is identical to the embedding is not among them.
        where: the file that says the shape, for messages.
        notes: what a user should know of the conversion.
        problems: why it cannot be converted.
        vocabulary: number of tokens where it is known to be less than the embedding's rows.
        tokenizer: a `tokenizer.json` to take as it is, or one that was put together.
    """

    config: dict[str, Any]
    tensors: dict[str, Tensor]
    where: Path
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    vocabulary: int | None = None
    tokenizer: Path | Tokenizer | None = None


def load_torch(path: Path) -> Any:
    """What a file of `torch.save` holds, as long as that is tensors, numbers, text, and lists of them.

    Raises:
        BadInput: unreadable, cut short, or it needs pickle, which could run any code.
    """
    with open_regular(path, LARGEST) as file:
        try:
            _check_zip(file)
            return torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # a file of another kind fails in as many ways as there are kinds
            needs = re.search(r"GLOBAL (\S+)", str(error))
            if needs is None:
                raise BadInput("is not a whole PyTorch file", where=path) from error
            raise BadInput(
                f"holds an object of {needs[1]}, which only pickle can load, and pickle can run any code",
                where=path,
                fix="load it where you trust it and save it again with its tensors, numbers and text alone",
            ) from error


def _check_zip(file: BinaryIO) -> None:
    """Refuse an archive whose entries have more bytes than the file: `torch.save` neither packs nor repeats.

    Raises:
        ValueError: a small file would fill the memory.
    """
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > file.seek(0, os.SEEK_END):
            raise ValueError("a zip bomb")
    file.seek(0)


def has_own_values(tensor: Tensor) -> bool:
    """Whether a tensor is dense and holds each of its values.

    One with a stride of 0, which a few bytes describe, would fill the memory; one of device `meta` has none.
    """
    if tensor.layout != torch.strided or tensor.device.type != "cpu":
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def is_causal_mask(name: str, tensor: Tensor) -> bool:
    """Whether this is a buffer of the causal mask, [1, 1, P, P], or the value that it hides with.

    Its name, `attn.bias`, is no longer than that of a real bias, `attn.c_attn.bias`.
    """
    return name.endswith(".attn.masked_bias") or (name.endswith(".attn.bias") and tensor.dim() == 4)


def drop_tied_head(tensors: dict[str, Tensor]) -> bool:
    """Remove a head that is the embedding once more; returns whether one is left that is not."""
    if HEAD in tensors and WTE in tensors and torch.equal(tensors[HEAD], tensors[WTE]):
        del tensors[HEAD]
    return HEAD in tensors
