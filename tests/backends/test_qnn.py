"""Snapdragon HTP: the form of the network, the context binary, and its answers in the simulator."""

import re
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch
from conftest import NOISES, RANDOM_LENGTH, TASKS, backend_missing, random_rows
from onnx.numpy_helper import to_array

import nf_edge.backends
from nf_edge.backends.base import InputShape
from nf_edge.backends.precisions import precisions
from nf_edge.backends.qnn.form import HtpProgram, Whole, exportable, specialise
from nf_edge.backends.qnn.qdq import write_qdq
from nf_edge.backends.static_shape.extreme_rows import extremes
from nf_edge.core.recipe.recipe import load_recipe
from nf_edge.measure.accuracy.parity import synthetic_rows
from nf_edge.model.generation import generate

RECIPE = "qnn-sm8650-a16w8"


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("task", TASKS)
@torch.no_grad()
def test_the_htp_form_answers_as_the_network_does(task, noise, random_network):
    """Whatever the padding."""
    reference, specialised = random_network(task, noise), random_network(task, noise)
    specialise(specialised)
    program = Whole(exportable(specialised, RANDOM_LENGTH)).eval()
    for ids, mask, real in random_rows(reference.config):
        wanted, found = reference(ids, mask), program(ids, mask)
        if task == "language model":
            wanted, found = wanted[:, :real], found[:, :real]
        assert (found - wanted).abs().max() <= 1e-5 * wanted.abs().max()


@pytest.mark.parametrize(
    ("task", "noise"),
    [
        ("last token", "lowrank"),
        pytest.param("last but pad tokens", "none", marks=pytest.mark.slow),
        pytest.param("first token", "pairwise", marks=pytest.mark.slow),
        pytest.param("mean, causal", "relative", marks=pytest.mark.slow),
        pytest.param("language model", "standard", marks=pytest.mark.slow),
    ],
)
def test_the_htp_takes_every_kind_of_model_whole(task, noise, random_network, tmp_path):
    if missing := backend_missing(RECIPE):
        pytest.skip(missing)
    compile_and_compare(random_network(task, noise), tmp_path)


@torch.no_grad()
def compile_and_compare(model, folder):
    """The context binary of a network beside the network in PyTorch."""
    from nf_edge.backends.qnn.htp import SimulatedSession, compile_context

    rows = synthetic_rows(model.config, RANDOM_LENGTH)
    inputs = []
    for row in rows:
        ids, mask = np.zeros((2, 1, RANDOM_LENGTH), dtype=np.int64)
        ids[0, : len(row.input_ids)], mask[0, : len(row.input_ids)] = row.input_ids, 1
        inputs.append((ids, mask))
    wanted = [model(*map(torch.from_numpy, pair)).numpy() for pair in inputs]
    specialise(model)
    input_shape = InputShape(any_batch=False, length=RANDOM_LENGTH, dynamic_length=False, cached=False)
    layers = precisions(load_recipe(RECIPE), model.config)
    write_qdq(HtpProgram(model, inputs), layers, input_shape, folder / "quantized.onnx")
    compile_context(folder / "quantized.onnx", "sm8650", folder / "model.onnx")
    session = SimulatedSession(folder / "model.onnx")
    largest = max(np.abs(logits).max() for logits in wanted)
    for pair, logits, row in zip(inputs, wanted, rows, strict=True):
        found = session.run(*pair)
        if logits.ndim == 3:
            found, logits = found[:, : len(row.input_ids)], logits[:, : len(row.input_ids)]
        assert np.abs(found - logits).max() < 0.05 * largest


def test_ranges_are_seen_on_the_longest_and_the_shortest_row_too():
    """A sum over tokens would leave the range of those over short rows."""
    ids = np.array([[3, 4, 5, 0, 0]])
    whole, one = extremes([(ids, (ids > 0).astype(np.int64))], 8)
    assert whole[0].tolist() == [[3, 4, 5, 3, 4, 5, 3, 4]]
    assert whole[1].tolist() == [[1] * 8]
    assert one[0].tolist() == [[3] + [0] * 7]
    assert one[1].tolist() == [[1] + [0] * 7]


