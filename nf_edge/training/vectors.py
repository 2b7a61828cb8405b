"""Read pretrained word vectors, the initial embeddings of a teacher.

An example is Pennington et al., "GloVe: Global Vectors for Word Representation", EMNLP 2014.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from nf_edge.core.errors import BadInput
from nf_edge.core.reading import GIB, MIB, open_regular

# Limits on a file and on a line.  GloVe's largest file has 5 GB; a line has a word and a few hundred numbers.
MOST_BYTES, MOST_LINE = 64 * GIB, MIB


@dataclass(frozen=True)
class WordVectors:
    """The word vectors of a vocabulary's tokens.

    Attributes:
        table: float32 [V, d], scaled to a root mean square of 1 over the tokens that have a vector; 0 for the
            others.
        known: bool [V], whether a token has a vector.
    """

    table: Tensor
    known: Tensor


def read_vectors(path: Path, tokenizer: Tokenizer, vocab_size: int) -> WordVectors:
    """Read the vectors of words that are single tokens.

    The format is GloVe's: each line of a text file has a word and its numbers, separated by single spaces.

    Raises:
        BadInput: the file cannot be read, has another format, or has no word of the vocabulary.
    """
    ids = {word: index for word, index in _words(tokenizer).items() if index < vocab_size}
    vector_of: dict[int, list[float]] = {}
    width = None
    with open_regular(path, MOST_BYTES) as file:
        for number, line in enumerate(iter(lambda: file.readline(MOST_LINE), b""), start=1):
            word, *fields = _text(line, path, number).rstrip().split(" ")
            width = len(fields) if width is None else width
            if not fields or len(fields) != width:
                expected = f"{width}" if width else "at least one"
                raise _not_vectors(path, number, f"has {len(fields)} numbers instead of {expected}")
            if word in ids:
                vector_of[ids[word]] = _numbers(fields, path, number)
    if not vector_of:
        raise BadInput(
            "has no vector for any word of the vocabulary",
            where=path,
            fix="use word vectors for the language of the training texts",
        )
    known = torch.zeros(vocab_size, dtype=torch.bool)
    known[list(vector_of)] = True
    table = torch.zeros(vocab_size, width or 0)
    table[list(vector_of)] = torch.tensor(list(vector_of.values()))
    if not table.isfinite().all():
        first = int((~table.isfinite()).any(dim=1).nonzero()[0])
        word = next(word for word, index in ids.items() if index == first)
        what, fix = f"the vector of {word!r} has NaN or Inf", "remove that vector, or download the file again"
        raise BadInput(what, where=path, fix=fix)
    scale = table[known].square().mean().sqrt()
    if not (scale > 0 and scale.isfinite()):
        what = "has only zeros, or numbers that are too large to square in float32"
        raise BadInput(what, where=path, fix="download the file again, or use other vectors")
    return WordVectors(table / scale, known)


def _text(line: bytes, path: Path, number: int) -> str:
    if len(line) == MOST_LINE:
        raise _not_vectors(path, number, f"has more than {MOST_LINE:,} bytes")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _not_vectors(path, number, f"is not UTF-8 text (byte {error.start})") from error


def _words(tokenizer: Tokenizer) -> dict[str, int]:
    """Map each word or punctuation mark that is one token to its id; parts of words are left out."""
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
        raise _not_vectors(path, line, "has a value that is not a number") from error


def _not_vectors(path: Path, line: int, what: str) -> BadInput:
    return BadInput(
        f"is not a file of word vectors (line {line} {what})",
        where=path,
        fix="each line must be a word and the same number of values, separated by single spaces",
    )
