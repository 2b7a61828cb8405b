"""Arm Ethos-U: Vela's report, and the artifact simulated before Vela."""

import json
from collections import Counter

import numpy as np
import pytest
import torch
from conftest import RANDOM_LENGTH, backend_missing

import nf_edge.backends
from nf_edge.backends.ethos_u.form import SelectTokenBySum
from nf_edge.backends.executorch.capture import quantize_captured
from nf_edge.backends.input_shape import InputShape
from nf_edge.backends.precisions import precisions
from nf_edge.backends.static_shape.form import Hints
from nf_edge.core.recipe.recipe import load_recipe

RECIPE = "ethos-u55-128-int8"
# Of the recipes, that whose target Vela has least to do for.
EXPORTED = "ethos-u85-256-int8"
# With 16 bits, where products of two activations are in 8.
MIXED = "ethos-u55-256-a16w8"


@pytest.mark.parametrize("recipe", [EXPORTED, MIXED])
def test_an_export_tells_what_the_npu_takes_and_what_is_left_to_the_host(recipe, exported):
    """Cycles by operator, SRAM and flash, and a reason for each operator on the host."""
    manifest = exported("uneven-cls", recipe).manifest
    estimate = manifest.reports["accelerator"]
    assert estimate["cycles"]["how"] == "simulated"
    assert estimate["cycles"]["value"] > 10_000
    assert {"MatMul", "Conv2D"} <= {kind["operator"] for kind in estimate["kinds"]}
    assert sum(kind["share"] for kind in estimate["kinds"]) == pytest.approx(1)
    assert manifest.coverage["delegated"] > 4 * sum(left["count"] for left in manifest.coverage["left"])
    assert all(left["reason"] for left in manifest.coverage["left"])
    assert "embedding_byte" in {left["operator"] for left in manifest.coverage["left"]}
    process = {line["name"]: line for line in manifest.reports["memory"]["process"]}
    assert process["workspace"]["planned"]["value"] == pytest.approx(estimate["sram"]["value"], rel=0.02)
    assert "simulated, before Vela" in process["process"]["measured"]["note"]
    for name, line in process.items():
        if name in ("arenas", "workspace", "model file, mapped"):
            assert line["predicted"]["value"] == pytest.approx(line["planned"]["value"], rel=0.5), name


def quantized(recipe, network, rows):
    """A network as a recipe's NPU is given it, calibrated on rows of token ids."""
    if missing := backend_missing(recipe):
        pytest.skip(missing)
    recipe, backend = load_recipe(recipe), nf_edge.backends.get_backend("ethos_u")
    input_shape = InputShape.of(recipe, network.config)
    backend.specialise(network, recipe)
    program, seen = backend.program(network, input_shape, None), [(ids, np.ones_like(ids)) for ids in rows]
    return backend.quantize_static(program, recipe, precisions(recipe, network.config), input_shape, seen)


def long_rows():
    return np.random.default_rng(1).integers(50, size=(4, 1, RANDOM_LENGTH))


@torch.no_grad()
def test_with_16_bits_a_row_of_one_token_is_answered_though_only_long_ones_were_calibrated_on(random_network):
    """Its padding is hidden, and what it sums up over tokens is in range."""
    model = quantized("ethos-u85-256-a16w8", random_network("mean", "lowrank"), long_rows())
    mask = (torch.arange(RANDOM_LENGTH) < 1).long()[None]
    ids = 7 * mask
    wanted = random_network("mean", "lowrank")(ids, mask)
    assert (model(ids, mask) - wanted).abs().max() < 0.05 * wanted.abs().max()


@pytest.mark.parametrize(
    ("recipe", "product"),
    [(MIXED, torch.int8), ("ethos-u65-256-a16w8", torch.int8), ("ethos-u85-256-a16w8", torch.int16)],
)
def test_with_16_bits_all_but_what_the_npu_cannot_multiply_so_has_them(recipe, product, random_network):
    graph = quantized(recipe, random_network("last token", "lowrank"), long_rows()).graph
    values, factors = Counter(), Counter()
    for node in graph.nodes:
        if node.target == torch.ops.quantized_decomposed.quantize_per_tensor.default:
            values[node.args[-1]] += 1
        if node.target in (torch.ops.aten.matmul.default, torch.ops.aten.bmm.default):
            factors.update(factor.args[-1] for factor in node.args)
    assert set(factors) == {product}
    # Of int8 there is nothing else.
    assert values[torch.int8] == (factors[torch.int8])
    assert values[torch.int16] > 50


