"""The layout of a model file: when its arena is in use, and the layers of its tensors and weights."""

import itertools
import json

import pytest

from nf_edge.backends.executorch.arena.fused_program import FusedProgram
from nf_edge.backends.executorch.arena.greedy import peak_bytes
from nf_edge.backends.executorch.arena.matmul_program import MatmulProgram
from nf_edge.backends.file_layout import (
    CACHE,
    UNDIVIDED,
    UNKNOWN_LAYER,
    ArenaOperator,
    ArenaTensor,
    ArenaUse,
    FileLayout,
)
from nf_edge.backends.onnx.allocation.session import Session
from nf_edge.backends.onnx.process_memory import largest_tape
from nf_edge.backends.precisions import precisions
from nf_edge.render.layout import arena_lines

# Artifacts that other tests export, with what their programs have: a cache, views, delegates, fixed shapes.
ARTIFACTS = [
    ("digits", "xnnpack-8da8w"),
    ("wide-lm", "xnnpack-8da8w"),
    ("wide-lm", "nf-int8"),
    ("wide-cls", "xnnpack-int8"),
    ("relative-lm", "nf-int8"),
    ("lm-relative-pruned-unevenly", "xnnpack-fp32"),
    ("uneven-cls", "cortex-m-int8"),
    ("wide-lm", "openvino-fp32"),
]
ONNX = [("wide-cls", "onnx-int8-dynamic"), ("wide-lm", "onnx-int4")]


def layout_and_plan(artifact):
    file = artifact.runnable()
    plan = file.backend.plan(file.file, file.config, file.input_shape)
    return file.backend.layout(file.file, file.config, file.input_shape, file.recipe), plan


@pytest.mark.parametrize(("name", "recipe"), ARTIFACTS)
def test_the_tensors_at_the_peak_and_the_holes_are_the_planned_arena(name, recipe, exported):
    layout, plan = layout_and_plan(exported(name, recipe))
    arena = layout.arena
    assert arena is not None, layout.reason
    assert arena.planned == plan.arenas + (plan.cache or 0)
    assert max(arena.top) + arena.padding == arena.planned
    assert sum(tensor.bytes for tensor in arena.peak_tensors) == max(arena.alive)
    assert max(arena.alive) + arena.holes + arena.padding == arena.planned
    assert arena.holes >= 0
    cache = sum(tensor.bytes for tensor in arena.tensors if tensor.layer == CACHE)
    assert 0 <= cache - (plan.cache or 0) < 16 * (1 + sum(t.layer == CACHE for t in arena.tensors))


@pytest.mark.parametrize(("name", "recipe"), [*ARTIFACTS, *ONNX])
def test_no_two_tensors_in_use_share_an_address(name, recipe, exported):
    layout, _ = layout_and_plan(exported(name, recipe))
    for one, other in itertools.combinations(layout.arena.tensors, 2):
        together = one.first <= other.last and other.first <= one.last
        apart = one.offset + one.bytes <= other.offset or other.offset + other.bytes <= one.offset
        assert apart or not together


@pytest.mark.parametrize(("name", "recipe"), [*ARTIFACTS, *ONNX])
def test_the_weights_by_layer_are_the_weights_in_the_file(name, recipe, exported):
    artifact = exported(name, recipe)
    layout, plan = layout_and_plan(artifact)
    total = plan.weights + plan.embeddings
    completed = layout.completed(total)
    assert sum(completed.weights.values()) == total
    if recipe.startswith("openvino"):
        return  # one delegate has all layers
    assert UNDIVIDED not in completed.weights
    config = artifact.manifest.config
    parts = {f"transformer.h.{block}.{part}" for block in range(config.n_layer) for part in ("attn", "mlp")}
    assert parts <= set(layout.weights)


def test_the_weights_of_a_layer_are_those_of_its_modules(exported):
    """As a file of float32 weights has them: 4 bytes per parameter."""
    artifact = exported("lm-relative-pruned-unevenly", "xnnpack-fp32")
    weights = layout_and_plan(artifact)[0].weights
    config = artifact.manifest.config
    width = config.n_embd
    for block, (_, inner) in enumerate(config.layer_sizes):
        expected = 4 * (2 * inner * width + inner + width)
        # The activation function has a constant or two.
        assert 0 <= weights[f"transformer.h.{block}.mlp"] - expected <= 32


