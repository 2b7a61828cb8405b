"""Tokenizers that would make more of a text than memory holds.

A chain of replacements can double a text at each of its steps, for which `tokenizers` has no limit.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tokenizers import Tokenizer

from nf_edge.core import strict_json

# Keys of the steps that can make a text longer at each place of it, however they are spelt.
MAY_GROW = re.compile(r'"(?:pattern|precompiled_charsmap)"|\\u00[2-7]')
# All of Unicode's capitals are 1,433 steps of a letter each.
MOST_STEPS, MOST_CONTENT, MOST_CONTENTS = 2_000, 100, 5_000
# A character of Unicode has at most 18 in a normal form.
MOST_GROWTH = 20

Apply = Callable[[str], str]


def refuse_growth(text: str, probe: str) -> None:
    """Check a tokenizer.json before `tokenizers` loads it, which already normalizes the added tokens.

    Its normalizer and its decoder are run step by step on the probe and on all that their replacements
    write: what grows without end has to replace what it wrote.

    Raises:
        ValueError: one of them makes a text too long, or is too long itself.
    """
    if not MAY_GROW.search(text):
        return
    document = strict_json.loads(text)
    for part in ("normalizer", "decoder"):
        steps = list(_steps(document.get(part)))
        contents = sorted({content for step in steps if isinstance(content := step.get("content"), str)})
        longest, size = max(map(len, contents), default=0), sum(map(len, contents))
        if len(steps) > MOST_STEPS or longest > MOST_CONTENT or size > MOST_CONTENTS:
            raise ValueError(
                f"its {part} has {len(steps):,} steps, which write {size:,} characters, up to {longest:,} in "
                f"one place; at most {MOST_STEPS:,} steps, {MOST_CONTENTS:,} characters, {MOST_CONTENT} in "
                "one place, are read"
            )
        tried = start = " ".join((probe, *(2 * content for content in contents)))
        for step in steps:
            tried = _alone(part, step)(tried)
            if len(tried) > MOST_GROWTH * len(start):
                raise ValueError(f"its {part} makes a text more than {MOST_GROWTH} times as long")


def _steps(part: Any) -> Iterator[Mapping[str, Any]]:
    if not isinstance(part, dict):
        return
    sequence = part.get("normalizers", part.get("decoders"))
    if not isinstance(sequence, list):
        yield part
        return
    for each in sequence:
        yield from _steps(each)


def _alone(part: str, step: Mapping[str, Any]) -> Apply:
    """One step of a normalizer or a decoder."""
    nothing = dict.fromkeys(
        ("truncation", "padding", "normalizer", "pre_tokenizer", "post_processor", "decoder")
    )
    model = {"type": "BPE", "vocab": {}, "merges": []}
    document: dict[str, Any] = {"version": "1.0", "added_tokens": [], **nothing, "model": model, part: step}
    tokenizer = Tokenizer.from_str(strict_json.dumps(document))
    if part == "decoder":
        return lambda text: tokenizer.decoder.decode([text])
    return lambda text: tokenizer.normalizer.normalize_str(text)
