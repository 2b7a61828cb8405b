"""Load an artifact with everything that it was made from."""

from typing import TYPE_CHECKING

from nf_edge.pipeline.api.arguments import Named
from nf_edge.pipeline.api.check_inputs import check_inputs
from nf_edge.pipeline.api.given_limits import GivenLimits
from nf_edge.pipeline.api.resolver import Resolver

if TYPE_CHECKING:
    from nf_edge.artifact import Artifact
    from nf_edge.measure.accuracy.paired_rows import PairedRows
    from nf_edge.model import Checkpoint
    from nf_edge.model.data.rows import Rows
    from nf_edge.pipeline.lowered_again import Exported


def exported_inputs(
    resolver: Resolver,
    artifact: "Named | Artifact",
    data: "Named | Rows",
    reference: "Named | Checkpoint | None",
    pruned: "Named | Checkpoint | None",
    calibrate: "Named | Rows | None",
    limit: int | None,
    stride: int | None,
    least_rows: int | None = None,
) -> "tuple[Exported, PairedRows]":
    """Load an artifact, the checkpoints that it was made from, its calibration rows, and rows to run on.

    Args:
        data, reference, pruned, calibrate, limit, stride: as for `check_stages`.
        least_rows: as for `check_inputs`.

    Raises:
        BadInput: an input cannot be read, the inputs do not suit each other, or `pruned` is not the exported
            checkpoint.
    """
    from nf_edge.pipeline.lowered_again import Exported

    the_artifact = resolver.artifact(artifact)
    inputs = check_inputs(resolver, the_artifact, data, reference, limit, stride, GivenLimits(), least_rows)
    the_pruned = None if pruned is None else resolver.checkpoint(pruned)
    length = inputs.runnable.input_shape.length
    rows = resolver.calibration(calibrate, the_pruned or inputs.checkpoint, length)
    return Exported.of(the_artifact, inputs.checkpoint, the_pruned, rows), inputs.rows
