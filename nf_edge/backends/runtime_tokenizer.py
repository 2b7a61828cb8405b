"""Check whether a runtime's tokenizer reads a `tokenizer.json` like Hugging Face `tokenizers`.

If the runtime's package is installed, both tokenizers encode and decode the same texts.  Otherwise the result
is known only for tokenizers of GPT-2's form, see `is_gpt2_form`.
"""

import importlib.metadata
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tokenizers import Tokenizer, pre_tokenizers

from nf_edge.core import strict_json
from nf_edge.core.reading import sha256
from nf_edge.model.checkpoint_outline import TOKENIZER
from nf_edge.model.tokenizer import read_tokenizer

TIMEOUT_S = 300.0
# Texts with spaces, capitals, contractions, digits, line ends, punctuation, composed and separate accents,
# and several scripts.
PROBES = (
    "",
    "a plain sentence",
    " a leading space",
    "  two  spaces   three    four ",
    "LOUD Capitals in iPhone",
    "don't we'll I'd they've she's",
    "12 345 6,789.50 1st x86",
    "two\nlines\n\n\tand a tab\r\n",
    "if x:\n        return y\n    z",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ abcdefghijklmnopqrstuvwxyz 0123456789",
    "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ a, b. (c) d: e; f! g?",
    "Ünïcödé É ÇA ß İ ﬁ e\u0301 ½ ² \u00a0 \u2003 \u3000 “quotes” – —",
    "日本語 русский العربية हिन्दी 한국어 😀👩‍👩‍👧",
    "a" * 50,
)
# All characters of alphabets, signs and compatibility forms, with two exceptions.  U+0085 is a line end that
# only genai treats as a letter.  NUL ends a C string.
CHARACTERS = [
    chr(i) for i in (*range(1, 0x85), *range(0x86, 0x3400), *range(0xA000, 0xAC00), *range(0xF900, 0xFFFE))
]
CHARACTERS_A_TEXT = 32
MEASURE = """
import json, sys

request = json.load(sys.stdin)
{load}
answers = []
for text in request["texts"]:
    try:
        ids = [int(token) for token in encode(text)]
        answers.append([ids, decode(ids) if ids else ""])
    except Exception as error:
        answers.append([None, str(error)])
print("{mark}" + json.dumps(answers))
"""
MARK = "answers: "


@dataclass(frozen=True)
class TokenizerReading:
    """The comparison of a runtime's tokenizer with `tokenizers`, on one `tokenizer.json`.

    Attributes:
        runtime: name of the runtime.
        same: whether the runtime encodes and decodes like `tokenizers`; None if unknown.
        how: `measured` with the runtime's package, `predicted` from the tokenizer's form, or `unavailable`.
        texts: number of texts compared.
        version: the compared package and its version; "" if none was compared.
        reason: the difference, or the reason why `same` is unknown; "" if `same` is true.
    """

    runtime: str
    same: bool | None
    how: Literal["measured", "predicted", "unavailable"]
    texts: int = 0
    version: str = ""
    reason: str = ""


# Map the inputs of a comparison to its result, because a sweep exports the same tokenizer many times.
_READINGS: dict[tuple[Any, ...], TokenizerReading] = {}


@dataclass(frozen=True)
class RuntimeTokenizer:
    """The tokenizer of a runtime.

    Attributes:
        package: the Python package that contains the tokenizer.
        load: Python code that defines `encode` and `decode` from the folder `request["folder"]`.
        files: the files that the tokenizer reads in that folder.
    """

    runtime: str
    package: str
    load: str
    files: tuple[str, ...] = (TOKENIZER,)

    def read(self, folder: Path, examples: Iterable[str] = ()) -> TokenizerReading:
        """Compare the runtime's tokenizer with `tokenizers` on the tokenizer.json in `folder`.

        Args:
            examples: texts to compare in addition to probes and the text of every token.
        """
        file = folder / TOKENIZER
        try:
            version = importlib.metadata.version(self.package)
        except importlib.metadata.PackageNotFoundError:
            return self._by_form(file)
        examples = tuple(examples)
        compared = (self, version, *(sha256(folder / name) for name in self.files), examples)
        if compared not in _READINGS:
            _READINGS[compared] = self._measured(folder, examples, version)
        return _READINGS[compared]

    def _measured(self, folder: Path, examples: Iterable[str], version: str) -> TokenizerReading:
        tokenizer = read_tokenizer(folder / TOKENIZER)
        texts = [text for text in _texts(tokenizer, examples) if "\0" not in text]
        answers, reason = self._encoded(folder, texts)
        if answers is not None:
            reason = next(_differences(tokenizer, texts, answers), "")
        tried = f"{self.package} {version}"
        return TokenizerReading(self.runtime, not reason, "measured", len(texts), tried, reason)

    def _by_form(self, file: Path) -> TokenizerReading:
        if is_gpt2_form(strict_json.loads(file.read_bytes())):
            return TokenizerReading(self.runtime, True, "predicted")
        reason = f"{self.package} is not installed to compare, and the tokenizer does not have GPT-2's form"
        return TokenizerReading(self.runtime, None, "unavailable", reason=reason)

    def _encoded(self, folder: Path, texts: list[str]) -> tuple[list[Any] | None, str]:
        """Encode and decode each text with the runtime's tokenizer.

        It runs in another process, because its C++ code may abort or write logs.

        Returns:
            (answers, "") with ids and decoded text for each text; or (None, reason) if it failed.
        """
        request = strict_json.dumps({"folder": str(folder), "texts": texts})
        command = [sys.executable, "-c", MEASURE.format(load=self.load, mark=MARK)]
        try:
            done = subprocess.run(
                command,
                input=request,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=TIMEOUT_S,
            )
        except subprocess.TimeoutExpired:
            return None, f"it takes longer than {TIMEOUT_S:.0f} s"
        marked = done.stdout.rpartition(MARK)[2]
        if done.returncode or not marked:
            return None, _reason(done.stderr, done.returncode)
        answers: list[Any] = strict_json.loads(marked.splitlines()[0])
        return answers, ""


