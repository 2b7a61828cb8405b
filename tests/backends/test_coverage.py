"""Coverage: how much of what a program multiplies an accelerated library executes, and what would take the
rest."""

import re

import pytest
from conftest import RANDOM_LENGTH

from nf_edge.backends import all_backends
from nf_edge.backends.coverage.fixes import fixes_for
from nf_edge.backends.coverage.macs import macs_of
from nf_edge.backends.executorch.capture import capture
from nf_edge.backends.input_shape import InputShape
from nf_edge.core.recipe.recipe import bundled_recipes, load_recipe
from nf_edge.render.coverage import coverage_text

NOT_OPERATORS = ("delegate ", "executorch_prim::")


def products(config, length):
    """Multiply-accumulates by the formulas of the network, where all tokens of a row are answered for."""
    wide, rank = config.n_embd, config.noise.rank
    total = 0
    for heads, inner in config.layer_sizes:
        attended, size = heads * config.head_size, config.head_size
        projected = 3 if config.attention == "standard" else 2
        noise = {"lowrank": 2 * heads * size * (rank or 0), "pairwise": heads * size**2}
        scores_and_values = 2 * attended * length
        total += length * (
            projected * attended * wide
            + noise.get(config.noise.kind, 0)
            + scores_and_values
            + attended * wide
            + 2 * wide * inner
        )
    if config.is_language_model:
        return total + length * wide * config.vocab_size
    return total + wide * config.num_labels


@pytest.mark.parametrize(
    ("backend", "task", "noise"),
    [
        ("nf_cpu", "mean", "lowrank"),
        ("nf_cpu", "language model", "pairwise"),
        ("nf_cpu", "mean, causal", "standard"),
        ("xnnpack", "language model", "lowrank"),
        ("openvino", "mean", "pairwise"),
        ("coreml", "mean", "lowrank"),
        ("coreml", "language model", "pairwise"),
    ],
)
def test_what_a_program_multiplies_is_counted_as_the_formulas_of_the_network_say(
    backend, task, noise, random_network
):
    """In every form that a backend gives the network; of a length that is left open, of its longest."""
    model, form = random_network(task, noise), all_backends()[backend]
    recipe = next(recipe for recipe in bundled_recipes() if recipe.backend == backend)
    input_shape = InputShape(False, RANDOM_LENGTH, dynamic_length=backend != "coreml", cached=False)
    config = model.config
    form.specialise(model, recipe)
    graph = capture(form.program(model, input_shape, None), input_shape).graph
    counted = sum(macs_of(node) for node in graph.nodes if node.op == "call_function")
    assert counted == products(config, RANDOM_LENGTH)


@pytest.mark.slow
def test_onnx_runtime_counts_one_row_of_the_longest_though_it_takes_any_number(exported):
    artifact = exported("wide-cls", "onnx-int8-dynamic")
    coverage, config = artifact.manifest.coverage, artifact.manifest.config
    # Of the file as it ships, which has other operators than before it was quantized.
    operators = all_backends()["onnx_cpu"].operators(artifact.model_file)
    assert coverage["delegated"] == coverage["total"] == sum(operators.values())
    assert coverage["length"] == config.n_positions
    # Of the first token alone the last layer wants a query, and all that comes after it.
    spared = config.n_positions - 1
    of_a_token = 2 * config.n_positions + config.n_embd + 2 * config.layer_sizes[0][1]
    whole = products(config, config.n_positions)
    assert coverage["macs"] == coverage["total_macs"] == whole - spared * config.n_embd * of_a_token


@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        ("wide-cls", "xnnpack-fp32"),
        ("wide-lm", "xnnpack-fp32"),
        ("wide-lm", "nf-fp32"),
        ("wide-cls", "vulkan-fp16"),
        ("wide-lm", "openvino-fp32"),
        ("uneven-cls", "cortex-m-int8"),
        ("uneven-cls", "ethos-u85-256-int8"),
    ],
)
def test_what_is_left_is_what_the_file_calls_beside_its_delegates_each_with_a_reason(name, recipe, exported):
    artifact = exported(name, recipe)
    coverage, backend = artifact.manifest.coverage, all_backends()[artifact.manifest.recipe.backend]
    called = {
        operator: count
        for operator, count in backend.operators(artifact.model_file).items()
        if not operator.startswith((*NOT_OPERATORS, "nf::", "cortex_m::", "aten::sym_size"))
    }
    assert sum(left["count"] for left in coverage["left"]) == sum(called.values())
    assert all(left["reason"] for left in coverage["left"])
    assert 0.99 * coverage["total_macs"] < coverage["macs"] <= coverage["total_macs"]


@pytest.mark.slow
def test_the_fix_that_is_named_for_what_is_left_takes_it(exported):
    left = exported("wide-lm", "xnnpack-fp32").manifest.coverage["left"]
    fixes = {entry["operator"]: entry["fix"] for entry in left if entry["fix"]}
    assert {"native_layer_norm", "index_put", "split_with_sizes_copy", "expand_copy"} <= fixes.keys()
    for operator, fix in fixes.items():
        assert re.search(r"recipe nf-fp32\b", fix)
        beside = exported("wide-lm", "nf-fp32").manifest.coverage["left"]
        assert operator not in {entry["operator"] for entry in beside}


def test_a_fix_is_named_only_where_a_device_has_both():
    """The cores with MVE stand beside an Ethos-U, those with DSP instructions alone do not."""
    recipe = load_recipe("cortex-m-int8")
    assert fixes_for(recipe) == {}
    beside = fixes_for(recipe.model_copy(update={"target": "cortex-m-mve"}))
    assert "backend ethos_u" in beside["native_layer_norm"]


def test_a_share_is_never_rounded_up_to_all():
    coverage = {"delegated": 48, "total": 66, "macs": 999_999, "total_macs": 1_000_000}
    assert coverage_text(coverage) == "48 of 66 operators, 99.99 % of multiply-accumulates"
    coverage |= {"delegated": 66, "macs": 1_000_000}
    assert coverage_text(coverage) == "all 66 operators, 100 % of multiply-accumulates"
    # As an artifact of an earlier version tells it.
    assert coverage_text({"delegated": 48, "total": 66}) == "48 of 66 operators"
