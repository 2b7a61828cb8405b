"""Reading a recipe's data: rows for a classifier, blocks of text for a language model."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nf_edge.core import strict_json
from nf_edge.core.errors import BadInput
from nf_edge.core.reading import sha256 as file_sha256
from nf_edge.model.config import ModelConfig
from nf_edge.model.data.blocks import read_blocks
from nf_edge.model.data.columns import TEXT_COLUMNS
from nf_edge.model.data.parts import Part, word_runs
from nf_edge.model.data.rows import Rows, read_rows
from nf_edge.model.data.sources import NAMED, is_text, read_records, read_text
from nf_edge.model.tokenizer import read_tokenizer, vocabulary_size
from nf_edge.training.bpe import train_bpe
from nf_edge.training.examples import BlockExamples, DroppedTokens, Examples, JitteredIntensities, RowExamples
from nf_edge.training.recipe import Bpe, Distillation, Source, TrainingRecipe
from nf_edge.training.teacher import Teacher
from nf_edge.training.unlabeled import JoinedRows, ReplacedTokens, SwappedPhrases
from nf_edge.training.vectors import WordVectors, read_vectors


@dataclass(frozen=True)
class Located:
    """A source of the recipe: its name there, where it is, and which part of it is meant."""

    source: Source
    path: str
    part: Part


@dataclass(frozen=True)
class Lesson:
    """What one teacher learns the labels on, and the word vectors that it begins with."""

    examples: Examples
    vectors: WordVectors | None


@dataclass(frozen=True)
class TrainingData:
    """Everything that a recipe reads.

    Attributes:
        taught: what a model learns from teachers on, labels or none; None where it has no teachers.
        lessons: of each of its teachers, in the recipe's order.
        examples: what goes with the checkpoint and can be scored: a classifier's rows, or None.
        examples_json: what goes with it, as it was written: a JSON object a line.
        tokenizer_file: a tokenizer.json, given or learned; None where the data has no text.
        bytes_per_token: of the test text, in UTF-8; None but for a language model of a text file.
        sha256: of each file, by its name in the recipe.
        notes: what a user should know of how it was read.
    """

    train: Examples
    taught: Examples | None
    lessons: tuple[Lesson, ...]
    valid: Examples
    test: Examples
    examples: Examples | None
    examples_json: str
    tokenizer_file: Path | None
    bytes_per_token: float | None
    sha256: dict[str, str]
    notes: tuple[str, ...]


def read_training_data(recipe: TrainingRecipe, root: Path, scratch: Path) -> TrainingData:
    """Read all of a recipe's sources.

    Args:
        root: the folder in which its files are.
        scratch: a folder for a tokenizer that is learned from them.

    Raises:
        BadInput: one cannot be read, or its rows are not for this model.
        MissingTool: a named data set needs a package that is not installed.
    """
    _require_files(recipe, root)
    config, data, extra = recipe.model, recipe.data, recipe.regularization
    sha256: dict[str, str] = {}
    notes: list[str] = []
    valid, test = _locate(data.valid, root), _locate(data.test, root)
    if data.refit:
        train = _locate(Source(file=data.train.file), root)
    else:
        train = _locate(data.train, root, valid if data.apart else None, data.apart or 1)
    tokenizer_file = _tokenizer(recipe, train, scratch, notes)

    def rows(located: Located) -> Rows:
        found = read_rows(located.path, config, tokenizer_file, part=located.part)
        sha256[located.source.file] = found.sha256
        notes.extend(found.warnings)
        return found

    def examples(located: Located) -> Examples:
        if config.is_language_model:
            blocks = read_blocks(located.path, config, tokenizer_file, located.part)
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

    learned_from = examples(train)
    notes.append(f"{len(learned_from):,} {'blocks' if config.is_language_model else 'rows'} to learn from")
    shown = _locate(Source(file=data.examples), root) if data.examples else None
    return TrainingData(
        varied(learned_from),
        varied(_unlabeled(learned_from, recipe.distill, config)) if recipe.distill else None,
        tuple(
            Lesson(_labelled(learned_from, teacher, config), vectors(teacher))
            for teacher in (recipe.distill.teachers if recipe.distill else ())
        ),
        examples(valid),
        examples(test),
        # A language model's examples are lines out of nowhere: where to begin, not a text to predict.
        examples(shown) if shown and not config.is_language_model else None,
        _json_lines(shown) if shown else "",
        tokenizer_file,
        _bytes_per_token(test, tokenizer_file),
        sha256,
        tuple(notes),
    )


def _unlabeled(learned_from: Examples, distill: Distillation, config: ModelConfig) -> Examples:
    assert isinstance(learned_from, RowExamples)  # no recipe of a language model has teachers
    swapped = SwappedPhrases(learned_from.rows, distill.swap, config.pad_token_id)
    joined = JoinedRows(swapped, distill.join, config.n_positions, config.pad_token_id)
    return ReplacedTokens(joined, distill.replace, config.vocab_size)


def _labelled(learned_from: Examples, teacher: Teacher, config: ModelConfig) -> Examples:
    assert isinstance(learned_from, RowExamples)  # no recipe of a language model has teachers
    examples: Examples = learned_from
    if teacher.swap:
        examples = SwappedPhrases(learned_from.rows, teacher.swap, config.pad_token_id)
    if teacher.token_dropout:
        examples = DroppedTokens(examples, teacher.token_dropout, config.pad_token_id or 0)
    return examples


def _require_files(recipe: TrainingRecipe, root: Path) -> None:
    """Say of all the files at once which are not there, and how a user comes by them."""
    data = recipe.data
    teachers = recipe.distill.teachers if recipe.distill else ()
    vectors = (teacher.vectors_file for teacher in teachers if teacher.vectors_file is not None)
    files = dict.fromkeys([data.train.file, data.valid.file, data.test.file, *vectors])
    missing = [file for file in files if file not in NAMED and not (root / file).exists()]
    if missing:
        root_option = "--data-root names the folder that has them"
        raise BadInput(
            f"no such data: {', '.join(missing)}",
            where=root.resolve(),
            fix=f"{data.origin.strip()}\n  {root_option}" if data.origin else root_option,
        )


def _locate(source: Source, root: Path, apart_from: Located | None = None, run_length: int = 1) -> Located:
    path = source.file if source.file in NAMED else str(root / source.file)
    start, end = source.part
    runs: frozenset[tuple[str, ...]] = frozenset()
    if apart_from is not None:
        runs = word_runs(apart_from.part.of_records(read_records(apart_from.path)[0].records), run_length)
    return Located(source, path, Part(start, end, source.min_words, runs, run_length))


def _tokenizer(recipe: TrainingRecipe, train: Located, scratch: Path, notes: list[str]) -> Path | None:
    given = recipe.data.tokenizer
    if not isinstance(given, Bpe):
        return given
    wanted = recipe.model.vocab_size
    tokenizer = train_bpe(_texts(train), wanted, lowercase=given.lowercase, treebank=given.treebank)
    learned = vocabulary_size(tokenizer)
    if learned < wanted:
        notes.append(f"{train.source}: gave a vocabulary of {learned}, not {wanted}")
    path = scratch / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def _texts(located: Located) -> Iterator[str]:
    if is_text(located.path):
        yield located.part.of_text(read_text(located.path)[0])
        return
    for record in located.part.of_records(read_records(located.path)[0].records):
        yield from (value for name in TEXT_COLUMNS if isinstance(value := record.fields.get(name), str))


def _json_lines(located: Located) -> str:
    records = located.part.of_records(read_records(located.path)[0].records)
    return "".join(strict_json.dumps(record.fields, indent=None) + "\n" for record in records)


def _bytes_per_token(located: Located, tokenizer_file: Path | None) -> float | None:
    if not is_text(located.path) or tokenizer_file is None:
        return None
    (text,) = _texts(located)
    return len(text.encode()) / len(read_tokenizer(tokenizer_file).encode(text).ids)