EXECUTORCH = RuntimeTokenizer(
    "ExecuTorch",
    "pytorch_tokenizers",
    """
from pytorch_tokenizers import CppHFTokenizer

tokenizer = CppHFTokenizer()
tokenizer.load(request["folder"] + "/tokenizer.json")
encode, decode = lambda text: tokenizer.encode(text, 0, 0), tokenizer.decode_batch
""",
)
GENAI = RuntimeTokenizer(
    "onnxruntime-genai",
    "onnxruntime-genai",
    """
import onnxruntime_genai

tokenizer = onnxruntime_genai.Tokenizer(request["folder"])
encode, decode = tokenizer.encode, tokenizer.decode
""",
    (TOKENIZER, "tokenizer_config.json", "genai_config.json"),
)


def is_gpt2_form(document: Mapping[str, Any]) -> bool:
    """Whether a tokenizer.json is a byte-level BPE like GPT-2's, which the runtimes read like `tokenizers`.

    It must have no normalizer, and no other part or option than GPT-2's.  All bytes must be tokens.  Every
    other token must be an added token or the result of a merge.  Added tokens must not strip spaces or match
    whole words only.
    """
    model, pre = document["model"], document.get("pre_tokenizer") or {}
    if model.get("type") != "BPE" or document.get("normalizer"):
        return False
    if pre.get("type") != "ByteLevel" or pre.get("add_prefix_space") or not pre.get("use_regex", True):
        return False
    if (document.get("post_processor") or {"type": "ByteLevel"}).get("type") != "ByteLevel":
        return False
    if (document.get("decoder") or {}).get("type") != "ByteLevel":
        return False
    options = ("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix")
    if any(model.get(key) for key in (*options, "fuse_unk", "byte_fallback", "ignore_merges")):
        return False
    added = document.get("added_tokens", [])
    if any(token.get(flag) for token in added for flag in ("lstrip", "rstrip", "single_word")):
        return False
    merges = (merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"])
    made = {"".join(merge) for merge in merges} | {token["content"] for token in added}
    alphabet = set(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = set(model["vocab"])
    return alphabet <= vocabulary <= alphabet | made


def _texts(tokenizer: Tokenizer, examples: Iterable[str]) -> list[str]:
    """The texts to compare: `PROBES`, `examples`, `CHARACTERS`, and the text of every token.

    Added tokens, and the patterns of normalizers and pre-tokenizers, appear with and without spaces around
    them.
    """
    texts = [*PROBES, *examples]
    for start in range(0, len(CHARACTERS), CHARACTERS_A_TEXT):
        texts.append(" ".join(CHARACTERS[start : start + CHARACTERS_A_TEXT]))
    patterns = re.findall(r'"pattern":\{"String":("(?:[^"\\]|\\.)*")', tokenizer.to_str())
    added = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
    for word in (*added, *map(strict_json.loads, patterns)):
        texts += [word, f"a {word} b", f"a  {word}  b", f"a{word}b"]
    for index in tokenizer.get_vocab(with_added_tokens=False).values():
        texts.append(tokenizer.decode([index], skip_special_tokens=False))
    return list(dict.fromkeys(texts))


def _differences(tokenizer: Tokenizer, texts: list[str], answers: list[Any]) -> Iterator[str]:
    """A description of each text that the runtime encodes or decodes differently.

    Args:
        answers: the runtime's token ids and decoded text for each text; if it failed, None and the error.
    """
    added = set(tokenizer.get_added_tokens_decoder())
    for text, (ids, written) in zip(texts, answers, strict=True):
        expected = tokenizer.encode(text).ids
        if ids is None:
            yield f"it cannot encode {_short(text)}: {written}"
        elif ids != expected:
            yield f"it encodes {_short(text)} as {_short(ids)}, not {_short(expected)}"
        elif added.isdisjoint(ids) and written != (again := tokenizer.decode(ids)):
            yield f"it decodes {_short(ids)} as {_short(written)}, not {_short(again)}"


def _short(value: str | list[int]) -> str:
    most = 40 if isinstance(value, str) else 8
    return repr(value[:most]) + (" ..." if len(value) > most else "")


def _reason(stderr: str, code: int) -> str:
    """The last line of the runtime's error message, without its prefix.

    Args:
        stderr: the output of the runtime's process.
        code: the exit code of this process, named in the result if there is no output.
    """
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    logged = [line for line in lines if re.match(r"E tokenizers:", line)]
    last = (logged or lines or [f"it ended with code {code}"])[-1]
    return re.sub(r"^(E tokenizers:[^]]*\] |\w*Error: )", "", last)[:200]
