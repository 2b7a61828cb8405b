"""Rows longer than a recipe's fixed length are cut and counted, wherever rows are read."""

import json

import pytest

SHORT = """\
name: short
description: of 32 tokens
runtime: onnxruntime
backend: onnx_cpu
shapes: {length: 32}
quantize: {weights: int8, granularity: per_channel, activations: int8_static, embeddings: int8}
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "short.yaml"
    path.write_text(SHORT, encoding="utf-8")
    return path


def result(done):
    assert done.code == 0, done.err
    return json.loads(done.out)["result"]


def test_an_export_calibrates_and_compares_on_rows_that_it_cut(recipe, run, tmp_path):
    """The bundled digits have 64 tokens each."""
    out = tmp_path / "out"
    manifest = result(run("export", "digits", "--recipe", recipe, "-o", out, "--json"))
    parity, calibration = manifest["reports"]["parity"], manifest["calibration"]
    assert parity["truncated_rows"] == parity["count"] > 0
    assert calibration["truncated_rows"] == calibration["rows"] > 0
    assert "truncated to the input length" in (out / "report.html").read_text(encoding="utf-8")
    done = run("check", out, "--data", "digits:test", "--limit", 20, "--json")
    assert result(done)["truncated_rows"] == 20
    assert "digits:test: rows cut to 32 tokens: 20" in done.err


def test_sensitivity_is_taken_on_rows_that_it_cut(recipe, run):
    found = result(run("sensitivity", "digits", "--recipe", recipe, "--limit", 4, "--json"))
    assert found["truncated_rows"] == found["rows"] == 4


@pytest.mark.slow
def test_a_sweep_cuts_the_rows_of_the_recipe_that_is_short_alone(recipe, run):
    options = ("--data", "digits:test", "--limit", 10, "--repeats", 5, "--recipe", "onnx-fp32")
    found = result(run("sweep", "digits", *options, "--recipe", recipe, "--json"))
    cut = {each["recipe"]: each["accuracy"]["truncated_rows"] for each in found["recipes"]}
    assert cut == {"onnx-fp32": 0, "short": 10}
    assert "digits:test: rows cut to 32 tokens: 10" in found["notes"]
