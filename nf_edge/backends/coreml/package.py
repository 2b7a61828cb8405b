"""Make the model package in a Core ML delegate the same in every export of the same model.

coremltools stores the date and random UUIDs.  ExecuTorch adds a random name, under which a device caches the
model that it compiles from the package.  This module removes the date.  It computes the UUIDs from paths in
the package, and the name from the content.
"""

import hashlib
import uuid
from pathlib import Path
from typing import Any

from nf_edge.core import strict_json
from nf_edge.core.staging import scratch_folder

DAY = "com.github.apple.coremltools.conversion_date"


def settled(blob: bytes) -> bytes:
    """Repack the folder in a delegate, so that the same model always gives the same bytes.

    Args:
        blob: the delegate's content, a packed folder of files.
    """
    from executorch.backends.apple.coreml import executorchcoreml

    with scratch_folder() as temporary:
        executorchcoreml.unflatten_directory_contents(blob, str(temporary))
        (folder,) = temporary.iterdir()
        for model in folder.rglob("*.mlmodel"):
            _settle_model(model)
        for manifest in folder.rglob("Manifest.json"):
            _settle_items(manifest)
        metadata = folder / "metadata.json"
        document = _read(metadata)
        metadata.unlink()
        _write(metadata, document | {"identifier": f"executorch_{_name_of(folder)}"})
        result: bytes = executorchcoreml.flatten_directory_contents(str(folder))
        return result


def _settle_model(path: Path) -> None:
    from coremltools.proto import Model_pb2

    model = Model_pb2.Model()
    model.ParseFromString(path.read_bytes())
    notes = model.description.metadata.userDefined
    if DAY in notes:
        del notes[DAY]
    path.write_bytes(model.SerializeToString(deterministic=True))


def _settle_items(path: Path) -> None:
    """Replace the random UUIDs of a package's items by UUIDs computed from the items' paths."""
    document = _read(path)
    names = {
        old: str(uuid.uuid5(uuid.NAMESPACE_OID, entry["path"]))
        for old, entry in document["itemInfoEntries"].items()
    }
    entries = {names[old]: entry for old, entry in document["itemInfoEntries"].items()}
    document["itemInfoEntries"] = dict(sorted(entries.items()))
    document["rootModelIdentifier"] = names[document["rootModelIdentifier"]]
    _write(path, document)


def _name_of(folder: Path) -> uuid.UUID:
    """A UUID computed from the names and contents of a folder's files."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder)} {len(content)} ".encode() + content)
    return uuid.UUID(bytes=digest.digest()[:16])


def _read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = strict_json.loads(path.read_text(encoding="utf-8"))
    return document


def _write(path: Path, document: dict[str, Any]) -> None:
    path.write_text(strict_json.dumps(document, indent=4), encoding="utf-8")
