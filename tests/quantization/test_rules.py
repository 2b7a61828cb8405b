"""Rules of a recipe: which modules get which precision, and that the file has it."""

import copy
import json

import numpy as np
import onnx
import pytest
import torch
import yaml
from conftest import even_rows
from torch import nn

from nf_edge.artifact import load_artifact
from nf_edge.backends import backend_for
from nf_edge.backends.precisions import precisions, shares_table
from nf_edge.backends.quantized_weights import nearest
from nf_edge.core.recipe.precision import Precision
from nf_edge.core.recipe.recipe import load_recipe
from nf_edge.model import Decoder, TorchDecoder, load_checkpoint, save_checkpoint
from nf_edge.quantization.calibration import may_calibrate
from nf_edge.quantization.dequantize import onnx_weights
from nf_edge.quantization.qat import prepare_qat
from nf_edge.quantization.snr import plain_form

ONNX = {"runtime": "onnxruntime", "backend": "onnx_cpu"}
XNNPACK = {"runtime": "executorch", "backend": "xnnpack"}
INT4 = {"weights": "int4", "granularity": "group_32", "activations": "int8_dynamic", "embeddings": "int4"}
STATIC = {
    "weights": "int8",
    "granularity": "per_channel",
    "activations": "int8_static",
    "embeddings": "int8",
}
FC, PROJECTION = "transformer.h.0.mlp.c_fc", "transformer.h.0.mlp.c_proj"
KV, OUT = "transformer.h.0.attn.c_kv", "transformer.h.0.attn.c_proj"
# What makes a .pte is slow with others of its kind.
each_runtime = pytest.mark.parametrize(
    "runtime", [pytest.param(ONNX, id="onnx"), pytest.param(XNNPACK, id="xnnpack", marks=pytest.mark.slow)]
)


@pytest.fixture
def recipe(tmp_path):
    """A recipe's file, of a runtime and a section."""

    def write(runtime, section, *rules, **keys):
        content = {"name": "ruled", "description": "rules", **runtime, **keys}
        content["quantize"] = {**section, "rules": list(rules)}
        path = tmp_path / "ruled.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        return path

    return write


@pytest.fixture
def export(run, tmp_path, checkpoint):
    """Export by a recipe's file; the artifact, and the layer reports by module."""

    def call(source, path):
        the_checkpoint = checkpoint(source) if isinstance(source, str) else source
        seen = tmp_path / "seen.jsonl"
        config = the_checkpoint.config
        rows = even_rows(config, config.n_positions)
        lines = (json.dumps({"input_ids": list(row.input_ids), "label": 0}) + "\n" for row in rows)
        seen.write_text("".join(lines), encoding="utf-8")
        options = ["--calibrate", seen] if may_calibrate(load_recipe(str(path))) else []
        out = tmp_path / "out"
        done = run("export", the_checkpoint.path, "--recipe", path, "-o", out, *options, "--json")
        assert done.code == 0, done.err
        layer_reports = json.loads(done.out)["result"]["quantization"]
        return load_artifact(out), {layer_report["module"]: layer_report for layer_report in layer_reports}

    return call


@pytest.mark.parametrize("runtime", [ONNX, XNNPACK], ids=["onnx", "xnnpack"])
def test_a_dry_run_reports_every_module_and_the_first_rule_wins(run, recipe, checkpoint, runtime):
    path = recipe(
        runtime,
        INT4,
        {"modules": "transformer.h.0.attn.*", "weights": "int8"},
        {"modules": "*.c_proj", "weights": "int3", "granularity": "group_64"},
        {"modules": "lm_head", "weights": "float32"},
        {"modules": "transformer.wte", "weights": "int6"},
    )
    done = run("export", checkpoint("none-lm").path, "--recipe", path, "--dry-run", "--json")
    assert done.code == 0
    result = json.loads(done.out)["result"]
    layer_reports = {layer_report["module"]: layer_report for layer_report in result["quantization"]}
    assert (
        layer_reports[KV]["dtype"]
        == layer_reports[OUT]["dtype"]
        == "int8, per channel; int8 dynamic activations"
    )
    assert layer_reports[FC]["dtype"] == "int4, groups of 32; int8 dynamic activations"
    assert layer_reports[PROJECTION]["dtype"] == "int3, groups of 64; int8 dynamic activations"
    container = "3-bit values stored as int4: the compressed download is smaller, the file is not"
    assert layer_reports[PROJECTION]["reason"] == container
    assert (layer_reports["lm_head"]["dtype"], layer_reports["transformer.wte"]["dtype"]) == (
        "float32",
        "int6, per row",
    )
    (note,) = result["memory"]["notes"]
    assert "is stored twice" in note


