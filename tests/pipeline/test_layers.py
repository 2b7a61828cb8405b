"""`check --layers`: each layer's error against fp32, and the name of a layer that was damaged on purpose."""

import hashlib
import json
import math
import shutil

import numpy as np
import onnx
import pytest
import torch
from conftest import backend_missing, calibration_rows, edit_manifest
from onnx.numpy_helper import from_array, to_array
from test_sensitivity import RUINED, make

import nf_edge
from nf_edge.backends.executorch.event_tracer import matched
from nf_edge.core.recipe.recipe import load_recipe
from nf_edge.measure.accuracy.layers import LayerError, first_bad
from nf_edge.model import load_checkpoint
from nf_edge.model.data.batches import pad
from nf_edge.model.data.rows import Row, Rows
from nf_edge.pipeline.export import export
from nf_edge.pipeline.layers import float_program
from nf_edge.pipeline.lowering import Job, rounded
from nf_edge.pipeline.remedy import wider_recipe
from nf_edge.quantization import quantize as quantizing


def with_other_scale(artifact, layer, folder):
    """A copy of an ONNX artifact in which the scales of a layer's weights are half again as large."""
    names = {f"{layer}.matrix_scale", f"{layer}.matrix_scales", f"{layer}.scales"}
    return with_other_tensor(artifact, names, lambda values: values * 1.5, folder)


def with_other_tensor(artifact, names, change, folder):
    """A copy of an ONNX artifact in which the one tensor with one of these names is changed."""
    shutil.copytree(artifact.path, folder)
    path = folder / "model.onnx"
    model = onnx.load(path)
    (tensor,) = (each for each in model.graph.initializer if each.name in names)
    tensor.CopyFrom(from_array(change(to_array(tensor)).astype(np.float32), tensor.name))
    onnx.save(model, path)
    again(folder)
    return folder


def again(folder):
    """Make a manifest that lists the folder's files as they are now."""

    def change(document):
        for entry in [document["model"], *document["files"]]:
            content = (folder / entry["name"]).read_bytes()
            entry |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}

    edit_manifest(folder, change)


def layers_of(run, folder, *options):
    done = run("check", folder, "--data", "digits:test", "--limit", 8, "--layers", "--json", *options)
    assert done.code in (0, 5), done.err
    return json.loads(done.out)["result"]["layers"]


@pytest.mark.parametrize(
    "layer",
    [
        "transformer.h.0.attn.c_kv",
        "transformer.h.1.attn.c_proj",
        pytest.param("transformer.wte", marks=pytest.mark.slow),
        pytest.param("transformer.h.0.mlp.c_fc", marks=pytest.mark.slow),
        pytest.param("transformer.h.1.mlp.c_proj", marks=pytest.mark.slow),
        "score",
    ],
)
def test_a_layer_whose_scale_is_wrong_in_the_file_is_named(layer, exported, run, tmp_path):
    damaged = with_other_scale(exported("digits", "onnx-int8-dynamic"), layer, tmp_path / "damaged")
    report = layers_of(run, damaged)
    assert report["first_bad"] == report["first_different"] == layer
    assert "export the artifact again" in report["remedy"]
    assert report["lowered_again"]["same_files"] is False


def one_channel_larger(scales):
    scales = scales.copy()
    scales[5] *= 4
    return scales


@pytest.mark.parametrize(
    ("tensor", "change", "layer"),
    [
        ("transformer.h.1.attn.noise.a", np.zeros_like, "transformer.h.1.attn"),
        ("transformer.h.0.mlp.c_fc.matrix_scale", one_channel_larger, "transformer.h.0.mlp.c_fc"),
    ],
)
def test_a_layer_with_a_small_damage_is_named_by_comparison_with_the_second_lowering(
    tensor, change, layer, exported, run, tmp_path
):
    artifact = exported("digits", "onnx-int8-dynamic")
    damaged = with_other_tensor(artifact, {tensor}, change, tmp_path / "damaged")
    done = run("check", damaged, "--data", "digits:test", "--limit", 8, "--layers")
    assert done.code == 5
    assert f"the first layer that differs from a second lowering: {layer}\n" in done.out
    assert "no layer is out of line" not in done.out
    assert "remedy: the file is not what the recipe gives" in done.out
    assert nf_edge.check_layers(damaged, "digits:test", limit=8).failure is not None


