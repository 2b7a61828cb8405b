"""Functions that explain where an artifact loses accuracy: by stage, and by layer."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nf_edge.core.defaults import EMULATED_ROWS, LAYER_ROWS
from nf_edge.core.progress import Progress, silent
from nf_edge.pipeline.api.arguments import Named, format_of, place_of
from nf_edge.pipeline.api.exported_inputs import exported_inputs
from nf_edge.pipeline.api.measure import check, check_on
from nf_edge.pipeline.api.resolver import Notify, Resolver

if TYPE_CHECKING:
    from nf_edge.artifact import Artifact
    from nf_edge.measure.accuracy.layers import LayersReport
    from nf_edge.measure.accuracy.stages import StagesReport
    from nf_edge.measure.emulation import EmulatedCore
    from nf_edge.model import Checkpoint
    from nf_edge.model.data.row_format import RowFormat
    from nf_edge.model.data.rows import Rows
    from nf_edge.pipeline.explained import Explained


def check_stages(
    artifact: "Named | Artifact",
    data: "Named | Rows",
    on: "Sequence[str] | Sequence[EmulatedCore]" = (),
    *,
    reference: "Named | None" = None,
    row_format: "RowFormat | None" = None,
    pruned: "Named | Checkpoint | None" = None,
    calibrate: "Named | Rows | None" = None,
    limit: int | None = None,
    stride: int | None = None,
    public_key: Named | None = None,
    require_signature: bool = False,
    progress: Progress | None = None,
    notify: Notify | None = None,
) -> "StagesReport":
    """Accuracy after each stage of an export, from the float32 checkpoint to the artifact, on the same rows.

    The artifact's manifest says how the checkpoint is lowered again to make the stages.

    Args:
        on: devices or QEMU's cores that run the artifact too; each core is a stage after the artifact.
        reference, row_format, limit, stride: as for `check`; if `on` is given, as for `check_on`.
        pruned: the exported checkpoint, if `reference` is the original that it was pruned from.
        calibrate: the calibration rows of the export; None: the checkpoint's examples.

    Raises:
        BadInput: the artifact is invalid, or the data does not suit it.  Also if the export used another
            checkpoint, or other calibration rows.
        MissingTool: a tool of the backend, QEMU or the cross-compiler is not installed.
    """
    from nf_edge.pipeline import stages as job

    resolver = Resolver(notify, public_key, require_signature, format_of(row_format, data=data))
    cores = resolver.cores(on) if on else []
    least = EMULATED_ROWS if on else None
    exported, rows = exported_inputs(
        resolver, artifact, data, reference, pruned, calibrate, limit, stride, least
    )
    return job.check_stages(exported, rows, cores, progress or silent)


def check_layers(
    artifact: "Named | Artifact",
    data: "Named | Rows",
    *,
    reference: "Named | None" = None,
    row_format: "RowFormat | None" = None,
    pruned: "Named | Checkpoint | None" = None,
    calibrate: "Named | Rows | None" = None,
    limit: int | None = None,
    stride: int | None = None,
    public_key: Named | None = None,
    require_signature: bool = False,
    progress: Progress | None = None,
    notify: Notify | None = None,
) -> "LayersReport":
    """Error of each layer of an artifact against the float32 network.

    Arguments that are not listed here have the same meaning as in `check_stages`.

    Args:
        limit: number of rows; None: 32, because every row runs three models.

    Raises:
        BadInput: the artifact is invalid, or the data, the checkpoint or the calibration rows do not suit it.
            Also if the exported checkpoint is not given, or the backend does not show its layers' outputs.
        MissingTool: a tool of the backend is not installed.
    """
    from nf_edge.model.data.rows import Rows
    from nf_edge.pipeline import layers as job

    if limit is None and not isinstance(data, Rows):
        limit = LAYER_ROWS
    resolver = Resolver(notify, public_key, require_signature, format_of(row_format, data=data))
    exported, rows = exported_inputs(resolver, artifact, data, reference, pruned, calibrate, limit, stride)
    return job.check_layers(exported, rows.artifact, progress or silent)


def check_and_explain(
    artifact: Named,
    data: Named,
    on: Sequence[str],
    *,
    stages: bool,
    layers: bool,
    pruned: Named | None,
    calibrate: Named | None,
    html: Path | None,
    overwrite: bool,
    gate: dict[str, Any],
    **options: Any,
) -> "Explained":
    """The accuracy of an artifact on this machine or on emulated cores, with the requested explanations.

    Args:
        on: the cores, as for `check_on`; empty: this machine.
        stages, layers: whether to call `check_stages` and `check_layers`.
        html: the HTML file to write the explanations to; None: no file.
        gate: the arguments of `check` that the explanations do not have.
        options: the arguments that `check` and the explanations share.

    Raises:
        BadInput: as the called functions do; or the HTML file cannot be written.
    """
    from nf_edge.core.files import staged_file
    from nf_edge.core.output_checks import check_file
    from nf_edge.pipeline.explained import Explained
    from nf_edge.render.html.explained_page import explained_page

    if html is not None:
        check_file(html, overwrite=overwrite, sources=place_of("", data))
    # The check has already passed on the remarks about the inputs.
    made_of = options | {"pruned": pruned, "calibrate": calibrate, "notify": lambda remark: None}
    if on:
        del gate["baseline"]
    explained = Explained(
        check_on(artifact, data, on, **gate, **options) if on else check(artifact, data, **gate, **options),
        check_stages(artifact, data, on, **made_of) if stages else None,
        check_layers(artifact, data, **made_of) if layers else None,
    )
    if html is not None:
        with staged_file(html, overwrite=overwrite) as stage:
            stage.write_text(explained_page(explained), encoding="utf-8")
    return explained
