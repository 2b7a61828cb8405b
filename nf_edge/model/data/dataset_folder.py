"""Read a folder that `save_to_disk` of Hugging Face's `datasets` package wrote."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nf_edge.core.errors import BadInput, MissingTool

# The files that mark a folder with one split, and a folder with a subfolder per split.
ONE_SPLIT, SEVERAL_SPLITS = "state.json", "dataset_dict.json"


def is_dataset_folder(path: Path) -> bool:
    return any((path / mark).is_file() for mark in (ONE_SPLIT, SEVERAL_SPLITS))


def split_folder(path: Path, splits: Sequence[str]) -> Path:
    """The folder of the first split in `splits` that exists; `path` itself if it is the folder of one split.

    Raises:
        BadInput: none of the splits exists.
    """
    if (path / ONE_SPLIT).is_file():
        return path
    for split in splits:
        if (path / split / ONE_SPLIT).is_file():
            return path / split
    raise BadInput(
        f"has no split {' or '.join(splits)}", where=path, fix="give the path of one split's folder"
    )


def read_dataset(path: Path) -> list[dict[str, Any]]:
    """The rows of the folder of one split; a class is given by its name, and a missing class (-1) is None.

    Raises:
        BadInput: the package cannot read the folder.
        MissingTool: the package is not installed.
    """
    try:
        import datasets
    except ImportError as error:
        raise MissingTool(
            f"reading {path} needs the package datasets, which is not installed",
            fix="pip install 'nf-edge[datasets]'",
        ) from error
    try:
        data = datasets.load_from_disk(str(path))
        classes = {
            column: feature.names
            for column, feature in data.features.items()
            if isinstance(feature, datasets.ClassLabel)
        }
        return [
            {
                name: _class(value, classes[name]) if name in classes else _plain(value)
                for name, value in row.items()
            }
            for row in data
        ]
    except Exception as error:
        raise BadInput(
            f"cannot be read by the datasets package ({error})",
            where=path,
            fix="save the data set again with save_to_disk",
        ) from error


def _plain(value: Any) -> Any:
    """Convert a value to one that JSON can represent: dates, for example, to text; NaN and infinity to
    None.
    """
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)


def _class(value: int | None, names: Sequence[str]) -> str | None:
    return None if value is None or value < 0 else names[value]
