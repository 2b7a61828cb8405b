"""The same rows, encoded for two models whose tokenizers may differ."""

from dataclasses import dataclass, replace

from nf_edge.core.errors import BadInput
from nf_edge.model import ModelConfig
from nf_edge.model.data.rows import Rows


@dataclass(frozen=True)
class PairedRows:
    """The same rows for a checkpoint and for an artifact.

    Attributes:
        reference: the rows encoded for the checkpoint.
        other: the rows encoded for the artifact; None if both have the same token ids.
    """

    reference: Rows
    other: Rows | None = None

    @property
    def artifact(self) -> Rows:
        """The rows encoded for the artifact: `other`, or `reference` if both have the same token ids."""
        return self.other or self.reference

    def part(self, shard: slice) -> "PairedRows":
        """The rows with the indices of `shard`, encoded for both models."""
        reference, other = (
            each and replace(each, rows=each.rows[shard]) for each in (self.reference, self.other)
        )
        assert reference is not None
        return PairedRows(reference, other)

    def labelled(self, config: ModelConfig) -> bool:
        """Whether the correct answer of each prediction is known: by labels, or as a language model's next
        token.
        """
        return config.is_language_model or self.reference.labelled

    def require_comparable(self, config: ModelConfig) -> None:
        """Check that the predictions of two models on these rows can be compared.

        Args:
            config: configuration of the checkpoint.

        Raises:
            BadInput: there are no rows, no row has a next token to predict, the models have different
                vocabularies, or no metric suits the model.
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
                "has a label that is not a class of this model",
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
        """Raise BadInput if a regression has several outputs, or if its rows have no labels."""
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
