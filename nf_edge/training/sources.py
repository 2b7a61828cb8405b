"""Read the data of a training recipe: rows for a classifier, blocks of text for a language model."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from nf_edge.core import strict_json
from nf_edge.core.errors import BadInput
from nf_edge.core.reading import sha256 as file_sha256
from nf_edge.model.config import ModelConfig
from nf_edge.model.data.blocks import read_blocks
from nf_edge.model.data.columns import SECOND_TEXT, TEXT_COLUMNS
from nf_edge.model.data.glue_files import Split
from nf_edge.model.data.parts import Part, word_runs
from nf_edge.model.data.rows import Rows, read_rows
from nf_edge.model.data.sources import NAMED, is_text, locate, read_table, read_text
from nf_edge.model.data.tables import Record
from nf_edge.model.tokenizer import read_tokenizer, vocabulary_size
from nf_edge.training.bpe import train_bpe
from nf_edge.training.examples import BlockExamples, DroppedTokens, Examples, JitteredIntensities, RowExamples
from nf_edge.training.recipe import Bpe, Distillation, Source, TrainingRecipe
from nf_edge.training.teacher import Teacher
from nf_edge.training.unlabeled import JoinedRows, ReplacedTokens, SwappedPhrases
from nf_edge.training.vectors import WordVectors, read_vectors

# What a user can do if the recipe leaves out all rows of a source.
ADVICE = "give more rows, or change part, min_words or apart in the recipe"


@dataclass(frozen=True)
class Located:
    """One source of a recipe with its location.

    Attributes:
        source: the source as the recipe gives it.
        path: the path of the source's file, or the name of a data set.
        part: the part of the file or data set to use.
    """

    source: Source
    path: str
    part: Part

    @property
    def is_text(self) -> bool:
        """Whether the source is one text instead of a table of rows."""
        return is_text(self.path) and self.source.task is None

    def records(self) -> list[Record]:
        """The rows of the source's table that belong to `part`."""
        return self.part.of_records(read_table(self.path, self.source.row_format).table.records)


@dataclass(frozen=True)
class Lesson:
    """The labelled examples of one teacher, and its initial word vectors."""

    examples: Examples
    vectors: WordVectors | None


@dataclass(frozen=True)
class TrainingData:
    """The data of a training recipe: examples for the model and its teachers, and the tokenizer."""

    train: Examples
    taught: Examples | None
    """Examples without labels, which the model learns from its teachers; None if there are no teachers."""
    lessons: tuple[Lesson, ...]
    """The labelled examples of each teacher, in the recipe's order."""
    valid: Examples
    test: Examples
    examples: Examples | None
    """The rows that are saved with a classifier and scored; None if there are none."""
    examples_json: str
    """The content of the checkpoint's examples.jsonl, one JSON object per line."""
    tokenizer_file: Path | None
    """The tokenizer.json of the recipe, or the one trained for it; None if the data is not text."""
    bytes_per_token: float | None
    """UTF-8 bytes per token of the test text; None unless the test data is a language model's text file."""
    sha256: dict[str, str]
    """SHA-256 of each file, by its name in the recipe."""
    notes: tuple[str, ...]
    """Remarks for the user on how the data was read."""


def read_training_data(recipe: TrainingRecipe, root: Path, scratch: Path) -> TrainingData:
    """Read all sources of a recipe.

    Args:
        root: the folder with the data files that the recipe names.
        scratch: an existing folder, for the tokenizer.json if the recipe trains a tokenizer.

    Raises:
        BadInput: a source cannot be read, or its rows do not suit this model.
        MissingTool: a folder of the datasets package needs that package.
    """
    _require_files(recipe, root)
    config, data, extra = recipe.model, recipe.data, recipe.regularization
    sha256: dict[str, str] = {}
    notes: list[str] = []
    valid, test = _locate(data.valid, root, "dev"), _locate(data.test, root, "dev")
    if data.refit:
        complete = data.train.model_copy(update={"part": (0, 1), "min_words": 0})
        train = _locate(complete, root, "train")
    else:
        train = _locate(data.train, root, "train", valid if data.apart else None, data.apart or 1)
    tokenizer_file = _tokenizer(recipe, train, scratch, notes)

    def rows(located: Located) -> Rows:
        row_format = located.source.row_format
        read = read_rows(located.path, config, tokenizer_file, part=located.part, row_format=row_format)
        read.require_labels(config)
        sha256[located.source.file] = read.sha256
        notes.extend(read.warnings)
        return read

    def examples(located: Located) -> Examples:
        if config.is_language_model:
            blocks = read_blocks(
                located.path, config, tokenizer_file, located.part, located.source.row_format
            )
            sha256[located.source.file] = blocks.sha256
            return BlockExamples(blocks.ids)
        return RowExamples(rows(located).rows, config.pad_token_id)

    def varied(plain: Examples) -> Examples:
        if extra.jitter is not None:
            plain = JitteredIntensities(plain, extra.jitter, config.vocab_size)
        if extra.token_dropout:
            plain = DroppedTokens(plain, extra.token_dropout, config.pad_token_id or 0)
        return plain

    def vectors(teacher: Teacher) -> WordVectors | None:
        if teacher.vectors_file is None or tokenizer_file is None:
            return None
        path = root / teacher.vectors_file
        sha256[teacher.vectors_file] = file_sha256(path)
        return read_vectors(path, read_tokenizer(tokenizer_file), config.vocab_size)

    training_examples = examples(train)
    notes.append(
        f"{len(training_examples):,} {'blocks' if config.is_language_model else 'rows'} of training data"
    )
    shipped = _locate(Source(file=data.examples), root, "dev") if data.examples else None
    return TrainingData(
        varied(training_examples),
        varied(_distillation_examples(training_examples, recipe.distill, config)) if recipe.distill else None,
        tuple(
            Lesson(_teacher_examples(training_examples, teacher, config), vectors(teacher))
            for teacher in (recipe.distill.teachers if recipe.distill else ())
        ),
        examples(valid),
        examples(test),
        # A language model's examples are prompts without continuations, so they are not scored.
        examples(shipped) if shipped and not config.is_language_model else None,
        _json_lines(shipped) if shipped else "",
        tokenizer_file,
        _bytes_per_token(test, tokenizer_file),
        sha256,
        tuple(notes),
    )


