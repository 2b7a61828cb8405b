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

    def labelled(self, config: ModelConfig) -> bool:
        """Whether the truth of every prediction is known.  A language model's truth is the next tokens."""
        return config.is_language_model or self.reference.labelled

    def require_comparable(self, config: ModelConfig) -> None:
        """Check that two models' predictions on these rows can be compared.

        Args:
            config: configuration of the checkpoint.

        Raises:
            BadInput: there is no row, the model's predictions have no metric, no row has a next token, or the
                models have different vocabularies.
        """
        source = self.reference.source
        if not self.reference.rows:
            raise BadInput("has no rows", where=source, fix="give data with at least one row")
        if config.task == "regression":
            self._require_numbers(config)
        if config.task == "classification" and not all(
            row.label is None or row.label in range(config.num_labels or 0) for row in self.reference.rows
        ):
            raise BadInput(
                "has labels of another model, because a label is no class of this one",
                where=source,
                fix="load the rows for the checkpoint that they are scored with",
            )
        if not config.is_language_model:
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

    def _require_numbers(self, config: ModelConfig) -> None:
        """Raise BadInput if a regression has several outputs, or rows without numbers."""
        source = self.reference.source
        if config.num_labels != 1:
            raise BadInput(
                f"the accuracy of a {config.kind} cannot be checked: nf-edge has no metric for such models",
                where=source,
                fix="export the model without --data; the export still compares its logits with PyTorch's",
            )
        if not self.labelled(config):
            raise BadInput(
                "has no labels, and a regression predicts neither classes nor tokens that could be compared",
                where=source,
                fix="add the column `label` with a number per row",
            )