@pytest.mark.parametrize("noise", ["lowrank", pytest.param("standard", marks=pytest.mark.slow)])
@torch.no_grad()
def test_a_prompt_in_chunks_and_steps_upon_it_are_answered_through_the_cache(noise, random_network, tmp_path):
    if missing := backend_missing(RECIPE):
        pytest.skip(missing)
    from nf_edge.backends.qnn.htp import compile_context

    model = random_network("language model", noise)
    ids = np.random.default_rng(0).integers(50, size=(1, RANDOM_LENGTH))
    wanted = model(torch.from_numpy(ids))[0].numpy()
    specialise(model)
    input_shape = InputShape(any_batch=False, length=RANDOM_LENGTH, dynamic_length=True, cached=True)
    layers = precisions(load_recipe(RECIPE), model.config)
    write_qdq(HtpProgram(model, [(ids, np.ones_like(ids))]), layers, input_shape, tmp_path / "quantized.onnx")
    compile_context(tmp_path / "quantized.onnx", "sm8650", tmp_path / "model.onnx")
    decoder = nf_edge.backends.get_backend("qnn").decoder(tmp_path / "model.onnx", RANDOM_LENGTH)
    row = ids[0].tolist()
    found = {27: decoder.feed(row[:28], 0)}
    found |= {at: decoder.feed([row[at]], at) for at in (28, 29, 30)}
    # Back to the middle of a chunk, as where a text is changed, and on to the end of the cache.
    found[RANDOM_LENGTH - 1] = decoder.feed(row[20:], 20)
    for at, logits in found.items():
        assert np.abs(logits - wanted[at]).max() < 0.05 * np.abs(wanted).max(), at


@pytest.mark.slow
def test_an_export_is_a_context_binary_whose_every_operator_is_on_the_htp(exported, run):
    artifact = exported("uneven-cls", RECIPE)
    manifest = artifact.manifest
    for file in artifact.path.glob("*.onnx"):
        assert b"site-packages" not in file.read_bytes()  # what the exporter notes of this machine
    (node,) = onnx.load(artifact.model_file).graph.node
    assert node.op_type == "EPContext"
    assert manifest.coverage["left"] == []
    assert manifest.coverage["delegated"] > 20
    assert "HTP (sm8650)" in manifest.coverage["library"]
    assert manifest.reports["parity"]["error"] < 0.1
    told = {layer_report["module"]: layer_report for layer_report in manifest.quantization}
    assert told["transformer.h.0.mlp.c_fc"]["dtype"] == "int8, per channel; int16 static activations"
    assert told["transformer.h.0.mlp.c_fc"]["weights_snr"]["value"] > 30
    assert told["transformer.h.0.ln_1"]["dtype"] == "folded"
    process = {line["name"]: line for line in manifest.reports["memory"]["process"]}
    assert process["workspace"]["planned"]["how"] == "planned"  # QNN tells it
    assert "HTP simulator" in process["process"]["measured"]["note"]
    for part in (*manifest.reports["memory"]["file"], process["weights and graph in heap"]):
        assert part["predicted"]["value"] == pytest.approx(part["planned"]["value"], rel=0.3), part["name"]


@pytest.mark.slow
def test_no_range_is_spent_on_what_hides_scores(exported):
    """A mask of -1e9 would leave the scores beside it one level of 65,536."""
    artifact = exported("uneven-cls", RECIPE)
    model = onnx.load(artifact.path / "model.qdq.onnx")
    constants = {tensor.name: to_array(tensor) for tensor in model.graph.initializer}
    widths = [
        np.iinfo(constants[name.replace("_scale", "_zero_point")].dtype).max * scale.max()
        for name, scale in constants.items()
        if name.endswith("_scale")
    ]
    assert max(widths) < 1e3


@pytest.mark.slow
def test_inspect_loads_it_simulated_and_bench_refuses_to_time_it(exported, run):
    path = exported("uneven-cls", RECIPE).path
    inspected = run("inspect", path)
    assert inspected.code == 0
    assert "(simulated): loads" in inspected.out
    assert "HTP::LayerNormalization" in inspected.out
    assert re.search(r"all \d+ operators, 100 % of multiply-accumulates, run in the HTP", inspected.out)
    timed = run("bench", path)
    assert timed.code == 3
    assert "cannot be timed here" in timed.err


