"""GPTQ: weights that make up for each other's errors, and reach both runtimes as they were found."""

import json

import numpy as np
import onnx
import pytest
import torch
from onnx.numpy_helper import to_array

from nf_edge.backends import backend_for
from nf_edge.backends.input_shape import InputShape
from nf_edge.backends.precisions import precisions
from nf_edge.backends.quantized_weights import nearest
from nf_edge.core.recipe.precision import Precision
from nf_edge.core.recipe.recipe import load_recipe
from nf_edge.quantization.dequantize import executorch_weights
from nf_edge.quantization.gptq import gptq
from nf_edge.quantization.quantize import quantize, quantized_weights_for

# A recipe that rounds to the nearest, and the one that is the same but for GPTQ.
PAIRS = [("onnx-int4", "onnx-int4-gptq"), ("xnnpack-8da4w", "xnnpack-8da4w-gptq")]
GPTQ = [recipe for _, recipe in PAIRS]
# Scales that may be negative or not, and zero points, with which none are.
KINDS = [(True, True), (False, True), (True, False)]


def correlated(rows, columns):
    """Inputs of which each is much like the others, as hidden states are."""
    generator = torch.Generator().manual_seed(1)
    mixed = torch.randn(columns // 4, columns, generator=generator)
    return torch.randn(rows, columns // 4, generator=generator) @ mixed


@pytest.fixture(scope="module")
def problem():
    inputs = correlated(500, 128)
    return torch.randn(64, 128, generator=torch.Generator().manual_seed(0)), inputs, inputs.T @ inputs


@pytest.mark.parametrize(("signed", "symmetric"), KINDS)
@pytest.mark.parametrize(("bits", "group"), [(4, 32), (3, 64), (6, None)])
def test_the_product_with_inputs_loses_far_less_than_by_rounding_to_the_nearest(
    problem, bits, group, signed, symmetric
):
    weight, inputs, hessian = problem
    precision = Precision(bits, group, symmetric)

    def lost(quantized_weight):
        return float((inputs @ (weight - quantized_weight.dequantized()).T).square().sum())

    assert lost(gptq(weight, hessian, precision, signed)) < 0.2 * lost(nearest(weight, precision, signed))


@pytest.mark.parametrize("bits", [2, 4])
def test_weights_that_lie_to_one_side_lose_far_less_with_zero_points(problem, bits):
    weight, inputs, hessian = problem
    weight = weight + 2

    def lost(symmetric):
        quantized_weight = gptq(weight, hessian, Precision(bits, 32, symmetric), signed=True)
        return float((inputs @ (weight - quantized_weight.dequantized()).T).square().sum())

    assert lost(symmetric=False) < 0.6 * lost(symmetric=True)


@pytest.mark.parametrize(("signed", "symmetric"), KINDS)
@pytest.mark.parametrize("bits", [2, 4, 7])
def test_what_comes_out_is_on_the_grid_that_runtimes_have(problem, bits, signed, symmetric):
    quantized_weight = gptq(problem[0], problem[2], Precision(bits, 32, symmetric), signed)
    assert quantized_weight.codes.dtype == torch.int8
    assert int(quantized_weight.codes.min()) >= -(2 ** (bits - 1))
    assert int(quantized_weight.codes.max()) < 2 ** (bits - 1)
    assert torch.equal(quantized_weight.scales, quantized_weight.scales.bfloat16().float())
    assert bool((quantized_weight.scales < 0).any()) == (signed and symmetric)
    assert (quantized_weight.zeros is None) == symmetric


def test_inputs_that_are_never_seen_and_weights_that_are_all_zero_do_no_harm():
    weight = torch.randn(4, 64, generator=torch.Generator().manual_seed(0))
    weight[0] = 0
    for hessian in (torch.zeros(64, 64), torch.diag(torch.arange(64.0))):
        quantized_weight = gptq(weight, hessian, Precision(4, 32), signed=False)
        assert bool(quantized_weight.dequantized().isfinite().all())
        assert float((weight - quantized_weight.dequantized()).abs().max()) < 0.5
        assert int(quantized_weight.codes[0].abs().max()) == 0


@pytest.mark.parametrize("name", ["wide-cls", "relative-lm", "none-lm"])
def test_xnnpack_is_given_exactly_the_weights_that_were_found(name, checkpoint):
    """torchao's own rounding would choose other scales for them, and move them."""
    the_checkpoint, recipe = checkpoint(name), load_recipe("xnnpack-8da4w-gptq")
    network = the_checkpoint.model()
    rows = [
        (np.arange(1, 60)[None], np.ones((1, 59), np.int64)),
        (np.arange(90, 130)[None], np.ones((1, 40))),
    ]
    wanted = precisions(recipe, network.config)
    quantized_weights = quantized_weights_for(network, backend_for(recipe), recipe, wanted, rows)
    input_shape = InputShape.of(recipe, the_checkpoint.config)
    program, weights = quantize(
        network, network, backend_for(recipe), recipe, wanted, input_shape, rows, quantized_weights
    )
    assert "transformer.h.0.mlp.c_proj" in quantized_weights
    for module, quantized_weight in quantized_weights.items():
        assert torch.equal(weights[module], quantized_weight.dequantized()), module
    assert torch.equal(weights[module], executorch_weights(network, program)[module])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "plain", "better"), [("wide-lm", *PAIRS[0]), ("wide-cls", *PAIRS[1])], ids=["onnx", "xnnpack"]
)
def test_outputs_lose_less_than_weights_do_and_less_than_by_the_nearest(name, plain, better, exported):
    layer_reports = {
        layer_report["module"]: layer_report for layer_report in exported(name, better).manifest.quantization
    }
    nearest_ones = {
        layer_report["module"]: layer_report for layer_report in exported(name, plain).manifest.quantization
    }
    # Its inputs have been through GELU, so they have much in common even where weights are random.
    layer = "transformer.h.0.mlp.c_proj"
    assert layer_reports[layer]["dtype"].startswith("int4, groups of 32, by GPTQ; ")
    # To round for the outputs is to round farther from the weights.
    assert layer_reports[layer]["weights_snr"]["value"] < nearest_ones[layer]["weights_snr"]["value"]
    assert layer_reports[layer]["output_snr"]["value"] > nearest_ones[layer]["weights_snr"]["value"] + 1
    assert "by GPTQ" in layer_reports["transformer.wte"]["dtype"]