def test_no_layer_of_an_intact_file_is_named_and_every_layer_has_an_error(exported, run):
    report = layers_of(run, exported("digits", "onnx-int8-dynamic").path)
    assert (report["first_bad"], report["remedy"], report["not_measured"]) == (None, "", [])
    assert report["first_different"] is None
    assert report["lowered_again"]["same_files"] is True
    by_name = {layer["layer"]: layer for layer in report["layers"]}
    assert [name for name in by_name if ".h.0" in name] == [
        "transformer.h.0.ln_1",
        "transformer.h.0.attn.c_kv",
        "transformer.h.0.attn",
        "transformer.h.0.attn.c_proj",
        "transformer.h.0 after attention",
        "transformer.h.0.ln_2",
        "transformer.h.0.mlp.c_fc",
        "transformer.h.0.mlp.c_proj",
        "transformer.h.0",
    ]
    assert by_name["score"]["cosine"] > 0.999
    # A norm stays float32: it passes on the noise before it, and adds none.
    norm = by_name["transformer.h.1.ln_1"]
    assert norm["snr_db"] < 60
    assert norm["own_snr_db"] > 100


def test_the_ratio_with_exact_inputs_is_that_of_the_rounded_weights_on_fp32_inputs(exported):
    artifact, layer = exported("digits", "onnx-int4"), "transformer.h.1.mlp.c_fc"
    report = nf_edge.check_layers(artifact, "digits:test", limit=1)
    checkpoint = nf_edge.load_checkpoint("digits")
    lowered = rounded(Job.of(checkpoint, artifact.manifest.recipe, None))
    row = nf_edge.load_rows("digits:test", checkpoint, limit=1).rows[0]
    module, inputs = lowered.plain.get_submodule(layer), []
    module.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    with torch.no_grad():
        lowered.plain(torch.tensor([row.input_ids]))
        error = inputs[0] @ (lowered.weights[layer] - module.weight).T
        ratio = module(inputs[0]).square().sum() / error.square().sum()
    measured = next(each for each in report.layers if each.name == layer)
    assert measured.own_snr == pytest.approx(10 * math.log10(ratio), abs=0.05)


QNN = "qnn-sm8650-a16w8"


@pytest.mark.slow
def test_a_layer_of_the_model_that_a_context_binary_was_compiled_from_is_named(exported, run, tmp_path):
    layer, artifact = "transformer.h.1.mlp.c_fc", exported("digits", QNN)
    report = layers_of(run, artifact.path)
    assert (report["first_bad"], report["lowered_again"]["same_files"]) == (None, True)
    assert len(report["layers"]) == 21
    assert all(20 < each["snr_db"] < 60 < each["largest_value"] * 1e4 for each in report["layers"])
    damaged = tmp_path / "damaged"
    shutil.copytree(artifact.path, damaged)
    model = onnx.load(damaged / "model.qdq.onnx")
    (scale,) = (each for each in model.graph.initializer if each.name == f"model.{layer}.matrix_scale")
    scale.CopyFrom(from_array((to_array(scale) * 1.5).astype(np.float32), scale.name))
    onnx.save(model, damaged / "model.qdq.onnx")
    again(damaged)
    report = layers_of(run, damaged)
    assert report["first_bad"] == report["first_different"] == layer
    assert report["lowered_again"]["same_files"] is False


@pytest.mark.slow
def test_layers_of_a_prompt_in_chunks_are_compared_over_all_its_tokens(exported, checkpoint):
    artifact = exported("wide-lm", f"{QNN}+last")
    model, text = checkpoint("wide-lm"), np.random.default_rng(0)
    calibrate, vocabulary = calibration_rows(model), model.config.vocab_size
    long, short = (tuple(text.integers(vocabulary, size=count).tolist()) for count in (40, 7))

    def by_layer(*prompts):
        rows = Rows(tuple(Row(prompt, None) for prompt in prompts), "rows", "", 0)
        report = nf_edge.check_layers(artifact, rows, reference=model.path, calibrate=calibrate)
        return {layer.name: layer for layer in report.layers}

    together, first_chunk = by_layer(long, short), by_layer(long[:16])
    assert "lm_head" in together
    for name, layer in together.items():
        assert 25 < layer.snr < 80
        assert layer.own_snr > layer.snr - 1
        # Later chunks count too, and they are no worse than the first.
        assert layer.scale >= first_chunk[name].scale
        assert layer.noise < 10 * first_chunk[name].noise


