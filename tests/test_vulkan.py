"""Vulkan: compiled here in float16, and answered for by a stand-in."""

import pytest

from nf_edge.backends.executorch_file import read_program


@pytest.mark.slow
def test_a_program_for_a_phones_gpu_is_compiled_and_says_that_a_stand_in_answers(exported, run):
    artifact = exported("wide-cls", "vulkan-fp16")
    coverage = artifact.manifest.coverage
    assert coverage["delegated"] > 10 * sum(left["count"] for left in coverage["left"])
    assert all(left["reason"] for left in coverage["left"])
    inspected = run("inspect", artifact.path)
    assert "delegate VulkanBackend" in inspected.out
    assert "a stand-in for Vulkan, which does not run here" in inspected.out
    assert run("bench", artifact.path).code == 3


@pytest.mark.slow
def test_its_weights_are_float16_and_its_mask_is_finite_in_it(exported, checkpoint):
    artifact, model = exported("wide-cls", "vulkan-fp16"), checkpoint("wide-cls")
    program = read_program(artifact.model_file, artifact.model_file.read_bytes())
    stored = sum(map(len, program.named_data.buffers))
    # What is equal is stored once.
    assert stored == pytest.approx(2 * model.parameters, rel=0.02)
    constants = [value.val for value in program.program.execution_plan[0].values]
    assert all(abs(getattr(constant, "double_val", 0)) < 65504 for constant in constants)


def test_quantized_weights_are_refused(run, tmp_path):
    text = run("recipes", "show", "vulkan-fp16").out.replace("vulkan-fp16", "mine")
    section = "weights: int8\n  granularity: per_channel\n  activations: none\n  embeddings: float32"
    (tmp_path / "mine.yaml").write_text(f"{text}quantize:\n  {section}\n", encoding="utf-8")
    done = run("recipes", "check", tmp_path / "mine.yaml")
    assert done.code == 3
    assert "quantize is not for this backend, which computes in float16" in done.err
