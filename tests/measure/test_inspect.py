"""`inspect` and `--dry-run`: what an artifact is, and what an export would be."""

import json

import pytest


@pytest.fixture
def result(run):
    """The result of a command with --json."""

    def call(*args):
        done = run(*args, "--json")
        return done.code, json.loads(done.out)["result"]

    return call


@pytest.mark.parametrize(
    ("recipe", "attention"),
    [("onnx-fp32", "com.microsoft::MultiHeadAttention"), ("xnnpack-8da8w", "delegate XnnpackBackend")],
)
def test_it_lists_the_operators_and_loads_the_file_in_every_runtime(recipe, attention, exported, result):
    code, found = result("inspect", exported("wide-cls", recipe).path)
    assert code == 0
    assert found["operators"][attention] > 0
    assert [load["problem"] for load in found["loads"]] == ["", ""]
    assert {load["where"].split(" ", 1)[1] for load in found["loads"]} == {"in Python", "natively"}
    assert "reports" not in found


def test_it_says_what_an_application_must_link(exported, run):
    done = run("inspect", exported("wide-cls", "xnnpack-8da8w").path)
    assert done.code == 0
    for fact in ("xnnpack_backend", "kernels of nf-edge: not needed", "(verified)", "natively: loads"):
        assert fact in done.out


def test_the_inputs_of_a_cache_are_not_said_to_be_tokens(exported, run):
    lines = run("inspect", exported("wide-lm", "onnx-fp32").path).out.splitlines()
    (inputs,) = (line for line in lines if line.split()[:1] == ["inputs"])
    assert "input_ids, attention_mask, position_ids: int64" in inputs
    assert "past_key_values" not in inputs
    (cache,) = (line for line in lines if line.split()[:1] == ["cache"])
    assert "past_key_values.N.key and .value: float32" in cache


def test_without_a_compiler_it_says_which_runtime_was_not_tried(exported, result, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    code, found = result("inspect", exported("wide-cls", "onnx-fp32").path)
    assert code == 0
    problems = {load["where"]: load["problem"] for load in found["loads"]}
    assert problems["onnxruntime in Python"] == ""
    assert "no-such-compiler" in problems["onnxruntime natively"]


def test_a_file_that_loads_nowhere_is_exit_3_and_one_json_document(exported, run, monkeypatch):
    monkeypatch.setattr("nf_edge.measure.attempts._problem", lambda load: "is broken")
    done = run("inspect", exported("wide-cls", "onnx-fp32").path, "--json")
    assert (done.code, "does not load in any runtime on this machine" in done.err) == (3, True)
    assert {load["problem"] for load in json.loads(done.out)["result"]["loads"]} == {"is broken"}


def test_a_dry_run_reports_modules_and_the_prediction_and_makes_nothing(checkpoint, result, run, tmp_path):
    source = checkpoint("wide-cls").path
    out = tmp_path / "out"
    options = ("export", source, "--recipe", "onnx-int8-dynamic", "--device", "rpi-5", "-o", out, "--dry-run")
    code, found = result(*options)
    assert code == 0
    assert any(layer_report["dtype"].startswith("int8") for layer_report in found["quantization"])
    assert found["memory"]["verdict"]["outcome"] == "fits"
    assert found["memory"]["process"][-1]["predicted"]["value"] > 0
    assert run(*options).out.endswith("Nothing was made.\n")
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_predicts_what_profile_predicts(checkpoint, result):
    source = checkpoint("wide-cls").path
    _, planned = result("export", source, "--recipe", "xnnpack-fp32", "--dry-run")
    _, profiled = result("profile", source, "--recipe", "xnnpack-fp32")
    assert planned["memory"] == profiled


def test_an_export_needs_a_place(checkpoint, run):
    done = run("export", checkpoint("wide-cls").path, "--recipe", "onnx-fp32")
    assert done.code == 2
    assert "--dry-run" in done.err
