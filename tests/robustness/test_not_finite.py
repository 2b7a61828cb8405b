"""NaN and Inf are no answers: a checkpoint that gives them is refused, an artifact that does fails."""

import json
import shutil

import numpy as np
import pytest
from conftest import backend_missing
from safetensors.torch import load_file, save_file

from nf_edge.backends.onnx.cpu import OnnxCpu
from nf_edge.core import strict_json
from nf_edge.model import Decoder


def scaled(name, factor):
    """An edit: the weights of these names, times a factor."""

    def edit(tensors):
        for key in tensors:
            if key.endswith(name):
                tensors[key] *= factor

    return edit


def one_token(tensors):
    """Token 7 overflows where it is the fourth of a row; nothing else does."""
    tensors["transformer.wte.weight"][7] = tensors["transformer.wpe.weight"][3] = 3e38


def large_mlp(tensors):
    for name in ("c_fc", "c_proj"):
        scaled(f"h.1.mlp.{name}.weight", 1e20)(tensors)


def large_head(tensors):
    for name in ("ln_f", "lm_head"):
        scaled(f"{name}.weight", 1e30)(tensors)


UNTIED = "lm-lowrank-full-rank-untied-gelu"
# Weights that are finite, and the module in which what they give no longer is.
OVERFLOWS = {
    "NaN out of attention": (scaled("h.0.attn.c_kv.weight", 1e30), "transformer.h.0.attn"),
    "Inf out of a layer": (large_mlp, "transformer.h.1.mlp.c_proj"),
    "Inf out of the head": (large_head, "lm_head"),
    "one token": (one_token, "transformer"),
}