@pytest.mark.slow
def test_a_tied_table_and_its_head_share_one_grid(exported):
    layer_reports = {
        layer_report["module"]: layer_report
        for layer_report in exported("wide-lm", "onnx-int4-gptq").manifest.quantization
    }
    assert layer_reports["lm_head"]["weights_snr"] == layer_reports["transformer.wte"]["weights_snr"]
    arrays = [
        to_array(tensor)
        for tensor in onnx.load(exported("wide-lm", "onnx-int4-gptq").model_file).graph.initializer
    ]
    assert [array.shape for array in arrays if array.size == 4000 * 128] == [(4000, 8, 16)]


@pytest.mark.slow
@pytest.mark.parametrize("recipe", GPTQ)
def test_layers_that_groups_do_not_divide_still_fall_back_to_int8(recipe, exported):
    layer_reports = {
        layer_report["module"]: layer_report
        for layer_report in exported("uneven-cls", recipe).manifest.quantization
    }
    assert layer_reports["transformer.h.0.mlp.c_fc"]["dtype"].startswith("int8, per channel")
    assert "by GPTQ" in layer_reports["transformer.h.0.mlp.c_proj"]["dtype"]


@pytest.mark.parametrize("method", ["gptq", "awq"])
def test_a_method_of_rounding_int8_weights_is_refused_with_the_fix(method, run, changed_recipe):
    recipe = changed_recipe(
        "xnnpack-8da8w", {"  embeddings: int8": f"  embeddings: int8\n  method: {method}"}
    )
    done = run("recipes", "check", recipe)
    assert done.code == 3
    assert f"quantize.method: {method} is only for weights below int8, and this recipe has none" in done.err


def test_without_rows_to_see_it_says_what_they_are_for(run, case, tmp_path):
    out = tmp_path / "out"
    done = run("export", case("cls-lowrank-last-padded"), "--recipe", "onnx-int4-gptq", "-o", out)
    assert done.code == 3
    assert "recipe onnx-int4-gptq needs calibration data (GPTQ)" in done.err
    assert "--calibrate FILE" in done.err


@pytest.mark.parametrize("name", ["wide-lm", "relative-lm"])
def test_a_head_that_only_ever_sees_zeros_has_finite_weights(name, checkpoint):
    """`relative-lm` has a head of its own, `wide-lm` shares its table."""
    network = checkpoint(name).model()
    for parameter in (network.transformer.ln_f.weight, network.transformer.ln_f.bias):
        parameter.data.zero_()
    rows = [(np.arange(1, 60)[None], np.ones((1, 59), np.int64))]
    recipe = load_recipe("onnx-int4-gptq")
    wanted = precisions(recipe, network.config)
    quantized_weights = quantized_weights_for(network, backend_for(recipe), recipe, wanted, rows)
    assert "lm_head" in quantized_weights
    for module, quantized_weight in quantized_weights.items():
        weight, found = network.get_submodule(module).weight.detach(), quantized_weight.dequantized()
        assert bool(found.isfinite().all()), module
        assert float((weight - found).square().mean()) < 0.1 * float(weight.square().mean()), module


@pytest.mark.slow
def test_half_of_what_int4_costs_a_language_model_is_won_back(checkpoint, run, tmp_path):
    """The bundled `shakespeare`, against its own fp32 answers on text of its own: no data set needed."""
    network, generator = checkpoint("shakespeare").model(), torch.Generator().manual_seed(0)

    def speak(count):
        """Texts drawn from the model itself."""
        ids = torch.zeros(count, 1, dtype=torch.int64)
        for _ in range(63):
            shares = network(ids)[:, -1].softmax(dim=1)
            ids = torch.cat([ids, torch.multinomial(shares, 1, generator=generator)], dim=1)
        return ids

    seen, asked = tmp_path / "seen.jsonl", speak(32)
    lines = (json.dumps({"input_ids": row.tolist()}) + "\n" for row in speak(80))
    seen.write_text("".join(lines), encoding="utf-8")
    wanted = network(asked).log_softmax(dim=2)

    def kl_divergence(recipe, *options):
        """KL, in nats a token, of the artifact's answers from the checkpoint's."""
        text = run("recipes", "show", recipe).out.replace(f"name: {recipe}", f"name: all-{recipe}")
        path = tmp_path / f"all-{recipe}.yaml"
        path.write_text(f"{text}\nlogits: all\n", encoding="utf-8")
        out = tmp_path / recipe
        assert run("export", "shakespeare", "--recipe", path, "-o", out, *options).code == 0
        the_recipe = load_recipe(str(path))
        backend = backend_for(the_recipe)
        session = backend.load(out / backend.model_file, InputShape.of(the_recipe, network.config))
        ones = np.ones((1, asked.shape[1]), np.int64)
        found = torch.cat([torch.from_numpy(session.run(row[None].numpy(), ones)) for row in asked])
        return float((wanted.exp() * (wanted - found.log_softmax(dim=2))).sum(dim=2).mean())

    plain, better = PAIRS[0]
    assert kl_divergence(better, "--calibrate", seen) < 0.5 * kl_divergence(plain)
