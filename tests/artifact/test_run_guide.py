"""RUN.md: its snippets, run as they stand in the artifact's folder, give PyTorch's answer."""

import re
import shutil
import subprocess
import sys

import cmake_project
import pytest
import torch

from nf_edge.core.errors import MissingTool
from nf_edge.measure.runner import build
from nf_edge.model import TorchDecoder
from nf_edge.model.generation import generate

LINK_LIBRARIES = """
target_link_libraries(guide PRIVATE executorch::kernels_optimized executorch::kernels_quantized
                      executorch::backend_xnnpack)
"""
LINK_OUR_OPERATORS = """
target_link_libraries(guide PRIVATE "-Wl,--no-as-needed" "${CMAKE_SOURCE_DIR}/libnf_executorch.so")
"""


def snippet(artifact, language):
    guide = (artifact.path / "RUN.md").read_text(encoding="utf-8")
    (code,) = re.findall(rf"```{language}\n(.*?)```", guide, re.DOTALL)
    return code


def pytorchs_answers(code, artifact, network):
    """What PyTorch says to the ids in the snippet: the class, the classes or the next token, or the values of
    a regression; where the model has a cache, all the next tokens that the snippet asks for."""
    (numbers,) = re.findall(r"input_ids = [^\[{\n]*[\[{]+([\d, ]+)[\]}]", code)
    ids = [int(number) for number in numbers.split(",")]
    assert len(ids) > 1
    if artifact.manifest.interface.cached:
        return list(generate(TorchDecoder(network), ids, max_tokens=4))
    logits = network(torch.tensor([ids]))[0]
    if logits.ndim == 2:
        logits = logits[-1]
    task = artifact.manifest.interface.task
    if task == "multi-label classification":
        return logits.sigmoid().gt(0.5).nonzero()[:, 0].tolist()
    return logits.tolist() if task == "regression" else [int(logits.argmax())]


@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        ("lm-none", "xnnpack-fp32"),
        ("lm-pairwise-relu", "xnnpack-fp32+all"),
        ("wide-cls", "xnnpack-8da8w"),
        ("wide-cls", "nf-int8"),
        ("lm-none", "nf-fp32"),
        ("lm-none", "onnx-fp32"),
        pytest.param("lm-pairwise-relu", "onnx-fp32+all", marks=pytest.mark.slow),
        pytest.param("wide-cls", "onnx-int8-dynamic", marks=pytest.mark.slow),
        pytest.param("wide-lm", "onnx-int8-qdq", marks=pytest.mark.slow),
        pytest.param("cls-regression-padded", "onnx-fp32", marks=pytest.mark.slow),
        pytest.param("cls-regression-of-three", "onnx-fp32", marks=pytest.mark.slow),
        ("cls-multi-label", "onnx-fp32"),
    ],
)
def test_the_python_snippet_prints_what_pytorch_answers(name, recipe, exported, checkpoint, run, tmp_path):
    artifact = exported(name, recipe)
    folder = shutil.copytree(artifact.path, tmp_path / "artifact")
    code = snippet(artifact, "python")
    if artifact.manifest.requires.own_kernels:
        assert "nf-edge kernels build -o .." in (folder / "RUN.md").read_text(encoding="utf-8")
        assert run("kernels", "build", "-o", folder.parent).code == 0
    before = sorted(folder.iterdir())
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    expected = pytorchs_answers(code, artifact, checkpoint(name).model())
    assert [float(line) for line in done.stdout.split()] == pytest.approx(expected, rel=1e-4)
    assert sorted(folder.iterdir()) == before


@pytest.fixture(scope="module")
def tools():
    try:
        return build.check_tools("executorch")
    except MissingTool as error:
        pytest.skip(f"{error.what}: {error.fix}")


@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        ("wide-cls", "xnnpack-8da8w"),
        ("cls-regression-of-three", "xnnpack-fp32"),
        ("cls-multi-label", "xnnpack-fp32"),
        ("lm-pairwise-relu", "xnnpack-fp32+all"),
        ("lm-pairwise-relu", "xnnpack-fp32"),
        ("lm-pairwise-relu", "nf-fp32"),
    ],
)
def test_the_cpp_snippet_builds_without_warnings_and_prints_what_pytorch_answers(
    name, recipe, exported, checkpoint, tools, run, tmp_path
):
    artifact = exported(name, recipe)
    code = snippet(artifact, "cpp")
    own = artifact.manifest.requires.own_kernels
    if own:
        assert run("kernels", "build", "-o", tmp_path).code == 0
    link = LINK_LIBRARIES + (LINK_OUR_OPERATORS if own else "")
    program, printed = cmake_project.build(tmp_path, code, link, tools)
    assert [line for line in printed.splitlines() if re.search(r"guide\.cpp:.*warning", line)] == []
    done = subprocess.run([program], cwd=artifact.path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    expected = pytorchs_answers(code, artifact, checkpoint(name).model())
    assert [float(line) for line in done.stdout.split()] == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "task", "answer"),
    [
        ("cls-standard-padded", "classification", "the label of the largest logit; softmax"),
        ("cls-multi-label", "multi-label classification", "the labels whose logits are above 0"),
        ("cls-regression-of-three", "regression", "the logits are the predicted numbers"),
    ],
)
def test_the_guide_and_the_interface_say_what_the_logits_are(name, task, answer, exported):
    artifact = exported(name, "onnx-fp32")
    assert artifact.manifest.interface.task == task
    assert f"| answer | {answer}" in (artifact.path / "RUN.md").read_text(encoding="utf-8")


def test_the_guide_names_what_the_application_has_to_link_and_how_to_pad(exported):
    guide = (exported("wide-cls", "xnnpack-8da8w").path / "RUN.md").read_text(encoding="utf-8")
    for fact in ("1 to 64 tokens", "padding, which is on the right", "float32 [1, 3]", "unmodified"):
        assert fact in guide
    for library in ("xnnpack_backend", "optimized_native_cpu_ops_lib", "quantized_ops_lib"):
        assert library in guide
    guide = (exported("lm-pairwise-relu", "onnx-fp32+all").path / "RUN.md").read_text(encoding="utf-8")
    assert "float32 [batch, length, 19]" in guide
    assert "ORT_DISABLE_TELEMETRY" in guide
