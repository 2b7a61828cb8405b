"""Snapdragon HTP: the form of the network, the context binary, and its answers in the simulator."""

import re
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch
from conftest import RANDOM_LENGTH, backend_missing, even_rows
from onnx.numpy_helper import to_array

import nf_edge.backends
from nf_edge.backends.input_shape import InputShape
from nf_edge.backends.precisions import precisions
from nf_edge.backends.qnn.form import HtpProgram, specialise
from nf_edge.backends.qnn.qdq import write_qdq
from nf_edge.backends.static_shape.extreme_rows import extreme_rows
from nf_edge.core.recipe.recipe import load_recipe
from nf_edge.model.generation import generate

RECIPE = "qnn-sm8650-a16w8"


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

    rows = even_rows(model.config, RANDOM_LENGTH)
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
    longest, one = extreme_rows([(ids, (ids > 0).astype(np.int64))], 8)
    assert longest[0].tolist() == [[3, 4, 5, 3, 4, 5, 3, 4]]
    assert longest[1].tolist() == [[1] * 8]
    assert one[0].tolist() == [[3] + [0] * 7]
    assert one[1].tolist() == [[1] + [0] * 7]


@pytest.mark.slow
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


def test_relative_noise_has_no_cache_on_the_htp(run, case, changed_recipe):
    recipe = changed_recipe(RECIPE, {"logits: all": "logits: last"})
    done = run("export", case("lm-relative"), "--recipe", recipe, "--dry-run")
    assert done.code == 3
    assert "no cache for models with relative noise" in done.err
    assert "write logits: all" in done.err
