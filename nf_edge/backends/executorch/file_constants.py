"""Keep a program's large constants in temporary files while ExecuTorch lowers it.

ExecuTorch copies each constant, and holds all copies until it writes the `.pte`.  They would take as much
memory as the file.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from nf_edge.core.staging import scratch_folder

# Constants of fewer bytes stay in memory.
LARGE = 1 << 16


@contextmanager
def constants_on_disk(release: Callable[[], None]) -> Iterator[None]:
    """Make ExecuTorch put each large constant into a temporary file, while the block runs.

    The file of the program must be written in the block, which removes the temporary files.

    Args:
        release: called after each large constant that is not in a delegate was read, to release pages of
            the weights.
    """
    from executorch.exir._serialize._cord import FileBackedData
    from executorch.exir._serialize._named_data_store import NamedDataStore
    from executorch.exir.emit._emitter import _Emitter

    add, save = NamedDataStore.add_named_data, _Emitter._save_new_const_tensor
    with scratch_folder() as folder:
        count = 0

        def on_disk(data: bytes | FileBackedData) -> bytes | FileBackedData:
            nonlocal count
            if not isinstance(data, bytes) or len(data) < LARGE:
                return data
            file = Path(folder, f"{count}.data")
            count += 1
            file.write_bytes(data)
            return FileBackedData(str(file))

        def add_named_data(store: NamedDataStore, key: str, data: Any, *args: Any, **options: Any) -> None:
            add(store, key, on_disk(data), *args, **options)

        def save_new_const_tensor(emitter: Any, spec: Any, data: Any, *args: Any) -> Any:
            if len(data) >= LARGE:
                release()
            return save(emitter, spec, on_disk(data), *args)

        with (
            patch.object(NamedDataStore, "add_named_data", add_named_data),
            patch.object(_Emitter, "_save_new_const_tensor", save_new_const_tensor),
        ):
            yield
