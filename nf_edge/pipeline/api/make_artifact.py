"""Functions that export a checkpoint to an artifact, or plan the export."""

from typing import TYPE_CHECKING

from nf_edge.core.progress import Progress, silent
from nf_edge.pipeline.api.arguments import Named, format_of, optional_path, path_of, require_data
from nf_edge.pipeline.api.ci_files import ci_files
from nf_edge.pipeline.api.given_limits import GivenLimits
from nf_edge.pipeline.api.inputs import export_inputs
from nf_edge.pipeline.api.resolver import Notify, Resolver

if TYPE_CHECKING:
    from nf_edge.core.device import Device
    from nf_edge.core.limits import LimitsOn, MaxDrop
    from nf_edge.core.recipe.recipe import Recipe
    from nf_edge.model import Checkpoint
    from nf_edge.model.data.row_format import RowFormat
    from nf_edge.model.data.rows import Rows
    from nf_edge.pipeline.export import DryRun, Export


def export(
    checkpoint: "Named | Checkpoint",
    recipe: "Named | Recipe",
    out: Named,
    *,
    device: "Named | Device | None" = None,
    data: "Named | Rows | None" = None,
    calibrate: "Named | Rows | None" = None,
    row_format: "RowFormat | None" = None,
    limit: int | None = None,
    stride: int | None = None,
    max_drop: "MaxDrop | None" = None,
    max_changed: float | None = None,
    max_kl: float | None = None,
    limits_on: "LimitsOn | None" = None,
    junit: Named | None = None,
    summary: Named | None = None,
    overwrite: bool = False,
    keep: bool = False,
    progress: Progress | None = None,
    notify: Notify | None = None,
) -> "Export":
    """Export a checkpoint with a recipe to an artifact folder, and check the artifact by running its file.

    Args:
        out: the folder to create.
        device: the device whose memory the artifact must fit; None: no memory limit.
        data: rows to check accuracy on; only the first `limit` of a file.
        calibrate: calibration rows, if the recipe needs them; None: the checkpoint's examples.
        row_format, stride, max_drop, max_changed, max_kl, limits_on: as for `check`.
        junit: a JUnit file to write, with a test case for each gate and limit.
        summary: a Markdown file to append the results to.
        overwrite: replace `out` if it is an artifact.
        keep: keep the artifact even if it fails a gate; it is marked as failed.

    Returns:
        An Export.  If it has a `failure`, `out` was written only with `keep`.

    Raises:
        BadInput: checkpoint, recipe, device and data do not suit each other, or `out` cannot be used.
        MissingTool: something that the recipe needs is not installed on this machine.
    """
    from nf_edge.artifact.tokenizer_notes import tokenizer_warnings
    from nf_edge.pipeline import export as job
    from nf_edge.pipeline.host_memory import predict_host_memory

    resolver = Resolver(notify, row_format=format_of(row_format, data=data, calibrate=calibrate))
    place = path_of(out)
    given = GivenLimits(max_drop, max_changed, max_kl, limits_on)
    require_data(data, **given.by_argument)
    files = ci_files(junit, summary, checkpoint, recipe, device, data, calibrate, out=place)
    inputs = export_inputs(
        resolver, checkpoint, recipe, place, device, data, calibrate, limit, stride, overwrite
    )
    resolver.tell(filter(None, [predict_host_memory(inputs.checkpoint, inputs.recipe).remark]))
    result = job.export(
        inputs.checkpoint,
        inputs.recipe,
        place,
        device=inputs.device,
        rows=inputs.rows,
        calibrate=inputs.calibrate,
        limits=given.over(inputs.recipe.limits, labelled=inputs.labelled),
        overwrite=overwrite,
        keep=keep,
        progress=progress or silent,
    )
    resolver.tell(tokenizer_warnings(result.manifest.interface))
    files.write(result, f"{result.manifest.checkpoint.name} by {result.manifest.recipe.name}")
    return result


def dry_run(
    checkpoint: "Named | Checkpoint",
    recipe: "Named | Recipe",
    out: Named | None = None,
    *,
    device: "Named | Device | None" = None,
    data: "Named | Rows | None" = None,
    calibrate: "Named | Rows | None" = None,
    row_format: "RowFormat | None" = None,
    limit: int | None = None,
    stride: int | None = None,
    overwrite: bool = False,
    notify: Notify | None = None,
) -> "DryRun":
    """The plan of an `export` with the same arguments, and the predicted memory of the artifact and of the
    export; nothing is written.

    Raises:
        BadInput: checkpoint, recipe, device and data do not suit each other, or `out` cannot be used.
        MissingTool: something that the recipe needs is not installed on this machine.
    """
    from nf_edge.pipeline import export as job

    resolver = Resolver(notify, row_format=format_of(row_format, data=data, calibrate=calibrate))
    place = optional_path(out)
    inputs = export_inputs(
        resolver, checkpoint, recipe, place, device, data, calibrate, limit, stride, overwrite
    )
    return job.dry_run(inputs.checkpoint, inputs.recipe, inputs.device, inputs.calibrate)
