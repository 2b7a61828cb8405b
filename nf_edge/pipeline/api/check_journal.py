"""Open the journal of a check, from the facts that decide whether two checks make equal predictions."""

import hashlib
import importlib.metadata
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from nf_edge import __version__

if TYPE_CHECKING:
    from nf_edge.backends.runnable import Runnable
    from nf_edge.measure.accuracy.baseline import Baseline
    from nf_edge.measure.accuracy.journal import Journal
    from nf_edge.measure.emulation import EmulatedCore
    from nf_edge.model.data.rows import Rows
    from nf_edge.pipeline.api.check_inputs import CheckInputs
    from nf_edge.pipeline.api.resolver import Resolver


def check_journal(
    resolver: "Resolver",
    inputs: "CheckInputs",
    resume: bool,
    *,
    cores: "Sequence[EmulatedCore]" = (),
    baseline: "Baseline | None" = None,
) -> "Journal":
    """The journal of a check; a check with equal inputs, files and versions finds the same saved parts.

    Args:
        resume: whether to use the parts that an interrupted check saved.
        cores: the emulated cores of the check; empty: this machine.
        baseline: the earlier artifact to compare with; None: no such comparison.

    Raises:
        BadInput: `resume` is set, but there is no interrupted check of the same inputs.
    """
    from nf_edge.measure.accuracy.journal import Journal

    def facts() -> dict[str, Any]:
        return {
            "machine": [platform.machine(), os.environ.get("NF_EDGE_ISA", "")],
            "checkpoint": inputs.checkpoint.identity.model_dump(),
            "artifact": _file(inputs.runnable),
            "rows": [_digest(inputs.rows.reference), _digest(inputs.rows.artifact)],
            "cores": [[core.name, core.cpu, core.emulator.version] for core in cores],
            "baseline": baseline and [_file(baseline.runnable), _digest(baseline.rows.artifact)],
        }

    return Journal(facts, lambda remark: resolver.tell([remark]), resume=resume)


def _file(runnable: "Runnable") -> dict[str, Any]:
    """Facts about an artifact: hashes of its files, its input shape, and the versions of the packages that
    run it.
    """
    from nf_edge.core.reading import sha256

    backend = runnable.backend
    packages = ("torch", backend.runtime)
    return {
        "files": [sha256(file) for file in sorted(runnable.folder.iterdir()) if file.is_file()],
        "backend": backend.name,
        "input_shape": asdict(runnable.input_shape),
        "versions": [__version__, *map(importlib.metadata.version, packages)],
    }


def _digest(rows: "Rows") -> str:
    """A hash of the rows' tokens and labels, which shows whether two checks have the same rows."""
    digest = hashlib.sha256()
    for row in rows.rows:
        digest.update(repr((row.input_ids, row.label, row.scored)).encode())
    return digest.hexdigest()
