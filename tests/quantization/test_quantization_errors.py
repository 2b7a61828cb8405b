"""Every quantizer tells what it cost each layer and table, about the very weights that ship."""

from functools import partial

import numpy as np
import onnx
import pytest
from onnx.numpy_helper import to_array

from nf_edge.backends.quantized_weights import LazyWeights
from nf_edge.core import resources
from nf_edge.core.recipe.recipe import load_recipe
from nf_edge.quantization import snr
from nf_edge.quantization.layer_report import LayerReport

QUANTIZING = {name: load_recipe(name) for name in resources.names("recipes") if load_recipe(name).quantize}
# What is compiled for an NPU has tests of its own (test_ethos_u.py, test_coreml.py).
RECIPES = [
    name
    for name, recipe in QUANTIZING.items()
    if not (recipe.shrinks or recipe.target or recipe.backend == "coreml")
]
# The model that test_vulkan.py exports, too: its programs take longest to make.
VULKAN = {"vulkan-int8": ("wide-cls",), "vulkan-int4": ("wide-lm",)}
# Decibels that rounding normally distributed weights to so many bits leaves, from and to.
EXPECTED = {"int8": (35, 60), "int4": (15, 30)}


def layer_reports_of(artifact):
    return {layer_report["module"]: layer_report for layer_report in artifact.manifest.quantization}


@pytest.mark.parametrize(
    ("name", "recipe"),
    [(name, recipe) for recipe in RECIPES for name in VULKAN.get(recipe, ("wide-lm", "wide-cls"))],
)
def test_every_quantized_layer_and_table_reports_its_error(name, recipe, exported):
    artifact = exported(name, recipe)
    for module, layer_report in layer_reports_of(artifact).items():
        dtype, found = layer_report["dtype"].split(",")[0], layer_report["weights_snr"]
        if dtype not in EXPECTED or module in ("attention", "KV cache"):
            assert found is None
            assert layer_report["output_snr"] is None
            continue
        least, most = EXPECTED[dtype]
        assert (found["unit"], found["how"]) == ("dB", "planned")
        assert least < found["value"] < most, module
        if artifact.manifest.calibration is None:
            assert layer_report["output_snr"] is None
        else:
            assert layer_report["output_snr"]["how"] == "predicted"
            assert least < layer_report["output_snr"]["value"], module


def test_a_layer_that_fell_back_to_int8_tells_the_smaller_loss(exported):
    layer_reports = layer_reports_of(exported("uneven-cls", "onnx-int4"))
    assert layer_reports["transformer.h.0.mlp.c_fc"]["weights_snr"]["value"] > 35
    assert layer_reports["transformer.h.0.mlp.c_proj"]["weights_snr"]["value"] < 30


def test_the_reported_error_is_that_of_the_weights_in_the_file(exported, checkpoint):
    artifact = exported("wide-lm", "onnx-int8-dynamic")
    arrays = {tensor.name: to_array(tensor) for tensor in onnx.load(artifact.model_file).graph.initializer}
    (table,) = (array for array in arrays.values() if array.shape == (4000, 256))
    (scales,) = (array for array in arrays.values() if array.shape == (4000,) and array.dtype == np.float32)
    wanted = checkpoint("wide-lm").model().transformer.wte.weight.detach().numpy()
    lost = wanted - table * scales[:, None]
    decibels = 10 * np.log10((wanted**2).sum() / (lost**2).sum())
    for module in ("transformer.wte", "lm_head"):
        found = layer_reports_of(artifact)[module]["weights_snr"]["value"]
        assert found == pytest.approx(decibels, abs=0.01)


def test_the_report_names_the_layers_that_lose_most(exported):
    artifact = exported("wide-cls", "onnx-int4")
    known = [layer_report for layer_report in artifact.manifest.quantization if layer_report["weights_snr"]]
    worst = min(known, key=lambda layer_report: layer_report["weights_snr"]["value"])
    line = f"of weights (planned): {worst['module']} {worst['weights_snr']['value']:.1f} dB, "
    assert line in (artifact.path / "report.html").read_text(encoding="utf-8")


def test_lowered_weights_are_computed_for_many_rows_at_once_with_the_same_ratios(checkpoint, monkeypatch):
    network = checkpoint("wide-cls").reference()
    modules = {name: network.get_submodule(name) for name in ("transformer.wte", "transformer.h.0.mlp.c_fc")}
    computed = []

    def rounded(name):
        computed.append(name)
        return modules[name].weight.half().float()

    lowered = LazyWeights({name: partial(rounded, name) for name in modules})
    rows = [(np.full((1, length), length), np.ones((1, length), dtype=np.int64)) for length in range(2, 12)]
    layer_reports = [LayerReport(name, "int8") for name in modules]
    at_once = snr.with_errors(layer_reports, network, lowered, rows)
    # Once for the ratio of the weights, and once for the ratio of the outputs.
    assert sorted(computed) == sorted([*modules, *modules])
    monkeypatch.setattr(snr, "KEPT", 0)
    assert snr.with_errors(layer_reports, network, lowered, rows) == at_once
    # The ratio of the table's outputs is that of the rows' tokens.
    table, ids = modules["transformer.wte"].weight, np.concatenate([row.flatten() for row, _ in rows])
    signal, error = table[ids].double(), (table - table.half().float())[ids].double()
    decibels = 10 * np.log10(float(signal.square().sum() / error.square().sum()))
    assert at_once[0].output_snr.value == pytest.approx(decibels)
