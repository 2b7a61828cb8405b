"""Open the journal of a check, from the facts that decide whether two checks make equal predictions."""

import hashlib
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nf_edge import __version__

if TYPE_CHECKING:
    from nf_edge.artifact import Artifact
    from nf_edge.measure.accuracy.baseline import Baseline
    from nf_edge.measure.accuracy.journal import Journal
    from nf_edge.measure.emulation import EmulatedCore
    from nf_edge.model.data.rows import Rows
    from nf_edge.pipeline.api.check_inputs import CheckInputs
    from nf_edge.pipeline.api.resolver import Resolver


def check_journal(
    resolver: "Resolver",
    artifact: "Artifact",
    inputs: "CheckInputs",
    resume: bool,
    *,
    cores: "Sequence[EmulatedCore]" = (),
    shipped: "Artifact | None" = None,
    baseline: "Baseline | None" = None,
) -> "Journal":
    """The journal of a check; a check with equal inputs, files, versions and CPU finds the same saved parts.

    Args:
        artifact: the artifact that is checked.
        resume: whether to use the parts that an interrupted check saved.
        cores: the emulated cores of the check; empty: this machine.
        shipped, baseline: the artifact that shipped last, and its rows; None: no earlier artifact.

    Raises:
        BadInput: `resume` is set, but there is no interrupted check of the same inputs.
    """
    from nf_edge.measure.accuracy.journal import Journal
    from nf_edge.measure.latency.machine import cpu_name

    def facts() -> dict[str, Any]:
        return {
            "nf_edge": __version__,
            "cpu": [cpu_name(), os.environ.get("NF_EDGE_ISA", "")],
            "checkpoint": inputs.checkpoint.identity.model_dump(),
            "artifact": _artifact(artifact),
            "rows": [_digest(inputs.rows.reference), _digest(inputs.rows.artifact)],
            "cores": [[core.name, core.cpu, core.emulator.version] for core in cores],
            "baseline": shipped and baseline and [_artifact(shipped), _digest(baseline.rows.artifact)],
        }

    return Journal(facts, lambda remark: resolver.tell([remark]), resume=resume)


def _artifact(artifact: "Artifact") -> list[Any]:
    """The hash of an artifact's manifest, which has the hashes of its files, and what computes its
    predictions: versions of packages, the machine, and the instruction set.
    """
    from nf_edge.artifact.reproducible import reproducible

    return [artifact.manifest_sha256, reproducible(artifact.manifest.recipe).model_dump()]


def _digest(rows: "Rows") -> str:
    """A hash of the rows' tokens and labels, which shows whether two checks have the same rows."""
    digest = hashlib.sha256()
    for row in rows.rows:
        digest.update(repr((row.input_ids, row.label, row.scored)).encode())
    return digest.hexdigest()
