"""Word vectors that others trained on far more text than a recipe has, for a teacher to begin with.

Pennington et al., "GloVe: Global Vectors for Word Representation", EMNLP 2014, is such a set.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from nf_edge.errors import BadInput


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
    ids = _words(tokenizer)
    found: dict[int, list[float]] = {}
    width = None
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                word, *fields = line.rstrip().split(" ")
                width = len(fields) if width is None else width
                if not fields or len(fields) != width:
                    raise _not_vectors(path, number, f"has {len(fields)} numbers, not {width or 'some'}")
                if word in ids:
                    found[ids[word]] = _numbers(fields, path, number)
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"cannot be read: {error}", where=path) from error
    if not found:
        raise BadInput("has no vector of any word of the vocabulary", where=path)
    known = torch.zeros(vocab_size, dtype=torch.bool)
    known[list(found)] = True
    table = torch.zeros(vocab_size, width or 0)
    table[list(found)] = torch.tensor(list(found.values()))
    if not table.isfinite().all():
        raise BadInput("has a vector with NaN or Inf", where=path)
    return WordVectors(table / table[known].square().mean().sqrt(), known)


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
