"""Load the artifact that shipped last, for `check` with a baseline."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nf_edge.core.errors import BadInput
from nf_edge.pipeline.api.arguments import Named, name_of

if TYPE_CHECKING:
    from nf_edge.artifact import Artifact
    from nf_edge.measure.accuracy.baseline import Baseline
    from nf_edge.model.data.row_format import RowFormat
    from nf_edge.model.data.rows import Rows
    from nf_edge.pipeline.api.check_inputs import CheckInputs


def baseline_of(
    baseline: "Artifact",
    artifact: "Artifact",
    inputs: "CheckInputs",
    data: "Named | Rows",
    limit: int | None,
    row_format: "RowFormat | None",
) -> "Baseline":
    """The baseline of a check: an earlier artifact, and the rows of the check encoded for it.

    The earlier artifact may be made from another checkpoint with the same labels.

    Args:
        baseline: the earlier artifact.
        artifact: the artifact that is checked.
        inputs: the inputs of the check; their rows are encoded for `artifact`.
        data, limit, row_format: as for `check`; the rows are read again if the tokenizers differ.

    Raises:
        BadInput: the two artifacts have different labels, or the rows cannot be read for the baseline or are
            too long for it.
        MissingTool: a package of the baseline's backend is not installed.
    """
    from nf_edge.measure.accuracy.baseline import Baseline
    from nf_edge.model.data.row_format import DEFAULT
    from nf_edge.model.data.rows import Rows, read_rows

    before, after, rows = baseline.manifest.config, artifact.manifest.config, inputs.rows
    if (before.task, before.num_labels, before.id2label) != (after.task, after.num_labels, after.id2label):
        raise BadInput(
            f"is a {before.kind} with other labels than {artifact.path.name}, so the two cannot be compared",
            where=baseline.path,
            fix="give an earlier artifact of the same task and labels",
        )
    if before.vocab_size != after.vocab_size or _tokenizer(baseline) != _tokenizer(artifact):
        if before.is_language_model or isinstance(data, Rows):
            raise BadInput(
                f"has another tokenizer than {artifact.path.name}, so these rows cannot be used for both",
                where=baseline.path,
                fix="give an earlier artifact with the same tokenizer"
                if before.is_language_model
                else "pass the path of the data file instead of loaded rows",
            )
        tokenizer, length = baseline.tokenizer_file, rows.artifact.length
        how = row_format or DEFAULT
        other = read_rows(name_of(data), before, tokenizer, limit, length=length, row_format=how)
        rows = replace(rows, other=other)
    runnable = baseline.runnable()
    _require_length(rows.artifact, runnable.input_shape.length, baseline.path)
    return Baseline(baseline.path.name, runnable, rows)


def _require_length(rows: "Rows", length: int, path: Path) -> None:
    """Raise BadInput if a row exceeds the `length` tokens that the baseline, at `path`, accepts."""
    if (longest := max(len(row.input_ids) for row in rows.rows)) > length:
        raise BadInput(
            f"reads at most {length} tokens, but the rows have up to {longest}",
            where=path,
            fix="give an earlier artifact that reads as many tokens, or shorter rows",
        )


def _tokenizer(artifact: "Artifact") -> bytes | None:
    """The content of an artifact's tokenizer; None if it has none."""
    file = artifact.tokenizer_file
    return None if file is None else file.read_bytes()
