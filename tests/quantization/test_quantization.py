"""What quantizing does to a model, by every quantized recipe: answers kept, bytes saved, all of it told."""

import hashlib
import json
import shutil

import numpy as np
import onnx
import pytest
import torch
from conftest import TESTS

from nf_edge.backends import backend_for
from nf_edge.core import resources
from nf_edge.core.recipe.recipe import load_recipe
from nf_edge.model import Decoder, TorchDecoder
from nf_edge.quantization.calibration import may_calibrate
from nf_edge.render.quantization import quantization_lines

CASE = TESTS / "cases" / "cls-lowrank-last-padded"
QUANTIZING = {name: load_recipe(name) for name in resources.names("recipes") if load_recipe(name).quantize}
# What is compiled for NPUs and for GPUs of phones has tests of its own (test_ethos_u.py, test_vulkan.py, …).
RECIPES = [
    name
    for name, recipe in QUANTIZING.items()
    if not (recipe.shrinks or recipe.target or recipe.backend in ("coreml", "vulkan"))
]
CALIBRATED = [name for name in RECIPES if may_calibrate(load_recipe(name))]
STATIC = [name for name in RECIPES if load_recipe(name).quantize.activations == "int8_static"]
# A name of conftest.SHAPES for every kind of noise, both directions and both heads.
SHAPES = ["wide-lm", "wide-cls", "none-lm", "pairwise-cls", "relative-lm"]
# Signal against noise of the logits, in decibels: 8 bits lose about a hundredth, 4 bits a tenth.
LEAST_SNR = {"int8": 20, "int4": 6}


# A .pte takes a quarter of a minute to make: each recipe has a language model and a classifier, which other
# tests export, too, but for another noise by one recipe of each way to multiply.
PTE_SHAPES = {
    "nf-int8": ("relative-lm", "wide-cls"),
    "openvino-int8-weights": ("wide-lm", "pairwise-cls"),
    "xnnpack-8da4w-gptq": ("relative-lm", "wide-cls"),
    "xnnpack-8da8w": ("wide-lm", "pairwise-cls"),
}


def each_model_and_recipe(recipes, names=SHAPES):
    """Every shape by every recipe to ONNX, two by each recipe to .pte; two by each recipe are quick."""
    return [
        pytest.param(name, recipe, marks=[] if name in ("wide-lm", "wide-cls") else pytest.mark.slow)
        for recipe in recipes
        for name in names
        if recipe.startswith("onnx") or name in PTE_SHAPES.get(recipe, ("wide-lm", "wide-cls"))
    ]


@pytest.fixture
def both(exported, checkpoint):
    """The artifact's and PyTorch's logits of one row, flat; padded on the right to `length`."""

    def get(name, recipe):
        artifact = exported(name, recipe)
        backend, input_shape = backend_for(artifact.manifest.recipe), artifact.manifest.interface.input_shape
        session, network = backend.load(artifact.model_file, input_shape), checkpoint(name).model()

        def answer(ids, length=None):
            if isinstance(session, Decoder):
                return session.feed(ids.tolist(), 0), TorchDecoder(network).feed(ids.tolist(), 0)
            padded = np.zeros((1, length or len(ids)), dtype=np.int64)
            padded[0, : len(ids)] = ids
            mask = (np.arange(padded.shape[1]) < len(ids)).astype(np.int64)[None]
            wanted = network(torch.from_numpy(padded), torch.from_numpy(mask)).numpy()
            return session.run(padded, mask).ravel(), wanted.ravel()

        return answer

    return get


def random_rows(checkpoint, lengths, seed=1):
    generator = np.random.default_rng(seed)
    return [generator.integers(checkpoint.config.vocab_size, size=length) for length in lengths]


def decibels(found, wanted):
    found, wanted = np.concatenate(found), np.concatenate(wanted)
    return 10 * np.log10((wanted**2).sum() / ((found - wanted) ** 2).sum())


