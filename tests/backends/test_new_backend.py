"""A new backend is one module and one entry of the registry: every command takes it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from nf_edge.backends import REGISTRY, Entry

RECIPE = """\
name: tiny-fp32
description: float32 in PyTorch
runtime: torch
backend: tiny
shapes: {length: full}
"""


@pytest.fixture
def recipe(monkeypatch, tmp_path):
    """A recipe's file for a backend that is registered in this test."""
    monkeypatch.setitem(REGISTRY, "tiny", Entry("PyTorch, as a test", "tiny_backend:Tiny", ("torch",)))
    # Files are measured in a process of their own.
    monkeypatch.syspath_prepend(Path(__file__).parent)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=":")
    path = tmp_path / "tiny-fp32.yaml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


@pytest.mark.slow
def test_every_command_takes_a_backend_that_is_one_module_and_one_entry(recipe, run, tmp_path):
    def result(*arguments):
        done = run(*arguments, "--json")
        assert done.code == 0, done.err
        return json.loads(done.out)["result"]

    out = tmp_path / "out"
    assert result("recipes", "check", recipe) == {"valid": [str(recipe)]}
    assert "tiny" in {backend["name"] for backend in result("backends")}
    assert result("profile", "digits", "--recipe", recipe)["file"]
    exported = result("export", "digits", "--recipe", recipe, "-o", out)
    assert exported["reports"]["parity"]["error"] <= 1e-4
    assert exported["coverage"]["left"] == []
    checked = result("check", out, "--data", "digits:test", "--limit", "40")
    assert (checked["questions"], checked["flips"]) == (40, 0)
    *_, total = result("profile", out)["process"]
    assert total["measured"]["how"] == "measured"
    assert "nf-edge has no native runner for torch" in run("inspect", out).out
    assert "torch in Python" in {load["where"] for load in result("inspect", out)["loads"]}
    guide = (out / "RUN.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], cwd=out, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_it_does_not_support_is_said_in_the_same_words(recipe, run):
    text = recipe.read_text(encoding="utf-8")
    section = "quantize: {weights: int8, granularity: per_channel, activations: none, embeddings: float32}\n"
    recipe.write_text(text.replace("torch", "executorch") + section, encoding="utf-8")
    done = run("recipes", "check", recipe)
    assert done.code == 3
    assert "runtime: backend tiny needs `runtime: torch`" in done.err
    assert "quantize: backend tiny has no kernel for int8 per_channel with activations none" in done.err
