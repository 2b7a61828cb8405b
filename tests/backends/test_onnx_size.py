"""An ONNX file has under 2 GiB, and all of its weights in it."""

import math

import pytest
import torch.onnx._internal.exporter._onnx_program as exporter

from nf_edge.backends.onnx import size as onnx_size
from nf_edge.backends.onnx.cpu import OnnxCpu
from nf_edge.backends.onnx.size import float32_bytes
from nf_edge.core import resources
from nf_edge.core.recipe.recipe import load_recipe
from nf_edge.model import resolve_checkpoint
from nf_edge.pipeline.lowering import Job, lower

RECIPES = [name for name in resources.names("recipes") if load_recipe(name).runtime == "onnxruntime"]


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_model_that_no_onnx_file_holds_is_refused_before_the_work(recipe, run, tmp_path, monkeypatch):
    """With its size, and what to do; whatever it is to be quantized to."""
    monkeypatch.setattr(onnx_size, "MOST_BYTES", 1_000_000)
    done = run("export", "shakespeare", "--recipe", recipe, "-o", tmp_path / "out", "--json")
    assert done.code == 3
    size = float32_bytes(resolve_checkpoint("shakespeare").config, head_twice=recipe != "onnx-fp32")
    assert f"the float32 weights take {size / 1e6:.2f} MB" in done.err
    assert "runtime is executorch" in done.err
    assert list(tmp_path.iterdir()) == []
    assert run("profile", "shakespeare", "--recipe", recipe).code == 3


def test_the_size_that_is_told_is_that_of_the_file(exported):
    artifact = exported("wide-lm", "onnx-fp32")
    size = float32_bytes(artifact.manifest.config, head_twice=False)
    assert math.isclose(artifact.manifest.model.bytes, size, rel_tol=0.02)


@pytest.mark.parametrize("recipe", ["onnx-fp32", pytest.param("onnx-int4", marks=pytest.mark.slow)])
def test_weights_that_the_exporter_would_put_beside_the_file_are_in_it(
    recipe, checkpoint, tmp_path, monkeypatch, lowered_to_onnx_once
):
    """It does so from 1.5 GiB on; here of any model, and not of one that another test had lowered."""
    monkeypatch.setattr(exporter, "_LARGE_MODEL_THRESHOLD", 0)
    monkeypatch.setattr(OnnxCpu, "lower", lowered_to_onnx_once)
    job = Job.of(checkpoint("eight-pairwise"), load_recipe(recipe), None)
    lower(job, tmp_path / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    job.backend.decoder(tmp_path / "model.onnx", job.input_shape.length)
