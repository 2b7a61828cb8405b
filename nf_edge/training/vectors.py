"""Word vectors that others trained on far more text than a recipe has, for a teacher to begin with.

Pennington et al., "GloVe: Global Vectors for Word Representation", EMNLP 2014, is such a set.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from nf_edge.core.errors import BadInput
from nf_edge.core.reading import GIB, MIB, open_regular

# GloVe's largest file has 5 GB; a line is a word and some hundred numbers.
MOST_BYTES, MOST_LINE = 64 * GIB, MIB


@dataclass(frozen=True)
class WordVectors:
    """Vectors of the tokens of a vocabulary that are words.

    Attributes:
        table: float32 [V, d], scaled as one so that its values have a standard deviation of 1; rows of
            tokens that are no known word are 0.
        known: bool [V], whether a token is a known word.
    """

    table: Tensor
    known: Tensor


def read_vectors(path: Path, tokenizer: Tokenizer, vocab_size: int) -> WordVectors:
    """Read a text file of word vectors, of the words that are single tokens: a word and its numbers a line,
    separated by spaces, as GloVe has them.

    Raises:
        BadInput: it cannot be read, is not such a file, or has none of the vocabulary's words.
    """
    ids = {word: index for word, index in _words(tokenizer).items() if index < vocab_size}
    found: dict[int, list[float]] = {}
    width = None
    with open_regular(path, MOST_BYTES) as file:
        for number, line in enumerate(iter(lambda: file.readline(MOST_LINE), b""), start=1):
            word, *fields = _text(line, path, number).rstrip().split(" ")
            width = len(fields) if width is None else width
            if not fields or len(fields) != width:
                raise _not_vectors(path, number, f"has {len(fields)} numbers, not {width or 'some'}")
            if word in ids:
                found[ids[word]] = _numbers(fields, path, number)
    if not found:
        raise BadInput("has no vector of any word of the vocabulary", where=path)
    known = torch.zeros(vocab_size, dtype=torch.bool)
    known[list(found)] = True
    table = torch.zeros(vocab_size, width or 0)
    table[list(found)] = torch.tensor(list(found.values()))
    if not table.isfinite().all():
        raise BadInput("has a vector with NaN or Inf", where=path)
    scale = table[known].square().mean().sqrt()
    if not (scale > 0 and scale.isfinite()):
        raise BadInput("has vectors of zeros only, or of numbers too large to square", where=path)
    return WordVectors(table / scale, known)


def _text(line: bytes, path: Path, number: int) -> str:
    if len(line) == MOST_LINE:
        raise _not_vectors(path, number, f"has more than {MOST_LINE:,} bytes")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _not_vectors(path, number, f"is not UTF-8 text (byte {error.start})") from error


def _words(tokenizer: Tokenizer) -> dict[str, int]:
    """The ids of tokens that are words or signs; a piece that goes on a word is not the word it spells."""
    words = {}
    for index in tokenizer.get_vocab().values():
        text = tokenizer.decode([index])
        if text.strip() and not text[0].isalnum():
            words[text.strip()] = index
    return words


def _numbers(fields: list[str], path: Path, line: int) -> list[float]:
    try:
        return [float(field) for field in fields]
    except ValueError as error:
        raise _not_vectors(path, line, str(error)) from error


def _not_vectors(path: Path, line: int, what: str) -> BadInput:
    return BadInput(
        f"is not a file of word vectors: line {line} {what}",
        where=path,
        fix="each line is a word and its numbers, as many in all lines, with single spaces",
    )
