"""The arena of an ExecuTorch program: predicted to the byte, and without memory that nothing uses."""

import pytest

from nf_edge.core.recipe.recipe import load_recipe
from nf_edge.model import ModelConfig
from nf_edge.model.checkpoint import load_checkpoint
from nf_edge.model.checkpoint_writer import save_checkpoint
from nf_edge.model.random_checkpoint import init_tensors
from nf_edge.pipeline.export import export

# Artifacts that other tests export.
ARTIFACTS = [
    ("digits", "xnnpack-8da8w"),
    ("wide-lm", "xnnpack-8da8w"),
    ("wide-lm", "nf-int8"),
    ("wide-cls", "xnnpack-int8"),
    ("pairwise-cls", "xnnpack-8da8w"),
    ("relative-lm", "nf-int8"),
    ("lm-relative-pruned-unevenly", "xnnpack-fp32"),
    ("wide-lm", "openvino-fp32"),
    ("wide-lm", "vulkan-int4"),
]


def plans(artifact):
    """The predicted and the planned memory of an artifact."""
    file = artifact.runnable()
    predicted = file.backend.predict(file.config, file.input_shape, file.recipe)
    return predicted, file.backend.plan(file.file, file.config, file.input_shape)


@pytest.mark.parametrize(("name", "recipe"), ARTIFACTS)
def test_the_arena_is_predicted_to_the_byte(name, recipe, exported):
    predicted, planned = plans(exported(name, recipe))
    assert (predicted.arenas, predicted.cache) == (planned.arenas, planned.cache)


def arenas(config, recipe, folder):
    """The predicted and the planned arenas and cache of a new artifact, by name and source."""
    config = ModelConfig(**config)
    save_checkpoint(folder / "checkpoint", config, init_tensors(config, 0))
    report = export(load_checkpoint(folder / "checkpoint"), recipe, folder / "artifact").memory
    figures = {part.name: part.figures() for part in report.process}
    return {
        (name, how): figures[name][how].value
        for name in ("arenas", "KV cache")
        if name in figures
        for how in ("predicted", "planned")
    }


@pytest.mark.slow
def test_a_new_shape_of_fixed_length_is_predicted_to_the_byte(tmp_path):
    config = {
        "architectures": ["NoiseFormerForSequenceClassification"],
        "num_labels": 5,
        "vocab_size": 31,
        "n_positions": 23,
        "n_embd": 48,
        "n_layer": 2,
        "n_head": 3,
        "n_inner": 52,
        "noise": {"kind": "lowrank", "rank": 3},
        "layers": [{"n_head": 2}, {"n_inner": 20}],
    }
    recipe = load_recipe("xnnpack-fp32")
    recipe = recipe.model_copy(update={"shapes": recipe.shapes.model_copy(update={"length": 11})})
    sizes = arenas(config, recipe, tmp_path)
    assert sizes["arenas", "predicted"] == sizes["arenas", "planned"]


@pytest.mark.slow
def test_a_deep_language_model_reserves_its_cache_once(tmp_path):
    """ExecuTorch reserves a second cache, for outputs that nothing reads."""
    config = {
        "architectures": ["NoiseFormerForCausalLM"],
        "vocab_size": 40,
        "n_positions": 8,
        "n_embd": 64,
        "n_layer": 3,
        "n_head": 2,
        "n_inner": 64,
    }
    sizes = arenas(config, load_recipe("xnnpack-fp32"), tmp_path)
    assert sizes["KV cache", "planned"] == 4 * 3 * 2 * 8 * 64
    assert sizes["arenas", "predicted"] == sizes["arenas", "planned"] < sizes["KV cache", "planned"]
