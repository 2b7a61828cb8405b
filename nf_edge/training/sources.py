"""Reading a recipe's data: rows for a classifier, blocks of text for a language model."""

from dataclasses import dataclass

from nf_edge.data.blocks import read_blocks
from nf_edge.data.rows import Rows, read_rows
from nf_edge.training.examples import BlockExamples, Examples, JitteredIntensities, RowExamples
from nf_edge.training.recipe import TrainingRecipe


@dataclass(frozen=True)
class TrainingData:
    """Everything that a recipe reads.

    Attributes:
        examples: rows to go with the checkpoint, or None.
        sha256: of each source, by its name.
        notes: what a user should know of how it was read.
    """

    train: Examples
    valid: Examples
    test: Examples
    examples: Rows | None
    sha256: dict[str, str]
    notes: tuple[str, ...]


def read_training_data(recipe: TrainingRecipe) -> TrainingData:
    """Read all of a recipe's sources.

    Raises:
        BadInput: one cannot be read, or its rows are not for this model.
        MissingTool: a named data set needs a package that is not installed.
    """
    config, data = recipe.model, recipe.data
    sha256: dict[str, str] = {}
    notes: list[str] = []

    def rows(source: str) -> Rows:
        found = read_rows(source, config, data.tokenizer)
        sha256[source] = found.sha256
        if found.truncated:
            notes.append(f"{source}: {found.truncated} rows were cut to {config.n_positions} tokens")
        return found

    def examples(source: str) -> Examples:
        if config.is_language_model:
            blocks = read_blocks(source, config, data.tokenizer)
            sha256[source] = blocks.sha256
            return BlockExamples(blocks.ids)
        return RowExamples(rows(source).rows, config.pad_token_id)

    train = examples(data.train)
    jitter = recipe.regularization.jitter
    if jitter is not None:
        train = JitteredIntensities(train, jitter, config.vocab_size)
    valid, test = examples(data.valid), examples(data.test)
    return TrainingData(
        train, valid, test, rows(data.examples) if data.examples else None, sha256, tuple(notes)
    )
