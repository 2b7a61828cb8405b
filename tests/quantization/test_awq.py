"""AWQ: weights that meet large inputs are rounded more finely, at no cost when the model runs."""

import json

import numpy as np
import onnx
import pytest

from nf_edge.backends.quantized_weights import nearest
from nf_edge.core.recipe.precision import Precision
from nf_edge.model import ModelConfig, load_checkpoint, save_checkpoint
from nf_edge.model.init import init_tensors
from nf_edge.quantization.awq import awq, scaled_layers
from nf_edge.quantization.layer_report import LayerReport
from nf_edge.quantization.snr import with_errors

NORMS = ("transformer.h.0.ln_1.weight", "transformer.h.0.ln_2.weight", "transformer.ln_f.weight")


def sticking_out(folder, attention):
    """A classifier whose norms hand on some channels that are far larger than the others, and rows for it."""
    config = ModelConfig(
        architectures=("NoiseFormerForSequenceClassification",),
        vocab_size=100,
        n_positions=32,
        n_embd=64,
        n_layer=1,
        n_head=4,
        num_labels=3,
        attention=attention,
        noise={"kind": "pairwise" if attention == "symmetric" else "none"},
    )
    tensors = init_tensors(config, 0)
    for name in NORMS:
        tensors[name][::16] *= 20
    save_checkpoint(folder / "checkpoint", config, tensors)
    generator = np.random.default_rng(0)
    return load_checkpoint(folder / "checkpoint"), generator.integers(100, size=(20, 30))


def output_snr(network, layers, rows, precision, signed):
    """Of layers whose weights are rounded to int4, in decibels, by name."""
    rounded = {
        name: nearest(network.get_submodule(name).weight, precision, signed).dequantized() for name in layers
    }
    layer_reports = with_errors([LayerReport(name, "int4") for name in layers], network, rounded, rows)
    return {layer_report.module: layer_report.output_snr.value for layer_report in layer_reports}


@pytest.mark.parametrize(("signed", "symmetric"), [(True, True), (False, True), (True, False)])
@pytest.mark.parametrize("attention", ["symmetric", "standard"])
def test_outputs_lose_far_less_to_the_same_rounding(attention, signed, symmetric, tmp_path):
    checkpoint, ids = sticking_out(tmp_path, attention)
    network, layers = checkpoint.model(), scaled_layers(checkpoint.config)
    rows = [(row[None], np.ones((1, 30), np.int64)) for row in ids]
    precision = Precision(4, 32, symmetric)
    before = output_snr(network, layers, rows, precision, signed)
    awq(network, dict.fromkeys(layers, precision), rows, signed)
    after = output_snr(network, layers, rows, precision, signed)
    # What attention sums has no such channels.
    values = "transformer.h.0.attn.c_proj"
    assert after.pop(values) >= before[values] - 0.1
    assert all(after[name] > before[name] + 2 for name in after), (before, after)


@pytest.mark.slow
def test_the_layer_reports_tell_it_and_the_file_has_not_one_operator_more(run, tmp_path):
    checkpoint, ids = sticking_out(tmp_path, "symmetric")
    rows = tmp_path / "rows.jsonl"
    lines = (json.dumps({"input_ids": row.tolist(), "label": 0}) + "\n" for row in ids)
    rows.write_text("".join(lines), encoding="utf-8")
    operators = []
    for method, options in (("nearest", []), ("awq", ["--calibrate", rows])):
        text = run("recipes", "show", "onnx-int4").out.replace("name: onnx-int4", f"name: {method}")
        recipe, out = tmp_path / f"{method}.yaml", tmp_path / method
        recipe.write_text(text.replace("quantize:\n", f"quantize:\n  method: {method}\n"), encoding="utf-8")
        done = run("export", checkpoint.path, "--recipe", recipe, "-o", out, *options, "--json")
        assert done.code == 0, done.err
        layer_reports = json.loads(done.out)["result"]["quantization"]
        operators.append([node.op_type for node in onnx.load(out / "model.onnx").graph.node])
    told = {layer_report["module"] for layer_report in layer_reports if "by AWQ" in layer_report["dtype"]}
    assert told == scaled_layers(checkpoint.config)
    assert operators[0] == operators[1]


def test_a_head_that_is_the_table_too_is_left_as_it_is(checkpoint):
    assert "lm_head" not in scaled_layers(checkpoint("none-lm").config)
    assert "lm_head" in scaled_layers(checkpoint("relative-lm").config)


def test_without_rows_to_see_it_says_what_they_are_for(run, case, changed_recipe, tmp_path):
    recipe = changed_recipe("onnx-int4-gptq", {"method: gptq": "method: awq"})
    done = run("export", case("cls-lowrank-last-padded"), "--recipe", recipe, "-o", tmp_path / "out")
    assert done.code == 3
    assert "recipe mine needs calibration data (AWQ)" in done.err
