"""Read safetensors files: https://github.com/huggingface/safetensors#format.

The library `safetensors` checks that the tensors fill the file without gaps.  This module first checks that
the file is regular, that its header is not too long, and that no tensor name is repeated.
"""

from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from nf_edge.core import strict_json
from nf_edge.core.errors import BadInput
from nf_edge.core.reading import LARGEST, MIB, open_regular

# Bytes of the field with the header's length, and of the longest header that is accepted.
PREFIX, MOST_HEADER = 8, 16 * MIB


@dataclass(frozen=True)
class SafetensorsFile:
    """The content of a file: tensors by name, in the dtypes on disk, and its metadata."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]


def read_safetensors_file(path: Path) -> SafetensorsFile:
    """Read the tensors and the metadata of a safetensors file.

    Raises:
        BadInput: the file is missing, cut short, not safetensors, or not a regular file.
    """
    _check_header(path)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return SafetensorsFile(tensors, file.metadata() or {})
    # Raised by the Rust library, by PyTorch's storages, and if the path is not UTF-8.
    except (SafetensorError, OSError, RuntimeError, ValueError, TypeError) as error:
        raise _damaged(path, str(error)) from error


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Every tensor of a safetensors file by name, in the dtypes on disk.

    Raises:
        BadInput: the file is missing, cut short, not safetensors, or not a regular file.
    """
    return read_safetensors_file(path).tensors


def _check_header(path: Path) -> None:
    with open_regular(path, LARGEST) as file:
        length = int.from_bytes(file.read(PREFIX), "little")
        if length > MOST_HEADER:
            raise _damaged(path, f"its header may have at most {MOST_HEADER:,} bytes, not {length:,}")
        content = file.read(length)
    if len(content) < max(length, 1):
        raise _damaged(path, f"its header has {len(content):,} of {length:,} bytes")
    try:
        document = strict_json.loads(content)
    except ValueError as error:
        raise _damaged(path, f"its header is not valid JSON; {error}") from error
    if not isinstance(document, dict):
        raise _damaged(path, "its header is not a JSON object")


def _damaged(path: Path, why: str) -> BadInput:
    fix = "copy or download the file again, or save it again with safetensors"
    return BadInput(f"is not a complete safetensors file ({why})", where=path, fix=fix)
