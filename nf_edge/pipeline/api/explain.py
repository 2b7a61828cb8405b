"""Functions that explain where an artifact loses accuracy: by stage, and by layer."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nf_edge.core.defaults import EMULATED_ROWS, LAYER_ROWS
from nf_edge.core.progress import Progress, silent
from nf_edge.pipeline.api.arguments import Named, format_of, path_of, place_of
from nf_edge.pipeline.api.ci_files import ci_files
from nf_edge.pipeline.api.exported_inputs import exported_inputs
from nf_edge.pipeline.api.measure import check, check_on
from nf_edge.pipeline.api.resolver import Notify, Resolver

if TYPE_CHECKING:
    from nf_edge.artifact import Artifact
    from nf_edge.measure.accuracy.check import AccuracyReport
    from nf_edge.measure.accuracy.cores import CoresReport
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
    reference: "Named | Checkpoint | None" = None,
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

    The checkpoint is lowered again as the artifact's manifest says, to make the stages.

    Args:
        on: devices or QEMU's cores; the artifact on each core is one more stage.
        reference, row_format, limit, stride: as for `check`; if `on` is given, as for `check_on`.
        pruned: the exported checkpoint, if `reference` is the original that it was pruned from.
        calibrate: the calibration rows of the export; None: the checkpoint's examples.
        public_key, require_signature: as for `load_artifact`.

    Returns:
        A StagesReport; its `failure` is an error if lowering the checkpoint again gives other files than the
        artifact's.

    Raises:
        BadInput: the artifact is invalid, or the data, checkpoint or calibration rows do not suit it.
        MissingTool: a tool of the backend, QEMU or the cross-compiler is not installed.
    """
    from nf_edge.pipeline import stages as job

    resolver = Resolver(notify, public_key, require_signature, format_of(row_format, data=data))
    cores = resolver.cores(on) if on else []
    least = EMULATED_ROWS if on else None
    exported, rows = exported_inputs(
        resolver, artifact, data, reference, pruned, calibrate, limit, stride, least
    )
    with exported.lowered_again(progress or silent) as again:
        return job.check_stages(exported, again, rows, cores, progress or silent)


def check_layers(
    artifact: "Named | Artifact",
    data: "Named | Rows",
    *,
    reference: "Named | Checkpoint | None" = None,
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

    Returns:
        A LayersReport; its `failure` is an error if lowering the checkpoint again gives other files than the
        artifact's.

    Raises:
        BadInput: the artifact is invalid, or the data, checkpoint or calibration rows do not suit it.
        MissingTool: a tool of the backend is not installed.
    """
    from nf_edge.model.data.rows import Rows
    from nf_edge.pipeline import layers as job
    from nf_edge.pipeline.lowered_again import lowered_again

    if limit is None and not isinstance(data, Rows):
        limit = LAYER_ROWS
    resolver = Resolver(notify, public_key, require_signature, format_of(row_format, data=data))
    exported, rows = exported_inputs(resolver, artifact, data, reference, pruned, calibrate, limit, stride)
    with lowered_again(exported.require_job(), progress or silent) as again:
        return job.check_layers(exported, again, rows.artifact, progress or silent)


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

    All inputs are checked before a model runs.  The checkpoint is lowered again once for both explanations.

    Args:
        on: the cores, as for `check_on`; empty: this machine.
        stages, layers: whether to explain by stage and by layer.
        pruned, calibrate: as for `check_stages`.
        html: the HTML file to write the explanations to; None: no file.
        gate: arguments of `check` only.
        options: arguments of `check` and of the explanations.

    Raises:
        BadInput: an input is invalid, as for `check`, `check_stages` and `check_layers`, or a file cannot be
            written.
    """
    from nf_edge.core.files import staged_file
    from nf_edge.core.output_checks import check_file
    from nf_edge.pipeline.explained import Explained

    if html is not None:
        check_file(html, overwrite=overwrite, sources=place_of("", data))
    baseline, junit, summary = gate["baseline"], gate.pop("junit"), gate.pop("summary")
    files = ci_files(junit, summary, artifact, data, options["reference"], baseline)
    explain: Callable[[AccuracyReport | CoresReport], Explained] = Explained
    if stages or layers:
        # The check passes on the remarks about the inputs.
        silently = options | {"notify": lambda remark: None}
        explain = _explanations(artifact, data, on, stages, layers, pruned, calibrate, **silently)
    if on:
        del gate["baseline"]
        explained = explain(check_on(artifact, data, on, **gate, **options))
    else:
        explained = explain(check(artifact, data, **gate, **options))
    files.write(explained.accuracy, path_of(artifact).name)
    if html is not None:
        from nf_edge.render.html.explained_page import explained_page

        with staged_file(html, overwrite=overwrite) as stage:
            stage.write_text(explained_page(explained), encoding="utf-8")
    return explained


def _explanations(
    artifact: Named,
    data: Named,
    on: Sequence[str],
    stages: bool,
    layers: bool,
    pruned: Named | None,
    calibrate: Named | None,
    *,
    reference: "Named | Checkpoint | None",
    row_format: "RowFormat | None",
    limit: int | None,
    stride: int | None,
    public_key: Named | None,
    require_signature: bool,
    progress: Progress,
    notify: Notify,
) -> "Callable[[AccuracyReport | CoresReport], Explained]":
    """Check the inputs of explanations; return a function that adds them to an accuracy report.

    Args:
        stages, layers: whether to explain by stage and by layer.
        artifact, data, on, pruned, calibrate: as for `check_stages`; so are the remaining arguments.
    """
    from nf_edge.pipeline import layers as layers_job
    from nf_edge.pipeline import stages as stages_job
    from nf_edge.pipeline.explained import Explained

    resolver = Resolver(notify, public_key, require_signature, format_of(row_format, data=data))
    cores = resolver.cores(on) if on else []
    least = EMULATED_ROWS if on else None
    exported, rows = exported_inputs(
        resolver, artifact, data, reference, pruned, calibrate, limit, stride, least
    )
    if layers:
        exported.require_job()

    def explain(accuracy: "AccuracyReport | CoresReport") -> Explained:
        with exported.lowered_again(progress) as again:
            by_stage = stages_job.check_stages(exported, again, rows, cores, progress) if stages else None
            by_layer = None
            if layers:
                assert again is not None
                first = slice(LAYER_ROWS if limit is None else None)
                by_layer = layers_job.check_layers(exported, again, rows.part(first).artifact, progress)
        return Explained.of(accuracy, by_stage, by_layer)

    return explain
