"""Load the inputs of `check` and check that they suit each other."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nf_edge.core.errors import BadInput
from nf_edge.pipeline.api.arguments import Named, name_of, optional_name, optional_whole
from nf_edge.pipeline.api.given_limits import GivenLimits
from nf_edge.pipeline.api.resolver import Resolver

if TYPE_CHECKING:
    from nf_edge.artifact import Artifact
    from nf_edge.backends.runnable import Runnable
    from nf_edge.core.recipe.recipe import Limits
    from nf_edge.measure.accuracy.paired_rows import PairedRows
    from nf_edge.model import Checkpoint
    from nf_edge.model.data.rows import Rows


@dataclass(frozen=True)
class CheckInputs:
    """The loaded inputs of `check` and `check_on`: model file, checkpoint, encoded rows, and limits."""

    runnable: "Runnable"
    checkpoint: "Checkpoint"
    rows: "PairedRows"
    limits: "Limits"


def check_inputs(
    resolver: Resolver,
    artifact: "Artifact",
    data: "Named | Rows",
    reference: "Named | Checkpoint | None",
    limit: int | None,
    stride: int | None,
    given: GivenLimits,
    least_rows: int | None = None,
) -> CheckInputs:
    """Load the checkpoint that an artifact is compared with, and rows for both.

    Args:
        reference: the checkpoint, its name or folder; None: the checkpoint that the manifest names.
        data, limit, stride: as for `nf_edge.check`.
        given: limits that replace the recipe's.
        least_rows: if `limit` is None, read only this many rows of a file, or more if the limits need more.
            None: read all rows.

    Raises:
        BadInput: an input cannot be read, or the inputs do not suit each other.
        MissingTool: a package of the backend is not installed.
    """
    from nf_edge.artifact import reference_of
    from nf_edge.measure.accuracy.limit_results import rows_needed
    from nf_edge.measure.accuracy.paired_rows import PairedRows
    from nf_edge.model import Checkpoint
    from nf_edge.model.data.row_format import DEFAULT
    from nf_edge.model.data.rows import Rows, read_rows

    optional_whole("limit", limit, 1)
    optional_whole("stride", stride, 1)
    named = reference if isinstance(reference, Checkpoint) else optional_name(reference)
    checkpoint = resolver.checkpoint(reference_of(artifact, named))
    runnable = artifact.runnable()
    length = runnable.input_shape.length
    if limit is None and least_rows is not None and not isinstance(data, Rows):
        needed = rows_needed(given.over(runnable.recipe.limits, labelled=True), checkpoint.config)
        limit = max(least_rows, needed)
    rows = PairedRows(resolver.evaluated(data, checkpoint, limit, length, stride))
    if checkpoint.config.is_language_model and runnable.config.vocab_size != checkpoint.config.vocab_size:
        # `require_comparable` refuses language models of different vocabularies.
        rows = replace(rows, other=rows.reference)
    elif runnable.config.vocab_size != checkpoint.config.vocab_size:
        if isinstance(data, Rows):
            raise BadInput(
                "the rows are tokenized for the checkpoint, but the artifact has a different vocabulary",
                where=data.source,
                fix="pass the path of the data file instead of loaded rows",
            )
        tokenizer = artifact.tokenizer_file
        other = read_rows(
            name_of(data),
            runnable.config,
            tokenizer,
            limit,
            length=length,
            row_format=resolver.row_format or DEFAULT,
        )
        rows = replace(rows, other=other)
    limits = given.over(runnable.recipe.limits, labelled=rows.labelled(checkpoint.config))
    return CheckInputs(runnable, checkpoint, rows, limits)
