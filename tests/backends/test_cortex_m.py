"""Cortex-M: the network in kernels of CMSIS-NN, and the artifact simulated."""

import math
import re
import subprocess

import cmake_project
import pytest
import torch
from conftest import backend_missing

import nf_edge.backends
from nf_edge.backends.cortex_m.softmax import softmax_int8
from nf_edge.measure.runner import build

RECIPE = "cortex-m-int8"


@pytest.mark.slow
def test_an_export_tells_what_cmsis_nn_takes_and_why_the_rest_is_left(exported):
    """All layers but the score are its own, in int8; norms are the largest part of what is not."""
    manifest = exported("uneven-cls", RECIPE).manifest
    operators = nf_edge.backends.get_backend("cortex_m").operators(exported("uneven-cls", RECIPE).model_file)
    # K, V and two of noise, the output projection and the MLP's two.
    assert operators["cortex_m::quantized_conv2d_nhwc.out"] == 7
    # The score, in float32: none of the libraries for these cores has a linear layer.
    assert operators["aten::mm.out"] == 1
    assert {"cortex_m::quantized_batch_matmul.out", "cortex_m::softmax.out"} <= operators.keys()
    assert manifest.coverage["delegated"] > sum(left["count"] for left in manifest.coverage["left"])
    assert all(left["reason"] for left in manifest.coverage["left"])
    left = {left["operator"]: left for left in manifest.coverage["left"]}
    assert "no layer norm" in left["native_layer_norm"]["reason"]
    process = {line["name"]: line for line in manifest.reports["memory"]["process"]}
    assert "simulated" in process["process"]["measured"]["note"]
    for name in ("arenas", "model file, mapped"):
        line = process[name]
        assert line["predicted"]["value"] == pytest.approx(line["planned"]["value"], rel=0.5), name


@pytest.mark.slow
def test_the_cpp_of_the_run_guide_builds_and_loads_as_far_as_this_machine_has_kernels(exported, tmp_path):
    """From an array, in the arena that the program plans."""
    artifact = exported("uneven-cls", RECIPE)
    guide = (artifact.path / "RUN.md").read_text(encoding="utf-8")
    assert "```python" not in guide
    # There is no room for whole libraries of operators: those that the file calls are told one by one.
    assert "`cortex_m_kernels`, `cmsis-nn`, `portable_kernels`" in guide
    told = set(re.findall(r"^- `([^`]+)`$", guide, re.MULTILINE))
    assert told == nf_edge.backends.get_backend("cortex_m").operators(artifact.model_file).keys()
    try:
        compiler = build.check_tools("executorch")
    except nf_edge.core.errors.MissingTool as error:
        pytest.skip(str(error))
    (code,) = re.findall(r"```cpp\n(.*?)```", guide, re.DOTALL)
    content = artifact.model_file.read_bytes()
    numbers = ",".join(map(str, content))
    (tmp_path / "model_pte.h").write_text(
        f"alignas(16) const unsigned char model_pte[] = {{{numbers}}};\n"
        f"const unsigned int model_pte_len = {len(content)};\n"
    )
    program, printed = cmake_project.build(tmp_path, code, "", compiler)
    assert "warning" not in printed
    done = subprocess.run([program], capture_output=True, text=True)
    assert done.returncode == 2
    assert "does not load" in done.stdout
    assert "cortex_m::quantize_per_tensor.out" in done.stderr


def test_softmax_is_that_of_fixed_point_and_within_a_level_of_float32():
    """Of rows of all scores, of flat ones, and of those with one score far above the others."""
    generator = torch.Generator().manual_seed(0)
    scores = torch.randint(-128, 128, (3, 500, 80), generator=generator)
    scores[1] //= 16
    scores[2, :, 1:] = -128
    scores = scores.to(torch.int8)
    for scale in (0.01, 0.12, 0.4):
        # What makes an exponent with 26 bits after the point of a difference of scores.
        mantissa, shift = math.frexp(scale * 2**26)
        least = -math.floor(31 * 2.0**26 / 2**shift)
        found = softmax_int8(scores, -1, 5, -128, round(mantissa * 2**31), shift, least)
        wanted = torch.softmax(scores.double() * scale, dim=-1)
        # The largest of 256 levels is a share of 255/256.
        error = (found.double() + 128) / 256 - wanted.clamp(max=255 / 256)
        assert error.abs().max() <= 0.51 / 256


@pytest.mark.parametrize("device", ["stm32h747i-disco", "rpi-pico-2"])
def test_digits_is_predicted_to_fit_a_microcontroller(device, run):
    """Against what its file sets aside for the runtime, which cannot be had here."""
    if missing := backend_missing(RECIPE):
        pytest.skip(missing)
    done = run("export", "digits", "--recipe", RECIPE, "--device", device, "--dry-run")
    assert done.code == 0
    assert f"FITS on {device}" in done.out
    assert "reserve: Assumption" in done.out
