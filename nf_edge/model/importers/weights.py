"""Read the weights of a `transformers` folder: one file or several shards, in safetensors or PyTorch
format.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor

from nf_edge.core.errors import BadInput
from nf_edge.core.reading import is_there, read_json_object
from nf_edge.model.checkpoint_outline import WEIGHTS
from nf_edge.model.importers.foreign import is_dense, load_torch
from nf_edge.model.safetensors_file import read_safetensors

Read = Callable[[Path], Mapping[str, Tensor]]

PICKLED = "pytorch_model.bin"
SHOWN = 5


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Map each key to its tensor.  If the folder has weights in several formats, the format that transformers
    prefers is read.

    Raises:
        BadInput: there are no weights, a file cannot be read, or shards do not match their index.
    """
    readers: dict[str, Read] = {WEIGHTS: read_safetensors, PICKLED: _read_pickled}
    for name, read in readers.items():
        index = folder / f"{name}.index.json"
        if is_there(folder / name):
            return dict(read(folder / name))
        if is_there(index):
            return _read_shards(index, read)
    listed = ", ".join(f"{name}, {name}.index.json" for name in readers)
    raise BadInput(
        f"has none of these weight files: {listed}", where=folder, fix="give a folder with one of these"
    )


def _read_pickled(path: Path) -> Mapping[str, Tensor]:
    state = load_torch(path)
    if not isinstance(state, Mapping) or not all(
        isinstance(value, Tensor) and is_dense(value) for value in state.values()
    ):
        what = "must be a state dict with only dense tensors"
        raise BadInput(what, where=path, fix="save model.state_dict() with torch.save")
    return state


def _read_shards(index: Path, read: Read) -> dict[str, Tensor]:
    places = read_json_object(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(name, str) for name in places.values()):
        raise BadInput(
            "must have an object weight_map that maps each tensor name to a file name",
            where=index,
            fix="copy or download the file again, or save the model again with save_pretrained",
        )
    names = sorted(set(places.values()))
    # Only files in this folder, because the index is untrusted and could name any path.
    missing = [name for name in names if Path(name).name != name or not (index.parent / name).is_file()]
    if missing:
        raise BadInput.listing(
            [f"{name} is not in the folder" for name in missing],
            where=index,
            fix="put every file that the index names into its folder",
        )
    shards = {name: read(index.parent / name) for name in names}
    problems = [
        f"{key} is in {name}, but the index has it in {places.get(key, 'no file')}"
        for name, shard in shards.items()
        for key in shard
        if places.get(key) != name
    ]
    problems += [f"{key} is not in {name}" for key, name in places.items() if key not in shards[name]]
    if problems:
        more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        raise BadInput.listing(
            [*problems[:SHOWN], *more],
            where=index,
            fix="the weight files and the index belong to different models; copy all files of one model",
        )
    return {key: tensor for shard in shards.values() for key, tensor in shard.items()}