@pytest.mark.slow
def test_the_python_of_the_run_guide_runs_in_the_simulator(exported):
    artifact = exported("uneven-cls", RECIPE)
    guide = (artifact.path / "RUN.md").read_text(encoding="utf-8")
    assert "Snapdragon SM8650" in guide
    (code,) = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], cwd=artifact.path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (ids,) = re.findall(r"\[\[([\d, ]+)\]\]", code)
    row = np.array([[int(number) for number in ids.split(",")]])
    logits = nf_edge.backends.get_backend("qnn").session(artifact.model_file).run(row, np.ones_like(row))
    # QNN says a line of its own before.
    assert int(done.stdout.splitlines()[-1]) == logits[0].argmax()


@pytest.mark.slow
def test_the_python_of_a_language_models_guide_generates_as_its_decoder_does(exported):
    artifact = exported("lm-pairwise-relu", f"{RECIPE}+last")
    interface = artifact.manifest.interface
    assert (interface.cached, interface.chunk) == (True, 16)
    assert interface.output_shape == (1, 16, 19)
    guide = (artifact.path / "RUN.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], cwd=artifact.path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    decoder = nf_edge.backends.get_backend("qnn").decoder(artifact.model_file, interface.length)
    (ids,) = re.findall(r"input_ids = \[([\d, ]+)\]", code)
    wanted = list(generate(decoder, [int(number) for number in ids.split(",")], max_tokens=4))
    assert [int(line) for line in done.stdout.splitlines()[-4:]] == wanted


@pytest.mark.parametrize(
    ("model", "changes", "message"),
    [
        ("sst2", {"length: full": "length: dynamic"}, "an HTP takes one length; write full, or a number"),
        ("sst2", {"target: sm8650\n": ""}, "target is None, for backend qnn: write one of sm8550, sm8650"),
        ("sst2", {"int16_static": "int8_static"}, "in int4 or int8, per_channel, with int16_static"),
        (
            "sst2",
            {"embeddings:": "method: gptq\n  embeddings:", "weights: int8": "weights: int4"},
            "write nearest",
        ),
        ("sst2", {"embeddings: int8": "embeddings: int4"}, "the HTP looks up rows of int8"),
        ("sst2", {"weights: int8": "weights: int6"}, "weights of int4 or int8, per_channel; write those"),
    ],
    ids=["length", "target", "activations", "method", "embeddings", "weights"],
)
def test_a_recipe_that_no_htp_takes_says_what_to_change(model, changes, message, run, changed_recipe):
    done = run("export", model, "--recipe", changed_recipe(RECIPE, changes), "--dry-run")
    assert done.code == 3
    assert message in done.err


def test_relative_noise_has_no_cache_on_the_htp(run, case, tmp_path):
    if missing := backend_missing(RECIPE):
        pytest.skip(missing)
    text = run("recipes", "show", RECIPE).out.replace(RECIPE, "mine").replace("logits: all", "logits: last")
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    done = run("export", case("lm-relative"), "--recipe", tmp_path / "mine.yaml", "--dry-run")
    assert done.code == 3
    assert "no cache for relative noise" in done.err
    assert "write logits: all" in done.err


@pytest.mark.parametrize("recipe", ["onnx-int8-qdq", "xnnpack-int8"])
def test_a_cpu_has_no_kernels_for_activations_of_16_bits(recipe, run, tmp_path):
    text = run("recipes", "show", recipe).out.replace(recipe, "mine").replace("int8_static", "int16_static")
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    done = run("export", "digits", "--recipe", tmp_path / "mine.yaml", "--dry-run")
    assert done.code == 3
    assert "int16_static activations are for NPUs" in done.err


def test_a_phone_with_another_soc_is_refused(run):
    if missing := backend_missing(RECIPE):
        pytest.skip(missing)
    done = run("export", "sst2", "--recipe", RECIPE, "--device", "galaxy-s23", "--dry-run")
    assert done.code == 3
    assert "it has sm8550, and this is compiled for sm8650" in done.err


def test_without_the_plug_in_the_message_has_the_command_that_gets_it(run, monkeypatch):
    monkeypatch.setattr(nf_edge.backends, "installed_version", lambda name: None if "qnn" in name else "1")
    done = run("export", "digits", "--recipe", RECIPE, "--dry-run")
    assert done.code == 6
    assert "needs onnxruntime-qnn" in done.err
    assert "pip install 'nf-edge[qnn]'" in done.err