def test_rules_that_do_nothing_are_told_together_with_the_modules_that_there_are(run, recipe, checkpoint):
    path = recipe(
        ONNX,
        INT4,
        {"modules": "transformer.h.*", "weights": "int8"},
        {"modules": "lm_hed", "weights": "float32"},
        {"modules": "*.mlp.c_fc", "weights": "float32"},
        {"modules": "*.ln_1", "weights": "int8"},
    )
    done = run("export", checkpoint("none-lm").path, "--recipe", path, "--dry-run")
    assert done.code == 3
    assert "recipe ruled: 3 problems" in done.err
    assert "quantize.rules.1: 'lm_hed' matches no module" in done.err
    assert "quantize.rules.2: '*.mlp.c_fc' never applies, because 'transformer.h.*' comes first" in done.err
    assert "quantize.rules.3: '*.ln_1' matches no module" in done.err
    assert f"linear layers and tables of this model are: transformer.wte, transformer.wpe, {KV}," in done.err
    assert run("profile", checkpoint("none-lm").path, "--recipe", path).code == 3


def test_rules_that_no_runtime_can_follow_are_refused_each_with_its_line(run, recipe):
    path = recipe(
        ONNX,
        STATIC,
        {"modules": "lm_head", "weights": "int4"},
        {"modules": "score", "weights": "float32", "activations": "none"},
        {"modules": "*.c_fc", "weights": "int8", "granularity": "group_32"},
    )
    lines = path.read_text(encoding="utf-8").splitlines()
    first, second, third = (number for number, line in enumerate(lines, 1) if "- modules:" in line)
    done = run("recipes", "check", path)
    assert (done.code, "3 problems" in done.err) == (3, True)
    for line, problem in [
        (first, "rules.0: no runtime supports int4 weights with activations int8_static; write int8_dynamic"),
        (second, "rules.1: a rule with weights: float32 must not set granularity, symmetric or activations"),
        (
            third,
            "rules.2: no runtime supports weights in groups with activations int8_static; "
            "write activations int8_dynamic or",
        ),
    ]:
        assert f"line {line}: quantize.{problem}" in done.err


@pytest.mark.parametrize(
    ("section", "rule", "problem"),
    [
        (INT4, {"activations": "none", "weights": "int4"}, "write activations: int8_dynamic"),
        (
            INT4,
            {"granularity": "group_32", "weights": "int8"},
            "write granularity: per_channel",
        ),
        (
            INT4,
            {"granularity": "group_16", "weights": "int2"},
            "write granularity: per_channel, group_32, group_64 or group_128",
        ),
        (
            STATIC,
            {"activations": "int8_dynamic", "weights": "int4"},
            "combines int8_static layers only with int8 per_channel",
        ),
        (
            INT4,
            {"weights": "int4", "symmetric": False},
            "supports only symmetric weights; leave symmetric out",
        ),
    ],
)
def test_what_xnnpack_has_no_kernel_for_is_refused_with_the_fix(run, recipe, section, rule, problem):
    done = run("recipes", "check", recipe(XNNPACK, section, {"modules": "*.c_fc"} | rule))
    assert done.code == 3
    assert "quantize.rules.0" in done.err
    assert problem in done.err


def answers(artifact, network, ids):
    """Logits of an artifact and of a network in PyTorch."""
    backend = backend_for(artifact.manifest.recipe)
    session = backend.load(artifact.model_file, artifact.manifest.interface.input_shape)
    if isinstance(session, Decoder):
        return session.feed(ids.tolist(), 0), TorchDecoder(network).feed(ids.tolist(), 0)
    mask = np.ones((1, len(ids)), np.int64)
    with torch.no_grad():
        wanted = network(torch.from_numpy(ids[None]), torch.from_numpy(mask)).numpy()
    return session.run(ids[None], mask), wanted