def _distillation_examples(
    training_examples: Examples, distill: Distillation, config: ModelConfig
) -> Examples:
    assert isinstance(training_examples, RowExamples)  # recipes of language models have no teachers
    swapped = SwappedPhrases(training_examples.rows, distill.swap, config.pad_token_id)
    joined = JoinedRows(swapped, distill.join, config.n_positions, config.pad_token_id)
    return ReplacedTokens(joined, distill.replace, config.vocab_size)


def _teacher_examples(training_examples: Examples, teacher: Teacher, config: ModelConfig) -> Examples:
    assert isinstance(training_examples, RowExamples)  # recipes of language models have no teachers
    examples: Examples = training_examples
    if teacher.swap:
        examples = SwappedPhrases(training_examples.rows, teacher.swap, config.pad_token_id)
    if teacher.token_dropout:
        examples = DroppedTokens(examples, teacher.token_dropout, config.pad_token_id or 0)
    return examples


def _require_files(recipe: TrainingRecipe, root: Path) -> None:
    """Raise one BadInput for all missing files; its message says where to get them."""
    data = recipe.data
    teachers = recipe.distill.teachers if recipe.distill else ()
    vectors = (teacher.vectors_file for teacher in teachers if teacher.vectors_file is not None)
    files = dict.fromkeys([data.train.file, data.valid.file, data.test.file, *vectors])
    missing = [file for file in files if file not in NAMED and not (root / file).exists()]
    if missing:
        root_option = "then give their folder with --data-root" if data.origin else "give --data-root FOLDER"
        raise BadInput(
            f"these data files are missing: {', '.join(missing)}",
            where=root.resolve(),
            fix=f"{data.origin.strip()}\n  {root_option}" if data.origin else root_option,
        )


def _locate(
    source: Source, root: Path, split: Split, validation: Located | None = None, run_length: int = 1
) -> Located:
    path = source.file if source.file in NAMED else str(root / source.file)
    path = locate(path, source.row_format, split)
    start, end = source.part
    runs: frozenset[tuple[str, ...]] = frozenset()
    if validation is not None:
        runs = word_runs(validation.records(), run_length)
    return Located(source, path, Part(start, end, source.min_words, runs, run_length, ADVICE))


def _tokenizer(recipe: TrainingRecipe, train: Located, scratch: Path, notes: list[str]) -> Path | None:
    choice = recipe.data.tokenizer
    if not isinstance(choice, Bpe):
        return choice
    vocab_size = recipe.model.vocab_size
    records = [] if train.is_text else train.records()
    texts = [_text(train)] if train.is_text else _texts(records)
    pairs = any(SECOND_TEXT in record.fields for record in records)
    tokenizer = train_bpe(
        texts, vocab_size, lowercase=choice.lowercase, treebank=choice.treebank, pairs=pairs
    )
    learned = vocabulary_size(tokenizer)
    if learned < vocab_size:
        notes.append(f"{train.source} gives only {learned} tokens, fewer than vocab_size {vocab_size}")
    path = scratch / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def _text(located: Located) -> str:
    return located.part.of_text(read_text(located.path)[0])


def _texts(records: Iterable[Record]) -> Iterator[str]:
    for record in records:
        for name in (*TEXT_COLUMNS, SECOND_TEXT):
            if isinstance(value := record.fields.get(name), str):
                yield value


def _json_lines(located: Located) -> str:
    return "".join(strict_json.dumps(record.fields, indent=None) + "\n" for record in located.records())


def _bytes_per_token(located: Located, tokenizer_file: Path | None) -> float | None:
    if not located.is_text or tokenizer_file is None:
        return None
    text = _text(located)
    return len(text.encode()) / len(read_tokenizer(tokenizer_file).encode(text).ids)