@pytest.mark.parametrize(("name", "recipe"), each_model_and_recipe(RECIPES))
def test_logits_stay_near_pytorchs_at_every_length_whatever_the_noise(name, recipe, both, checkpoint):
    answer, rows = both(name, recipe), random_rows(checkpoint(name), [1, 2, 7, 20, 33, 50, 64] * 3)
    snr = decibels(*zip(*map(answer, rows), strict=True))
    assert snr > LEAST_SNR[load_recipe(recipe).quantize.weights]
    assert snr < 60, "it was not quantized"


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["onnx-int4", pytest.param("onnx-int8-dynamic", marks=pytest.mark.slow)])
def test_a_language_model_that_gives_all_logits_shares_its_quantized_table_with_the_head(
    recipe, exported, checkpoint
):
    """Its head is exported as a product with the table, transposed."""
    artifact = exported("wide-lm", f"{recipe}+all")
    backend, input_shape = backend_for(artifact.manifest.recipe), artifact.manifest.interface.input_shape
    session, network = backend.load(artifact.model_file, input_shape), checkpoint("wide-lm").model()
    ids = np.arange(40)[None]
    found, wanted = session.run(ids, np.ones_like(ids)), network(torch.from_numpy(ids)).numpy()
    dtype = load_recipe(recipe).quantize.weights
    assert decibels([found.ravel()], [wanted.ravel()]) > LEAST_SNR[dtype]
    assert artifact.model_file.stat().st_size < 1.3 * exported("wide-lm", recipe).model_file.stat().st_size


@pytest.mark.slow
def test_a_tied_head_of_int4_and_a_table_of_int8_part(checkpoint, run, tmp_path):
    text = run("recipes", "show", "onnx-int4").out.replace("name: onnx-int4", "name: mixed")
    recipe = tmp_path / "mixed.yaml"
    recipe.write_text(text.replace("embeddings: int4", "embeddings: int8"), encoding="utf-8")
    out = tmp_path / "out"
    done = run("export", checkpoint("none-lm").path, "--recipe", recipe, "-o", out, "--json")
    assert done.code == 0
    found = {
        layer_report["module"]: layer_report
        for layer_report in json.loads(done.out)["result"]["quantization"]
    }
    assert found["lm_head"]["weights_snr"]["value"] < 30 < found["transformer.wte"]["weights_snr"]["value"]


# A decoder's rows are never padded.
@pytest.mark.parametrize(("name", "recipe"), each_model_and_recipe(STATIC, ["wide-cls", "pairwise-cls"]))
def test_padding_that_is_masked_does_not_spoil_ranges_that_are_fixed(name, recipe, both, checkpoint):
    """A mask among the calibrated values would take all of their range."""
    answer = both(name, recipe)
    padded = [answer(row, length=64) for row in random_rows(checkpoint(name), [1, 5, 12, 30] * 4)]
    assert decibels(*zip(*padded, strict=True)) > LEAST_SNR["int8"]


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["onnx-int4", "xnnpack-8da4w"])
def test_layers_that_groups_do_not_divide_get_int8_and_a_line_says_so(recipe, exported, both, checkpoint):
    artifact = exported("uneven-cls", recipe)
    layer_reports = {layer_report["module"]: layer_report for layer_report in artifact.manifest.quantization}
    fell_back = layer_reports["transformer.h.0.mlp.c_fc"]
    assert fell_back["dtype"] == "int8, per channel; int8 dynamic activations"
    assert fell_back["reason"] == "its 48 inputs are not a multiple of 32"
    assert layer_reports["transformer.h.0.mlp.c_proj"]["dtype"].startswith("int4, groups of 32; ")
    assert layer_reports["transformer.wte"]["dtype"] == "int8, per row"
    assert layer_reports["transformer.wte"]["reason"] == "its 48 columns are not a multiple of 32"
    report = (artifact.path / "report.html").read_text(encoding="utf-8")
    assert "its 48 inputs are not a multiple of 32" in report
    found = map(both("uneven-cls", recipe), random_rows(checkpoint("uneven-cls"), [1, 20, 64] * 3))
    assert decibels(*zip(*found, strict=True)) > LEAST_SNR["int4"]


@pytest.mark.slow
def test_a_fallback_is_int8_in_the_file_too(exported):
    graph = onnx.load(exported("uneven-cls", "onnx-int4").model_file).graph
    count = {
        kind: sum(node.op_type == kind for node in graph.node) for kind in ("MatMulNBits", "MatMulInteger")
    }
    assert count == {"MatMulNBits": 1, "MatMulInteger": 4}