@pytest.mark.slow
def test_the_remedy_is_the_precision_that_sensitivity_measures(tmp_path):
    shape = {"architectures": ("NoiseFormerForSequenceClassification",), "num_labels": 3, "causal": False}
    folder = make(tmp_path / "outliers", vocab_size=100, **shape)
    recipe = load_recipe("onnx-int4")
    recipe = recipe.model_copy(update={"quantize": recipe.quantize.model_copy(update={"embeddings": "int8"})})
    artifact = export(load_checkpoint(folder), recipe, tmp_path / "artifact", keep=True).path
    report = nf_edge.check_layers(artifact, folder / "examples.jsonl", reference=folder)
    assert report.first_bad.name == RUINED
    assert f"{{modules: {RUINED}, weights: int8}}" in report.remedy


@pytest.mark.slow
def test_a_layer_of_a_pte_with_a_wrong_scale_is_named_whether_lowering_repeats_it_or_not(
    checkpoint, run, tmp_path, monkeypatch
):
    layer, quantize = "transformer.h.0.attn.c_proj", quantizing.quantize_dynamic

    def wrongly(network, *rest):
        quantize(network, *rest)
        network.get_submodule(layer).weight.scale.mul_(1.5)

    with monkeypatch.context() as patch:
        patch.setattr(quantizing, "quantize_dynamic", wrongly)
        recipe = load_recipe("xnnpack-8da8w")
        artifact = export(checkpoint("digits"), recipe, tmp_path / "artifact", keep=True).path
        report = layers_of(run, artifact)
    assert report["first_bad"] == layer
    assert report["lowered_again"]["same_files"] is True
    report = layers_of(run, artifact)
    assert report["lowered_again"]["same_files"] is False
    assert report["first_different"].startswith("transformer.h.0")


@pytest.mark.parametrize(
    ("activations", "advice"),
    [("int8_static", "recipe ethos-u85-256-a16w8,"), ("int16_static", "a recipe with float activations")],
)
def test_a_recipe_of_ones_own_with_int16_activations_is_not_sent_to_int16(activations, advice):
    bundled = load_recipe("ethos-u85-256-int8")
    quantize = bundled.quantize.model_copy(update={"activations": activations})
    mine = bundled.model_copy(update={"name": "mine", "quantize": quantize})
    assert wider_recipe(mine).startswith(advice)


def error(name, own, dtype="int8, per channel"):
    return LayerError(name, dtype, own, own, None, 0.0, 1.0, 0.0, 1.0)


def test_the_first_layer_far_above_the_median_is_bad_and_a_lossy_recipe_alone_makes_none():
    lossy = [error(str(number), 10 ** (-2 - 0.1 * (number % 4))) for number in range(12)]
    assert first_bad(lossy) is None
    assert first_bad([*lossy[:5], error("bad", 0.25), *lossy[5:], error("later", 0.9)]).name == "bad"
    precise = [error(str(number), 1e-9, "float32") for number in range(12)]
    # 40 dB is too little noise to matter, however precise the others are.
    assert first_bad([*precise, error("bad", 9e-5, "float32")]) is None
    assert first_bad([*precise, error("bad", 2e-4, "float32")]).name == "bad"
    # A layer without integers may not be as noisy as those with integers.
    assert first_bad([*precise, *lossy]) is None
    assert first_bad([*precise, error("bad", 1e-2, "float32"), *lossy]).name == "bad"


@pytest.mark.parametrize("noise", [math.inf, math.nan])
def test_a_layer_without_finite_outputs_is_bad(noise):
    assert first_bad([error("good", 1e-3), error("bad", noise)]).name == "bad"


def test_an_output_near_to_a_sum_is_not_taken_for_its_largest_term():
    term = torch.linspace(-1, 1, 50)
    taps = {"term": term, "sum": term + 0.03}
    outputs = {(4, 0): term + 0.0301, (5, 0): term + 0.0302, (2, 0): torch.zeros(50)}
    assert matched(outputs, taps) == {"sum": (4, 0)}


@pytest.mark.parametrize("recipe", ["nf-int8", "xnnpack-8da8w", "cortex-m-int8", "ethos-u85-256-int8", QNN])
def test_layers_are_compared_with_a_program_that_computes_what_the_checkpoint_does(recipe):
    if missing := backend_missing(recipe):
        pytest.skip(missing)
    checkpoint = nf_edge.load_checkpoint("digits")
    job = Job.of(checkpoint, load_recipe(recipe), None)
    row = nf_edge.load_rows("digits:test", checkpoint, limit=1).rows[0]
    inputs = [torch.from_numpy(each) for each in pad([row], checkpoint.config.pad_token_id, 64)]
    with torch.no_grad():
        expected, actual = checkpoint.reference()(*inputs), float_program(job)(*inputs)
    assert (actual - expected).abs().max() < 1e-4 * expected.abs().max()
