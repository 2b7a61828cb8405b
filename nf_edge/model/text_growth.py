"""Refuse tokenizers that expand a text beyond all memory.

A chain of replacements can double a text at every step, and `tokenizers` sets no limit.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tokenizers import Tokenizer

from nf_edge.core import strict_json

# Keys of the steps that can lengthen a text at every position; files may also write them with \u escapes.
MAY_GROW = re.compile(r'"(?:pattern|precompiled_charsmap)"|\\u00[2-7]')
# Largest number of steps.  For comparison: lower-casing all of Unicode letter by letter takes 1,433 steps.
MOST_STEPS, MOST_CONTENT, MOST_CONTENTS = 2_000, 100, 5_000
# The most characters that one character may become; Unicode normalization makes at most 18.
MOST_GROWTH = 20

Apply = Callable[[str], str]


def refuse_growth(text: str, probe: str) -> None:
    """Check a tokenizer.json before `tokenizers` loads it, because loading already runs the normalizer.

    The steps of the normalizer and of the decoder run one by one.  Their input is `probe`, followed by the
    texts that the steps insert.  Unlimited growth is possible only if a step replaces a text that another
    step inserted.  The input contains these texts, so it reveals such growth.

    Args:
        text: the content of the tokenizer.json.
        probe: an ordinary text.

    Raises:
        ValueError: a normalizer or decoder makes a text too long, or has too many steps.
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
                f"its {part} may have at most {MOST_STEPS:,} steps (it has {len(steps):,}), replacements of "
                f"{MOST_CONTENT} characters (the longest has {longest:,}), and {MOST_CONTENTS:,} characters "
                f"in all replacements (it has {size:,})"
            )
        output = input_text = " ".join((probe, *(2 * content for content in contents)))
        for step in steps:
            output = _step_function(part, step)(output)
            if len(output) > MOST_GROWTH * len(input_text):
                raise ValueError(
                    f"its {part} may make a text at most {MOST_GROWTH} times as long, but makes one longer"
                )


def _steps(part: Any) -> Iterator[Mapping[str, Any]]:
    if not isinstance(part, dict):
        return
    sequence = part.get("normalizers", part.get("decoders"))
    if not isinstance(sequence, list):
        yield part
        return
    for each in sequence:
        yield from _steps(each)


def _step_function(part: str, step: Mapping[str, Any]) -> Apply:
    """A function that applies one step of a normalizer or a decoder to a text.

    Args:
        part: "normalizer" or "decoder".
        step: the step as in `tokenizer.json`.
    """
    no_parts = dict.fromkeys(
        ("truncation", "padding", "normalizer", "pre_tokenizer", "post_processor", "decoder")
    )
    model = {"type": "BPE", "vocab": {}, "merges": []}
    document: dict[str, Any] = {"version": "1.0", "added_tokens": [], **no_parts, "model": model, part: step}
    tokenizer = Tokenizer.from_str(strict_json.dumps(document))
    if part == "decoder":
        return lambda text: tokenizer.decoder.decode([text])
    return lambda text: tokenizer.normalizer.normalize_str(text)
