"""safetensors files: https://github.com/huggingface/safetensors#format.

The library checks that the tensors lie one after another and fill the file.  What is checked here before it
maps the file: that it is a regular file, how long its header may be, and that no tensor is named twice.
"""

from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from nf_edge.core import strict_json
from nf_edge.core.errors import BadInput
from nf_edge.core.reading import LARGEST, MIB, open_regular

# Bytes of the number that says how long the header is, and of the header of the deepest model there may be.
PREFIX, MOST_HEADER = 8, 16 * MIB


@dataclass(frozen=True)
class SafetensorsFile:
    """What a file holds: tensors by name, as they are on disk, and the text that goes with them."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]


def read_safetensors_file(path: Path) -> SafetensorsFile:
    """All of a safetensors file.

    Raises:
        BadInput: the file is missing, cut short, of another kind, or no regular file.
    """
    _check_header(path)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return SafetensorsFile(tensors, file.metadata() or {})
    # The errors of the library's Rust, of PyTorch's storages, and of a path that is not UTF-8.
    except (SafetensorError, OSError, RuntimeError, ValueError, TypeError) as error:
        raise _not_whole(path, str(error)) from error


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Every tensor of a safetensors file, by name, as it is on disk.

    Raises:
        BadInput: as `read_safetensors_file` does.
    """
    return read_safetensors_file(path).tensors


def _check_header(path: Path) -> None:
    with open_regular(path, LARGEST) as file:
        length = int.from_bytes(file.read(PREFIX), "little")
        if length > MOST_HEADER:
            raise _not_whole(
                path, f"its header would have {length:,} bytes; at most {MOST_HEADER:,} are read"
            )
        content = file.read(length)
    if len(content) < max(length, 1):
        raise _not_whole(path, f"its header has {len(content):,} of {length:,} bytes")
    try:
        document = strict_json.loads(content)
    except ValueError as error:
        raise _not_whole(path, f"its header is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise _not_whole(path, "its header is not a JSON object")


def _not_whole(path: Path, why: str) -> BadInput:
    return BadInput(f"is not a whole safetensors file: {why}", where=path)