# A language model whose head and table part, one whose head and table are one, and a classifier.
EVERY_WIDTH = [
    {"modules": KV, "weights": "int2", "granularity": "group_16"},
    {"modules": OUT, "weights": "int3", "granularity": "group_64"},
    {"modules": FC, "weights": "int5"},
    {"modules": PROJECTION, "weights": "int8", "granularity": "group_128"},
]
PARTED = [{"modules": "lm_head", "weights": "int6"}, {"modules": "transformer.wte", "weights": "int2"}]
# Of one group a row: its zero point does not fill a byte.
ONE_GROUP = [
    {"modules": name, "weights": weights, "granularity": "group_128"}
    for name, weights in ((KV, "int2"), (OUT, "int4"), ("lm_head", "int4"), ("transformer.wte", "int4"))
]
FLOAT_HEAD = [{"modules": "lm_head", "weights": "float32"}]
FLOAT_TABLE = [{"modules": "transformer.wte", "weights": "float32"}]


@pytest.mark.parametrize(
    "symmetric",
    [True, pytest.param(False, marks=pytest.mark.slow)],
    ids=["symmetric", "zero points"],
)
@pytest.mark.parametrize(
    ("name", "rules"),
    [
        ("none-lm", EVERY_WIDTH + PARTED),
        ("none-lm", EVERY_WIDTH),
        ("none-lm", FLOAT_HEAD),
        ("none-lm", FLOAT_TABLE),
        ("none-lm", FLOAT_HEAD + FLOAT_TABLE),
        ("wide-cls", EVERY_WIDTH),
        ("none-lm", ONE_GROUP),
    ],
    ids=["parted", "shared", "float32 head", "float32 table", "float32 both", "classifier", "one group"],
)
def test_an_onnx_file_answers_as_the_network_with_the_weights_that_it_tells(
    name, rules, symmetric, recipe, export, checkpoint
):
    """With float32 activations there is nothing else in the way."""
    path = recipe(ONNX, INT4 | {"activations": "none", "symmetric": symmetric}, *rules)
    artifact, _ = export(name, path)
    network, the_recipe = checkpoint(name).model(), load_recipe(str(path))
    backend_for(the_recipe).specialise(network, the_recipe)
    network = plain_form(checkpoint(name).model(), network)
    wanted = precisions(the_recipe, network.config)
    told = onnx_weights(artifact.model_file, wanted, shares_table(wanted, network.config))
    network = _with_weights(network, told)
    found, expected = answers(artifact, network, np.arange(40))
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.fixture
def to_one_side(checkpoint, tmp_path):
    """Checkpoints whose matrices have few weights below 0, by name."""

    def make(name):
        config, tensors = checkpoint(name).config, checkpoint(name).model().state_dict()
        for key in config.matrix_shapes():
            if f"{key}.weight" in tensors:
                tensors[f"{key}.weight"] += 1.5 * tensors[f"{key}.weight"].std()
        tensors = {key: tensor for key, tensor in tensors.items() if key in config.tensor_shapes()}
        save_checkpoint(tmp_path / name, config, tensors)
        return load_checkpoint(tmp_path / name)

    return make


@pytest.mark.slow
@pytest.mark.parametrize("activations", ["int8_dynamic", pytest.param("int8_static", marks=pytest.mark.slow)])
@pytest.mark.parametrize("rules", [[], [{"modules": "lm_head", "weights": "int6"}]], ids=["shared", "parted"])
def test_zero_points_of_channels_are_those_that_the_file_computes_with(
    activations, rules, recipe, export, to_one_side
):
    if activations == "int8_static" and rules:
        rules = [rules[0] | {"activations": "int8_dynamic"}]
    path = recipe(ONNX, STATIC | {"activations": activations, "symmetric": False}, *rules)
    checkpoint = to_one_side("none-lm")
    artifact, layer_reports = export(checkpoint, path)
    assert layer_reports[FC]["dtype"].startswith("int8, per channel, zero points; ")
    assert layer_reports["transformer.wte"]["dtype"] == "int8, per row, zero points"
    assert all(
        layer_reports[name]["weights_snr"]["value"] > 40 for name in (KV, FC, PROJECTION, "transformer.wte")
    )
    network, the_recipe = checkpoint.model(), load_recipe(str(path))
    wanted = precisions(the_recipe, network.config)
    told = onnx_weights(artifact.model_file, wanted, shares_table(wanted, network.config))
    found, expected = answers(artifact, _with_weights(network, told), np.arange(40))
    assert np.abs(found - expected).max() < 0.05 * np.abs(expected).max()


def _with_weights(network, weights):
    for module, weight in weights.items():
        network.get_submodule(module).register_parameter("weight", nn.Parameter(weight))
    return network