@pytest.mark.slow
def test_the_run_guide_names_the_npu_and_has_no_python_that_cannot_run(exported):
    artifact = exported("uneven-cls", EXPORTED)
    guide = (artifact.path / "RUN.md").read_text(encoding="utf-8")
    assert "`ethos-u85-256`" in guide
    assert "```cpp" in guide
    assert "```python" not in guide
    # A machine without a file system lends the delegate what the NPU works in.
    process = {line["name"]: line for line in artifact.manifest.reports["memory"]["process"]}
    assert f"temporary_pool[{process['workspace']['planned']['value']} * kPointers]" in guide
    firmware = {line["name"]: line for line in artifact.manifest.reports["memory"]["firmware"]}
    planned = firmware["method allocator"]["planned"]["value"]
    assert firmware["method allocator"]["predicted"]["value"] == pytest.approx(planned, rel=0.1)
    # The NPU's code was not measured: the figure is Arm's for another application.
    assert "not measured" in firmware["code"]["planned"]["note"]
    assert "Run from this folder" not in guide


@pytest.mark.parametrize(
    ("command", "message"),
    [("sensitivity", "quantizes all linear layers"), ("sweep", "cannot be timed here")],
)
def test_sensitivity_and_sweep_refuse_an_npu(command, message, run):
    if missing := backend_missing(RECIPE):
        pytest.skip(missing)
    done = run(command, "digits", "--recipe", RECIPE, "--data", "digits:drawn")
    assert done.code == 3
    assert message in done.err


@pytest.fixture
def dry_run(run):
    """What a dry run of digits says of each module, by its name."""

    def layer_reports(recipe, device):
        if missing := backend_missing(recipe):
            pytest.skip(missing)
        done = run("export", "digits", "--recipe", recipe, "--device", device, "--dry-run", "--json")
        return {report["module"]: report for report in json.loads(done.out)["result"]["quantization"]}

    return layer_reports


def test_a_dry_run_reports_every_module(dry_run):
    layer_reports = dry_run(RECIPE, "corstone-300-fvp")
    assert layer_reports["transformer.h.0.ln_1"]["dtype"] == "folded"
    assert layer_reports["transformer.h.0.attn.noise"]["dtype"].startswith("int8")
    assert layer_reports["score"]["dtype"] == "float32"
    assert layer_reports["attention"]["dtype"].startswith("int8")


def test_a_dry_run_with_16_bits_says_which_products_have_8(dry_run):
    layer_reports = dry_run(MIXED, "alif-e8-devkit")
    assert layer_reports["attention"]["dtype"].startswith("int8")
    assert "multiply two activations only in int8" in layer_reports["attention"]["reason"]
    assert layer_reports["transformer.h.0.attn.noise"]["dtype"].endswith("int16 static activations")
    assert layer_reports["transformer.h.0.mlp.c_fc"]["dtype"].endswith("int16 static activations")


def test_the_memory_predicted_of_a_language_model_has_its_logits(run):
    """Of all tokens, in float32, and as the NPU gives them: 655 kB of shakespeare."""
    if missing := backend_missing(EXPORTED):
        pytest.skip(missing)
    done = run("profile", "shakespeare", "--recipe", EXPORTED, "--json")
    process = {line["name"]: line for line in json.loads(done.out)["result"]["process"]}
    assert process["arenas"]["predicted"]["value"] == 5 * 128 * 1024


def test_a_language_model_that_flash_cannot_hold_is_refused_before_it_is_lowered(run):
    """U55 multiplies two activations row by row, and has commands for each row."""
    recipe = "ethos-u55-256-int8"
    if missing := backend_missing(recipe):
        pytest.skip(missing)
    done = run("export", "shakespeare", "--recipe", recipe, "--device", "ek-ra8p1", "--dry-run")
    assert done.code == 4
    assert "of MRAM (predicted)" in done.err


class Picked(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.pick = SelectTokenBySum("last")

    def forward(self, x, pick):
        return self.pick(x, Hints(None, pick))


class Halved(torch.nn.Module):
    def forward(self, x, pick):
        return x * 0.5


def test_tokens_have_the_range_that_they_have_where_none_is_picked():
    """And what is picked has it too, so that it is not rounded again."""
    pytest.importorskip("tosa_reference_model", reason="pip install 'nf-edge[ethos]'")
    from nf_edge.backends.ethos_u.quantizer import npu_quantizer

    generator = torch.Generator().manual_seed(0)
    rows = [(torch.randn(1, 64, 32, generator=generator), torch.eye(64)[None, i : i + 1]) for i in range(16)]

    def ranges(module):
        exported = torch.export.export(module.eval(), rows[0])
        program = quantize_captured(
            exported, npu_quantizer("ethos-u85-256", "int8_static"), rows, lambda: None
        )
        return {
            node.args[0].name: node.args[1:3]
            for node in program.graph.nodes
            if getattr(node.target, "__name__", "") == "quantize_per_tensor.default"
        }

    picked = ranges(Picked())
    assert picked["x"] == picked["mul"] == picked["sum_1"] == ranges(Halved())["x"]