@pytest.mark.parametrize("recipe", [name for name in RECIPES if name.startswith("onnx")])
def test_a_tied_head_and_its_table_are_one_in_an_onnx_file(recipe, exported):
    artifact = exported("wide-lm", recipe)
    graph = onnx.load(artifact.model_file).graph
    values = 4000 * 256
    item = {"int8": 1, "int4": 0.5}[load_recipe(recipe).quantize.embeddings]
    large = [tensor for tensor in graph.initializer if len(tensor.raw_data) >= item * values]
    assert [len(tensor.raw_data) for tensor in large] == [item * values]
    (note,) = artifact.manifest.reports["memory"]["notes"]
    assert "is stored once, but ONNX Runtime packs a copy for the head" in note


def test_a_tied_table_stays_one_where_it_is_float32_and_other_layers_are_not(checkpoint, run, tmp_path):
    text = run("recipes", "show", "onnx-int8-dynamic").out.replace("name: onnx-int8-dynamic", "name: part")
    rules = "  rules:\n" + "".join(
        f"    - {{modules: {name}, weights: float32}}\n" for name in ("lm_head", "transformer.wte")
    )
    (tmp_path / "part.yaml").write_text(text.replace("quantize:\n", f"quantize:\n{rules}"), encoding="utf-8")
    out = tmp_path / "out"
    done = run("export", checkpoint("wide-lm").path, "--recipe", tmp_path / "part.yaml", "-o", out, "--json")
    assert done.code == 0
    tensors = onnx.load(out / "model.onnx").graph.initializer
    assert [len(tensor.raw_data) for tensor in tensors if len(tensor.raw_data) > 1e6] == [4 * 4000 * 256]
    assert "stored twice" not in done.out


@pytest.mark.slow
def test_a_table_that_xnnpack_cannot_share_with_the_head_is_told(exported):
    (note,) = exported("wide-lm", "xnnpack-8da4w").manifest.reports["memory"]["notes"]
    assert "the tied embedding (1,024,000 values) is stored twice" in note


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_table_is_quantized_and_every_norm_says_why_not(recipe, exported):
    layer_reports = {
        layer_report["module"]: layer_report
        for layer_report in exported("wide-lm", recipe).manifest.quantization
    }
    assert layer_reports["transformer.wte"]["dtype"].startswith(load_recipe(recipe).quantize.embeddings)
    assert layer_reports["transformer.wpe"]["dtype"] == "int8, per row"
    assert layer_reports["transformer.ln_f"]["reason"].startswith("a norm")


@pytest.mark.slow
def test_a_static_pte_finds_the_heads_range_at_run_time_and_says_why(exported):
    layer_reports = {
        layer_report["module"]: layer_report
        for layer_report in exported("wide-lm", "xnnpack-int8").manifest.quantization
    }
    assert layer_reports["transformer.h.0.mlp.c_fc"]["dtype"].endswith("int8 static activations")
    assert layer_reports["lm_head"]["dtype"].endswith("int8 dynamic activations")
    assert "ties" in layer_reports["lm_head"]["reason"]


@pytest.fixture
def export(run, tmp_path, monkeypatch):
    """Call `nf-edge export` to tmp_path/out."""
    monkeypatch.chdir(tmp_path)
    return lambda source, recipe, *options: run("export", source, "--recipe", recipe, "-o", "out", *options)