@pytest.mark.parametrize(("name", "recipe"), [("digits", "xnnpack-8da8w"), ("wide-lm", "nf-int8")])
def test_the_peak_of_the_file_is_the_peak_of_the_predicted_program(name, recipe, exported):
    file = exported(name, recipe).runnable()
    program = (
        FusedProgram(file.config, file.input_shape, int8_cache=True)
        if recipe == "nf-int8"
        else MatmulProgram(file.config, file.input_shape)
    )
    arena = file.backend.layout(file.file, file.config, file.input_shape, file.recipe).arena
    assert max(arena.alive) == peak_bytes(program.tensors())


@pytest.mark.slow
def test_the_use_of_memory_in_onnx_runtime_is_predicted_and_the_report_says_so(exported):
    artifact = exported("wide-cls", "onnx-int8-dynamic")
    file = artifact.runnable()
    layout, _ = layout_and_plan(artifact)
    arena = layout.arena
    assert arena.how == "predicted"
    assert arena_lines(layout)[0].startswith("use of activations: predicted, because the file has no plan")
    # The simulated session has the same block from the second run on.
    tape = largest_tape(file.config, file.input_shape, precisions(file.recipe, file.config), None)
    session = Session([], 0, 0)
    session.run(tape, 0)
    outputs = sum(output.bytes for each in tape.operators if each.kept for output in each.outputs)
    scratch = min(tensor.offset for tensor in arena.tensors if tensor.operator == "scratch")
    assert session._patterns[0] + outputs == scratch


def arena_of(*lives, planned, layers):
    """An arena of tensors (bytes, offset, first, last), with one operator per layer."""
    tensors = tuple(
        ArenaTensor(layers[first], "add", "int8", (size,), size, offset, first, last)
        for size, offset, first, last in lives
    )
    return ArenaUse(planned, 0, tuple(ArenaOperator("add", layer) for layer in layers), tensors)


def test_all_layers_near_the_peak_would_have_to_shrink():
    lives = [(1000, 0, 0, 0), (1000, 0, 1, 1), (995, 0, 2, 2), (500, 0, 3, 3)]
    arena = arena_of(*lives, planned=1200, layers=["a", "b", "c", "d"])
    assert (arena.peak, arena.holes) == (0, 200)
    assert arena.peak_layers == ("a", "b", "c")
    assert arena.next_layer == ("d", 500)


def test_no_layer_is_blamed_where_the_layers_are_unknown():
    arena = arena_of((1000, 0, 0, 0), planned=1000, layers=[UNKNOWN_LAYER])
    lines = arena_lines(FileLayout(arena, ""))
    assert not any("shrink unknown" in line for line in lines)
    assert any("the layer to shrink is not known" in line for line in lines)


def test_weights_that_exceed_the_file_are_unknown():
    layout = FileLayout(None, "no plan", {"head": 100})
    assert layout.completed(100).weights == {"head": 100}
    assert layout.completed(150).weights == {"head": 100, UNDIVIDED: 50}
    assert layout.completed(50).weights == {}


@pytest.mark.slow
def test_a_program_of_an_unexpected_form_has_no_figures(exported, monkeypatch):
    from nf_edge.backends.executorch.layout import storages

    artifact = exported("digits", "xnnpack-8da8w")
    monkeypatch.setattr(storages, "DTYPES", {})
    layout, _ = layout_and_plan(artifact)
    assert layout.arena is None
    assert "unexpected form" in layout.reason
    assert layout.completed(10).weights == {UNDIVIDED: 10}


@pytest.mark.slow
def test_profile_lists_the_bytes_in_use_by_operator_and_the_manifest_only_the_peak(exported, run):
    artifact = exported("digits", "xnnpack-8da8w")
    arena = json.loads(run("profile", artifact.path, "--json").out)["result"]["layout"]["arena"]
    assert max(each["bytes"] for each in arena["operators"]) == arena["peak"]["bytes"]
    assert arena["operators"][arena["peak"]["operator"]]["layer"] == arena["peak"]["layer"]
    recorded = artifact.manifest.reports["memory"]["layout"]["arena"]
    assert "operators" not in recorded
    assert recorded == {key: value for key, value in arena.items() if key != "operators"}
