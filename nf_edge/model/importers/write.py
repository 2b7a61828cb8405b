"""Import a model of another code base and write it as a checkpoint."""

from pathlib import Path

import torch

from nf_edge.core.progress import Progress, silent
from nf_edge.model.checkpoint_writer import check_place
from nf_edge.model.importers.imported import import_checkpoint
from nf_edge.model.written import WrittenCheckpoint


def write_imported(
    source: Path,
    out: Path,
    *,
    vocab_size: int | None = None,
    tokenizer_file: Path | None = None,
    activation: str | None = None,
    dtype: str | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> WrittenCheckpoint:
    """Read a model as `import_checkpoint` does, and write it as a checkpoint.

    Args:
        vocab_size, tokenizer_file, activation: as for `import_checkpoint`.
        dtype: the dtype of the written weights; None: the source's.

    Raises:
        BadInput: the source cannot be a NoiseFormer checkpoint, or `out` cannot be written.
    """
    sources = [source] if tokenizer_file is None else [source, tokenizer_file]
    check_place(out, overwrite=overwrite, sources=sources)
    progress("reading the model", 0, 1)
    imported = import_checkpoint(
        source, vocab_size=vocab_size, tokenizer_file=tokenizer_file, activation=activation
    )
    progress("writing the checkpoint", 0, 1)
    imported.save(out, dtype=getattr(torch, dtype) if dtype else None, overwrite=overwrite)
    return WrittenCheckpoint.load(out, imported.notes)
