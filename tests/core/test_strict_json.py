"""JSON that every reader takes: no NaN and no Infinity, written or read."""

import ast
from pathlib import Path

import pytest

import nf_edge
from nf_edge.core import strict_json

PACKAGE = Path(nf_edge.__file__).parent
MODULE = PACKAGE / "core" / "strict_json.py"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_json_has_no_word_for_is_not_written(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        strict_json.dumps({"figure": [value]})


@pytest.mark.parametrize(
    "text", ["NaN", "[Infinity]", '{"a": -Infinity}', "1e400", "[-1e999]", "[" * 100_000]
)
def test_what_json_does_not_have_is_not_read(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a number in JSON|does not fit|levels deep"):
        strict_json.loads(text)


def test_numbers_and_texts_come_back_as_they_were() -> None:
    document = {"a": [1, 1.5, -0.0, 1e-320, None, True], "ü": "ü\ud800"}
    assert strict_json.loads(strict_json.dumps(document)) == document
    assert strict_json.dumps([1, {"a": 2}], indent=None) == '[1, {"a": 2}]'


def test_no_other_module_reads_or_writes_json_itself() -> None:
    for path in sorted(PACKAGE.rglob("*.py")):
        if path == MODULE:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            imported = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                imported = [node.module or ""]
            assert "json" not in imported, f"{path}:{node.lineno}: use nf_edge.core.strict_json"
