"""The size of a model file is known within 1 % before the export, because its parts are counted."""

import json

import pytest

from nf_edge.backends import backend_for
from nf_edge.backends.input_shape import InputShape
from nf_edge.core.recipe.recipe import load_recipe
from nf_edge.model.checkpoint import load_checkpoint
from nf_edge.model.checkpoint_writer import save_checkpoint
from nf_edge.model.config_file import parse_config
from nf_edge.model.init import init_tensors
from nf_edge.pipeline.lowering import Job, lower

COUNTED = ["program", "weights", "embeddings"]
ONE_PERCENT = 0.01


def predicted(config, recipe):
    return backend_for(recipe).predict(config, InputShape.of(recipe, config), recipe)


@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        ("digits", "onnx-fp32"),
        ("digits", "onnx-int8-dynamic"),
        ("digits", "onnx-int4"),
        ("shakespeare", "onnx-fp32"),
        ("wide-lm", "onnx-int8-qdq"),
        ("wide-lm", "onnx-int4-gptq"),
    ],
)
def test_the_size_of_an_onnx_file_is_known_within_one_percent(name, recipe, exported):
    artifact = exported(name, recipe)
    plan = predicted(artifact.manifest.config, load_recipe(recipe))
    assert plan.file == pytest.approx(artifact.manifest.model.bytes, rel=ONE_PERCENT)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "recipe"),
    # `digits` is trained: untrained models have equal constants, which a file stores once.
    [
        ("digits", "xnnpack-int8"),
        ("digits", "cortex-m-int8"),
        ("cls-last-not-pad", "xnnpack-fp32"),
        ("wide-lm", "nf-int8"),
        ("wide-lm", "xnnpack-8da4w"),
    ],
)
def test_the_size_of_a_program_is_known_within_one_percent(name, recipe, exported):
    artifact = exported(name, recipe)
    plan = predicted(artifact.manifest.config, load_recipe(recipe))
    assert plan.file == pytest.approx(artifact.manifest.model.bytes, rel=ONE_PERCENT)


@pytest.mark.slow
def test_a_layer_for_one_token_has_neither_a_mask_nor_the_calls_of_other_layers(exported):
    file = exported("uneven-cls", "cortex-m-int8").runnable()
    plan = file.backend.plan(file.file, file.config, file.input_shape)
    expected = predicted(file.config, file.recipe)
    assert expected.program == pytest.approx(plan.program, rel=0.05)
    # The model is untrained: some of its constants are equal, and the file stores them once.
    assert expected.weights == pytest.approx(plan.weights, rel=0.1)


def test_the_report_says_which_parts_of_the_file_are_counted(run):
    counted = run("profile", "digits", "--recipe", "xnnpack-8da8w", "--json")
    assert json.loads(counted.out)["result"]["counted"] == COUNTED
    estimated = run("profile", "digits", "--recipe", "coreml-fp16")
    assert "estimated, from files that were measured" in estimated.out


@pytest.fixture
def trained_like(tmp_path):
    """Write a checkpoint of a shape, with noise added to its initial weights: no two constants are equal."""
    import torch

    def write(**shape):
        config = parse_config({"model_type": "noiseformer", **shape}, "the shape")
        noise = torch.Generator().manual_seed(1)
        tensors = {
            name: tensor + 0.02 * torch.randn(tensor.shape, generator=noise)
            for name, tensor in init_tensors(config, 0).items()
        }
        save_checkpoint(
            tmp_path / "c", config, tensors, dtype=torch.float32, tokenizer_file=None, overwrite=False
        )
        return load_checkpoint(tmp_path / "c")

    return write


SHAPE = {
    "architectures": ["NoiseFormerForSequenceClassification"],
    "vocab_size": 90,
    "n_positions": 24,
    "n_embd": 48,
    "n_layer": 4,
    "n_head": 3,
    "n_inner": 96,
    "num_labels": 7,
    "causal": False,
    "pooling": "mean",
    "activation_function": "gelu",
}


@pytest.mark.slow
def test_a_shape_that_no_count_was_derived_from_is_known_within_one_percent(trained_like, tmp_path):
    checkpoint = trained_like(**SHAPE, noise={"kind": "lowrank", "rank": 2})
    recipe = load_recipe("onnx-int4")
    lower(Job.of(checkpoint, recipe, None), tmp_path / "model.onnx")
    size = (tmp_path / "model.onnx").stat().st_size
    assert predicted(checkpoint.config, recipe).file == pytest.approx(size, rel=ONE_PERCENT)


@pytest.mark.slow
def test_a_program_of_such_a_shape_is_known_within_one_percent(trained_like, tmp_path):
    checkpoint = trained_like(**(SHAPE | {"n_layer": 3}), noise={"kind": "pairwise"})
    recipe = load_recipe("xnnpack-8da8w")
    lower(Job.of(checkpoint, recipe, None), tmp_path / "model.pte")
    size = (tmp_path / "model.pte").stat().st_size
    assert predicted(checkpoint.config, recipe).file == pytest.approx(size, rel=ONE_PERCENT)