@pytest.fixture
def rows_file(tmp_path):
    path = tmp_path / "rows.jsonl"
    generator = np.random.default_rng(0)
    rows = [{"input_ids": generator.integers(19, size=8).tolist(), "label": 0} for _ in range(200)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("recipe", CALIBRATED)
def test_without_data_to_calibrate_on_the_flag_is_named_and_nothing_placed(recipe, export, tmp_path):
    done = export(CASE, recipe)
    assert (done.code, done.out) == (3, "")
    assert "--calibrate FILE" in done.err
    assert list(tmp_path.iterdir()) == []


def test_rows_to_check_accuracy_on_are_not_calibrated_on(export, rows_file):
    done = export(CASE, "onnx-int8-qdq", "--data", rows_file)
    assert done.code == 3
    assert "rows that --data does not have" in done.err


def test_calibrating_what_has_no_fixed_ranges_is_refused(export, rows_file):
    done = export(CASE, "onnx-int8-dynamic", "--calibrate", rows_file)
    assert done.code == 3
    assert "recipe onnx-int8-dynamic has nothing to calibrate" in done.err


def test_what_was_calibrated_on_is_in_the_manifest_and_the_report(export, rows_file, tmp_path):
    assert export(CASE, "onnx-int8-qdq", "--calibrate", rows_file).code == 0
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    sha256 = hashlib.sha256(rows_file.read_bytes()).hexdigest()
    # The first 128 of 200.
    assert manifest["calibration"] == {
        "source": rows_file.name,
        "rows": 128,
        "truncated_rows": 0,
        "sha256": sha256,
    }
    report = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert f"calibrated on 128 rows of {rows_file.name}, SHA-256 {sha256}" in report


def test_a_checkpoints_own_examples_are_calibrated_on_by_default(export, rows_file, tmp_path):
    checkpoint = shutil.copytree(CASE, tmp_path / "with-examples")
    shutil.copyfile(rows_file, checkpoint / "examples.jsonl")
    done = export(checkpoint, "onnx-int8-qdq", "--json")
    assert done.code == 0
    found = json.loads(done.out)["result"]["calibration"]
    assert (found["source"], found["rows"]) == ("examples.jsonl", 128)


IMPOSSIBLE = """\
name: impossible
description: nothing that a runtime could multiply
runtime: onnxruntime
backend: onnx_cpu
quantize:
  weights: {weights}
  granularity: {granularity}
  activations: {activations}
  embeddings: {embeddings}
"""


@pytest.mark.parametrize(
    ("section", "problems"),
    [
        (
            ("int8", "group_32", "int8_static", "int9"),
            [
                "line 8: quantize.activations: no runtime supports weights in groups with activations "
                "int8_static; write activations int8_dynamic or granularity per_channel",
                "line 9: quantize.embeddings: Input should be 'float32', 'int2', 'int3',",
            ],
        ),
        (
            ("int4", "per_channel", "int8_static", "int4"),
            [
                "line 8: quantize.activations: no runtime supports int4 weights with activations "
                "int8_static; write int8_dynamic",
            ],
        ),
    ],
    ids=["int8", "int4"],
)
def test_impossible_combinations_are_refused_together_each_with_the_fix(section, problems, run, tmp_path):
    path = tmp_path / "impossible.yaml"
    keys = ("weights", "granularity", "activations", "embeddings")
    path.write_text(IMPOSSIBLE.format(**dict(zip(keys, section, strict=True))), encoding="utf-8")
    done = run("recipes", "check", path)
    assert (done.code, done.out) == (3, "")
    assert f"{len(problems)} problems" in done.err or len(problems) == 1
    for problem in problems:
        assert problem in done.err


def test_weights_of_per_channel_with_float32_activations_are_refused_for_onnx_runtime(run, tmp_path):
    path = tmp_path / "impossible.yaml"
    section = {"weights": "int8", "granularity": "per_channel", "activations": "none", "embeddings": "int8"}
    path.write_text(IMPOSSIBLE.format(**section), encoding="utf-8")
    done = run("recipes", "check", path)
    assert done.code == 3
    assert "write activations: int8_dynamic or int8_static" in done.err


@pytest.mark.slow
def test_a_quantized_model_of_a_fixed_length_answers_too(exported, checkpoint, run, tmp_path):
    """Its table of positions has only the rows that are used."""
    text = run("recipes", "show", "onnx-int4").out.replace("name: onnx-int4", "name: seven")
    recipe = tmp_path / "seven.yaml"
    recipe.write_text(text.replace("  batch: dynamic", "  batch: dynamic\n  length: 7"), encoding="utf-8")
    done = run("export", checkpoint("wide-cls").path, "--recipe", recipe, "-o", tmp_path / "out", "--json")
    assert done.code == 0
    assert json.loads(done.out)["result"]["reports"]["parity"]["error"] < 0.5


def test_a_report_counts_modules_and_tells_attention_and_the_cache_beside_them():
    told = {
        "wte": "int8",
        "score": "float32",
        "h.0": "int8",
        "attention": "int8 products",
        "KV cache": "int8",
    }
    layer_reports = [{"module": name, "dtype": dtype, "reason": ""} for name, dtype in told.items()]
    assert quantization_lines(layer_reports, None) == [
        "2 modules int8: wte, h.0",
        "1 module float32: score",
        "KV cache: int8",
        "attention: int8 products",
    ]
