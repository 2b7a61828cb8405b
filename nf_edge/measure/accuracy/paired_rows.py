"""Labelled rows for two models with the same or different tokenizers."""

from dataclasses import dataclass, replace

from nf_edge.core.errors import BadInput
from nf_edge.model import ModelConfig
from nf_edge.model.data.rows import Rows


@dataclass(frozen=True)
class PairedRows:
    """The rows for the comparison of a checkpoint with an artifact.

    Attributes:
        reference: the rows as tokens of the checkpoint.
        other: the rows as tokens of the artifact; None if both have the same tokens.
    """

    reference: Rows
    other: Rows | None = None

    @property
    def artifact(self) -> Rows:
        """The rows as tokens of the artifact."""
        return self.other or self.reference

    def part(self, shard: slice) -> "PairedRows":
        """The rows in a slice."""
        reference, other = (
            each and replace(each, rows=each.rows[shard]) for each in (self.reference, self.other)
        )
        assert reference is not None
        return PairedRows(reference, other)

    def require_comparable(self, config: ModelConfig) -> None:
        """Check that a model's predictions on these rows can be scored.

        Args:
            config: configuration of the checkpoint.

        Raises:
            BadInput: the model's task has no metric, the rows have no labels or no next token, or the models
                have different vocabularies.
        """
        source = self.reference.source
        if config.task not in ("classification", "language modelling"):
            raise BadInput(
                f"the accuracy of a {config.kind} cannot be checked, because nf-edge has no metric for it",
                where=source,
                fix="export the model without --data, which still compares its logits with PyTorch's",
            )
        if not config.is_language_model:
            self.reference.require_labels(config)
            return
        if all(len(row.input_ids) < 2 for row in self.reference.rows):
            what = "no row has two tokens, so there is no next token to predict"
            raise BadInput(what, where=source, fix="give longer texts")
        if self.other is not None:
            raise BadInput(
                "the artifact and the checkpoint have different vocabularies, so they cannot be compared",
                where=source,
                fix="compare the artifact with the checkpoint that it was exported from",
            )