@pytest.fixture
def broken(case, tmp_path):
    """A case with edited weights, and rows of it: the last of them alone has four tokens."""

    def make(name, edit):
        folder = shutil.copytree(case(name), tmp_path / name)
        tensors = load_file(folder / "model.safetensors")
        edit(tensors)
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
        rows = [{"input_ids": ids, "label": 0} for ids in ([1, 2, 3], [5, 6], [1, 2, 3, 7])]
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (tmp_path / "harmless.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:2]))
        return folder

    return make


def refused(done, *words):
    assert done.code == 3, done.err
    for word in (*words, "is not finite"):
        assert word in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(("edit", "module"), OVERFLOWS.values(), ids=OVERFLOWS)
def test_an_export_names_the_module_where_a_checkpoint_stops_being_finite(
    edit, module, run, broken, tmp_path
):
    folder = broken(UNTIED, edit)
    done = run(
        *("export", folder, "--recipe", "onnx-fp32", "--data", tmp_path / "rows.jsonl"),
        *("-o", tmp_path / "out", "--keep", "--json"),
    )
    refused(done, f"the output of {module} ", " of ", "rows.jsonl")
    assert f"the output of {module} " in strict_json.loads(done.out)["error"]["message"]
    assert not (tmp_path / "out").exists()


def test_what_a_relu_swallows_is_not_finite_all_the_same(run, broken, tmp_path):
    def edit(tensors):
        tensors["transformer.h.0.mlp.c_fc.weight"][:] = 0
        tensors["transformer.h.0.mlp.c_fc.bias"][:] = -3e38
        tensors["transformer.h.0.ln_2.weight"][:] = 0
        tensors["transformer.h.0.ln_2.bias"][:] = 3e38
        tensors["transformer.h.0.mlp.c_fc.weight"][0, 0] = -1

    folder = broken("lm-pairwise-relu", edit)
    refused(run("generate", folder, "1 2", "--ids", "--max-tokens", "1"), "transformer.h.0.mlp.c_fc")


VERBS = {
    "sensitivity": ("sensitivity", "{bad}", "--recipe", "onnx-int8-dynamic", "--data", "{rows}"),
    "sweep": ("sweep", "{bad}", "--data", "{rows}", "--recipe", "onnx-fp32"),
    "compare": ("compare", "{bad}", "{good}", "--recipe", "onnx-fp32"),
    "calibration": (
        *("export", "{bad}", "--recipe", "onnx-int8-qdq", "--data", "{harmless}"),
        *("--calibrate", "{rows}", "-o", "{out}"),
    ),
    "GPTQ": (
        *("export", "{bad}", "--recipe", "onnx-int4-gptq", "--data", "{harmless}"),
        *("--calibrate", "{rows}", "-o", "{out}"),
    ),
    "compress": (
        "compress",
        "{bad}",
        "--recipe",
        "{prune}",
        "--train",
        "{rows}",
        "--valid",
        "{rows}",
        "-o",
        "{out}",
    ),
    "generate": ("generate", "{bad}", "1 2 3 7", "--ids", "--temperature", "0.5"),
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_checkpoint_that_is_not_finite_is_refused_by(verb, run, broken, case, tmp_path):
    name = "cls-standard-padded" if verb == "compress" else UNTIED
    edit = scaled("h.0.attn.c_kv.weight", 1e30) if verb == "compare" else one_token
    (tmp_path / "mine.yaml").write_text(
        "name: mine\ndescription: d\nruntime: onnxruntime\nbackend: onnx_cpu\nprune: {layers: 1}\n"
    )
    places = {
        "bad": broken(name, edit),
        "good": case("lm-standard"),
        "rows": tmp_path / "rows.jsonl",
        "harmless": tmp_path / "harmless.jsonl",
        "prune": tmp_path / "mine.yaml",
        "out": tmp_path / "out",
    }
    done = run(*(part.format(**places) for part in VERBS[verb]))
    refused(done, f"the output of {'transformer.h.0.attn' if verb == 'compare' else 'transformer'} ")
    assert verb in ("compare", "generate", "compress") or "on row 3 of" in done.err
    assert not (tmp_path / "out").exists()


def test_a_check_names_the_row_where_the_checkpoint_itself_is_not_finite(run, broken, tmp_path):
    bad, harmless = broken(UNTIED, one_token), tmp_path / "harmless.jsonl"
    out = tmp_path / "out"
    assert run("export", bad, "--recipe", "onnx-fp32", "--data", harmless, "-o", out).code == 0
    done = run("check", out, "--data", tmp_path / "rows.jsonl", "--reference", bad, "--json")
    refused(done, "the output of transformer ", "on row 3 of")
    assert strict_json.loads(done.out)["error"]["exit_code"] == 3


@pytest.fixture
def overflowing_artifacts(monkeypatch, request):
    """ONNX files whose logits for rows with token 5 are not finite."""
    load, value = OnnxCpu.load, getattr(request, "param", np.nan)

    class Broken(Decoder):
        def __init__(self, decoder):
            super().__init__(decoder.capacity)
            self._decoder, self._ids = decoder, []

        def _feed(self, tokens, start):
            logits = self._decoder.feed(tokens.tolist(), start)
            self._ids[start:] = tokens.tolist()
            return np.where(np.arange(len(logits)) == 2, value, logits) if 5 in self._ids else logits

    class BrokenSession:
        def __init__(self, session):
            self._session = session

        def run(self, input_ids, attention_mask):
            logits = self._session.run(input_ids, attention_mask).copy()
            logits[(input_ids == 5).any(axis=1)] = value
            return logits

    def broken(self, path, input_shape, threads=None):
        loaded = load(self, path, input_shape, threads)
        return Broken(loaded) if isinstance(loaded, Decoder) else BrokenSession(loaded)

    monkeypatch.setattr(OnnxCpu, "load", broken)


@pytest.mark.parametrize(
    ("name", "overflowing_artifacts"),
    [
        ("lm-none", np.nan),
        pytest.param("cls-standard-padded", np.nan, marks=pytest.mark.slow),
        pytest.param("cls-standard-padded", -np.inf, marks=pytest.mark.slow),
    ],
    indirect=["overflowing_artifacts"],
)
def test_an_artifact_that_is_not_finite_fails_without_any_limit(
    name, overflowing_artifacts, run, broken, tmp_path
):
    folder, out = broken(name, lambda tensors: None), tmp_path / "out"
    arguments = (
        "export",
        folder,
        "--recipe",
        "onnx-int8-dynamic",
        "--data",
        tmp_path / "rows.jsonl",
        "-o",
        out,
    )
    done = run(*arguments, "--max-drop", "100")
    assert (done.code, out.exists()) == (5, False)
    assert "1 of 3 rows have logits that are not finite" in done.err
    assert run(*arguments, "--keep").code == 5
    manifest = strict_json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    parity, accuracy = manifest["reports"]["parity"], manifest["reports"]["accuracy"]
    assert (manifest["status"], parity["passed"], accuracy["passed"]) == ("fail", False, False)
    assert (parity["not_finite"], parity["error"], parity["agreement"]) == (1, None, 2 / 3)
    done = run("check", out, "--data", tmp_path / "rows.jsonl", "--reference", folder, "--json")
    found = strict_json.loads(done.out)["result"]
    assert (done.code, found["passed"], found["kl"], found["kl_interval"]) == (5, False, None, None)
    assert 1 <= found["not_finite"] <= found["flips"]
    done = run("check", out, "--data", tmp_path / "rows.jsonl", "--reference", folder)
    assert "have logits that are not finite" in done.out
    assert "FAILS the accuracy gate" in done.out
    assert " nan" not in done.out + done.err


def test_nothing_is_generated_from_logits_that_are_not_finite(overflowing_artifacts, run, exported):
    out = exported("lm-none", "onnx-fp32").path
    for temperature in ("0", "1"):
        done = run("generate", out, "1 5", "--ids", "--temperature", temperature, "--json")
        assert done.code == 3
        assert "logits of the next token are not finite" in strict_json.loads(done.out)["error"]["message"]


def test_no_recipe_meets_a_target_with_logits_that_are_not_finite(
    overflowing_artifacts, run, broken, tmp_path
):
    folder = broken("lm-none", lambda tensors: None)
    where = ("--data", tmp_path / "rows.jsonl", "-o", tmp_path / "mine.yaml", "--json")
    done = run("sensitivity", folder, "--recipe", "onnx-int8-dynamic", "--file-size", "1GB", *where)
    assert (done.code, (tmp_path / "mine.yaml").exists()) == (5, False)
    assert strict_json.loads(done.out)["result"]["mix"]["met"] is False
    assert "logits that are not finite" in done.err


def test_a_low_temperature_takes_the_likeliest_token(run, exported):
    out = exported("lm-none", "onnx-fp32").path
    greedy, cold = (
        run("generate", out, "1 5", "--ids", "--temperature", value, "--max-tokens", "3")
        for value in ("0", "1e-310")
    )
    assert (cold.code, cold.out) == (0, greedy.out)


def test_a_training_that_diverges_at_its_last_step_writes_no_checkpoint(run, tmp_path):
    recipe = """\
name: diverges
description: d
data: {train: rows.jsonl, valid: rows.jsonl, test: rows.jsonl, attribution: mine}
model:
  architectures: [NoiseFormerForSequenceClassification]
  vocab_size: 9
  n_positions: 4
  n_embd: 4
  n_layer: 1
  n_head: 1
  num_labels: 2
training:
  steps: 1
  batch_size: 2
  validate_every: 1
  optimizer: {learning_rate: 1000, weight_decay: 1.0e+37}
  schedule: {warmup_steps: 0}
"""
    (tmp_path / "diverges.yaml").write_text(recipe)
    rows = [{"input_ids": [1, 2, label], "label": label} for label in (0, 1)] * 4
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = tmp_path / "out"
    done = run("train", tmp_path / "diverges.yaml", "--data-root", tmp_path, "-o", out)
    assert (done.code, out.exists()) == (3, False)
    assert "training diverged" in done.err
    assert "at step 1" in done.err


@pytest.mark.slow
def test_what_overflows_in_the_float16_of_a_gpu_fails_although_float32_holds_it(run, broken, tmp_path):
    if missing := backend_missing("vulkan-fp16"):
        pytest.skip(missing)
    hidden = {"c_fc.weight": 1e5, "c_fc.bias": 1e5, "c_proj.weight": 1e-5}

    def large_hidden(tensors):
        for name, factor in hidden.items():
            scaled(f"h.0.mlp.{name}", factor)(tensors)

    folder, rows = broken("cls-standard-padded", large_hidden), tmp_path / "rows.jsonl"
    arguments = ("export", folder, "--data", rows, "-o", tmp_path / "out", "--recipe")
    assert run(*arguments, "onnx-fp32").code == 0
    done = run(*arguments, "vulkan-fp16", "--overwrite")
    assert done.code == 5
    assert "3 of 3 rows have logits that are not finite" in done.err
