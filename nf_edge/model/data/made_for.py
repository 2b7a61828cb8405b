"""The tokenizer and the labels of a checkpoint, which encoded rows depend on."""

from dataclasses import dataclass
from pathlib import Path

from nf_edge.core.reading import sha256
from nf_edge.model.config import ModelConfig


@dataclass(frozen=True)
class MadeFor:
    """The tokenizer and the labels that rows were made for.

    Attributes:
        tokenizer_sha256: SHA-256 of the tokenizer.json that encoded the texts; None: rows of token ids.
        labels: the name of each class, by its id; () if the rows have no classes.
    """

    tokenizer_sha256: str | None
    labels: tuple[str, ...]

    @classmethod
    def of(cls, config: ModelConfig, tokenizer_file: Path | None, *, labelled: bool) -> "MadeFor":
        """The tokenizer and the labels of a model.

        Args:
            tokenizer_file: the tokenizer of the rows' texts; None: the rows are token ids.
            labelled: whether the rows have labels.
        """
        names = config.id2label or {}
        count = (config.num_labels or 0) if labelled and "classification" in config.task else 0
        return cls(
            None if tokenizer_file is None else sha256(tokenizer_file),
            tuple(names.get(index, f"LABEL_{index}") for index in range(count)),
        )

    def mismatch(self, config: ModelConfig, tokenizer_file: Path | None) -> str:
        """How a model differs from the one that the rows were made for, in words; "" if the rows suit it.

        Args:
            tokenizer_file: the model's tokenizer; None if it has none.
        """
        other = None if tokenizer_file is None or self.tokenizer_sha256 is None else sha256(tokenizer_file)
        if other != self.tokenizer_sha256:
            return "its tokenizer differs"
        names = MadeFor.of(config, None, labelled=bool(self.labels)).labels
        if names != self.labels:
            return f"its labels are {', '.join(self.labels)}, but here they are {', '.join(names) or 'none'}"
        return ""