@pytest.mark.parametrize("name", ["none-lm", "wide-cls"])
@each_runtime
def test_each_module_of_the_file_loses_what_its_own_width_does(name, runtime, recipe, export, checkpoint):
    head = "lm_head" if name == "none-lm" else "score"
    path = recipe(
        runtime,
        INT4,
        {"modules": OUT, "weights": "int8"},
        {"modules": FC, "weights": "int6"},
        {"modules": PROJECTION, "weights": "int3", "granularity": "group_64"},
        {"modules": head, "weights": "float32"},
        {"modules": "transformer.wte", "weights": "int8"},
    )
    artifact, layer_reports = export(name, path)
    for module, bits in ((KV, 4), (OUT, 8), (FC, 6), (PROJECTION, 3), ("transformer.wte", 8)):
        # About 6 dB a bit.
        assert abs(layer_reports[module]["weights_snr"]["value"] - (6 * bits - 3)) < 4.5, module
    assert layer_reports[head]["weights_snr"] is None
    found, wanted = answers(artifact, checkpoint(name).model(), np.arange(40))
    assert np.abs(found - wanted).max() < 0.5 * np.abs(wanted).max()
    # What was predicted before anything was lowered is what the file has.
    (line,) = (line for line in artifact.manifest.reports["memory"]["file"] if line["name"] == "weights")
    assert line["predicted"]["value"] == pytest.approx(line["planned"]["value"], rel=0.03)


@pytest.mark.slow
@each_runtime
def test_static_recipes_may_leave_layers_in_float32_or_dynamic(runtime, recipe, export):
    path = recipe(
        runtime,
        STATIC,
        {"modules": "*.attn.*", "weights": "float32"},
        {"modules": FC, "weights": "int8", "activations": "int8_dynamic"},
    )
    artifact, layer_reports = export("wide-cls", path)
    assert layer_reports[KV] | {"dtype": "float32", "weights_snr": None} == layer_reports[KV]
    assert layer_reports[FC]["dtype"] == "int8, per channel; int8 dynamic activations"
    assert layer_reports[PROJECTION]["dtype"] == "int8, per channel; int8 static activations"
    assert {layer_reports[name]["weights_snr"] is None for name in (FC, PROJECTION, "score")} == {False}
    if runtime is ONNX:
        operators = [node.op_type for node in onnx.load(artifact.model_file).graph.node]
        # A static product stands behind a QuantizeLinear: two layers are so.
        assert (operators.count("MatMulInteger"), operators.count("QuantizeLinear")) == (1, 2)


def test_gptq_rounds_each_layer_to_its_own_width(recipe, export):
    path = recipe(
        ONNX,
        INT4 | {"method": "gptq"},
        {"modules": PROJECTION, "weights": "int3", "granularity": "group_64"},
        {"modules": FC, "weights": "int8"},
    )
    _, layer_reports = export("wide-cls", path)
    assert layer_reports[PROJECTION]["dtype"].startswith("int3, groups of 64, by GPTQ; ")
    assert "GPTQ" not in layer_reports[FC]["dtype"]
    assert (
        layer_reports[PROJECTION]["output_snr"]["value"]
        > layer_reports[PROJECTION]["weights_snr"]["value"] + 1
    )


def test_quantization_aware_training_rounds_by_the_rules(recipe, checkpoint):
    path = recipe(
        ONNX,
        INT4,
        {"modules": FC, "weights": "float32"},
        {"modules": PROJECTION, "weights": "int3", "granularity": "group_64"},
        {"modules": "transformer.wte", "weights": "int8"},
        {"modules": OUT, "weights": "int3", "symmetric": False},
    )
    network = checkpoint("none-lm").model()
    plain = copy.deepcopy(network)
    prepare_qat(network, load_recipe(str(path)))
    lost = {}
    for name in (KV, PROJECTION, "transformer.wte"):
        module = network.get_submodule(name)
        weight, rounded = module.weight, module.weight_fake_quantizer(module.weight)
        lost[name] = float(10 * torch.log10(weight.square().sum() / (weight - rounded).square().sum()))
    assert lost[PROJECTION] < 16 < lost[KV] < 25 < 40 < lost["transformer.wte"]
    assert type(network.get_submodule(FC)) is type(plain.get_submodule(FC))
    layer, weight = network.get_submodule(OUT), plain.get_submodule(OUT).weight
    # What trains is what the file will have.
    wanted = nearest(weight, Precision(3, 32, symmetric=False), signed=True).dequantized()
    assert torch.allclose(layer.weight_fake_quantizer(layer.weight), wanted, atol=1e-7)
    layer.requires_grad_()(torch.ones(1, 128)).sum().backward()
    assert bool(layer.weight.grad.abs().min() > 0)
