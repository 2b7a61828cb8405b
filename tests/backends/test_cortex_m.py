"""Cortex-M: the network in kernels of CMSIS-NN, and the artifact simulated."""

import json
import math
import re
import subprocess

import cmake_project
import pytest
import torch
import yaml
from conftest import backend_missing

import nf_edge.backends
from nf_edge.backends.cortex_m.costs import COSTS
from nf_edge.backends.cortex_m.firmware import cortex_m_firmware
from nf_edge.backends.cortex_m.softmax import softmax_int8
from nf_edge.backends.coverage.coverage import Operator
from nf_edge.core import resources
from nf_edge.core.errors import BadInput
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
def test_a_report_ranks_operators_by_their_instructions(exported):
    """Layer norm is left to another kernel, but is little work beside the scores."""
    work = exported("uneven-cls", RECIPE).manifest.reports["work"]
    shares = [kind["share"] for kind in work["kinds"]]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1)
    of = {kind["operator"]: kind for kind in work["kinds"]}
    assert of["native_layer_norm"]["share"] < of["softmax"]["share"]
    assert "tokens" in of["softmax"]["advice"]


def test_the_most_work_of_digits_is_softmax_as_on_the_core():
    """Measured on an emulated Cortex-M7: shares of 24.9 million instructions."""
    operators = [
        Operator("softmax", macs=0, taken=True, elements=16_384),
        Operator("quantized_conv2d_nhwc", macs=3_801_088, taken=True, elements=147_456),
        Operator("quantized_add", macs=0, taken=True, elements=40_960),
        Operator("quantized_batch_matmul", macs=1_048_576, taken=True, elements=24_576),
        Operator("native_layer_norm", macs=0, taken=False, elements=20_480),
        Operator("transpose", macs=0, taken=True, elements=102_464),
    ]
    work = COSTS["cortex-m-dsp"].work(operators)
    assert work.instructions == pytest.approx(24.91e6, rel=0.01)
    shares = {kind.operator: kind.share for kind in work.kinds}
    measured = {"softmax": 0.345, "quantized_conv2d_nhwc": 0.316, "quantized_add": 0.135}
    measured |= {"quantized_batch_matmul": 0.134, "native_layer_norm": 0.019}
    for operator, share in measured.items():
        assert shares[operator] == pytest.approx(share, abs=0.005), operator
    assert work.kinds[0].operator == "softmax"


@pytest.mark.slow
def test_the_pools_of_the_run_guide_are_those_of_the_report_and_of_the_prediction(exported):
    artifact = exported("uneven-cls", RECIPE)
    lines = {line["name"]: line for line in artifact.manifest.reports["memory"]["firmware"]}
    guide = (artifact.path / "RUN.md").read_text(encoding="utf-8")
    planned = {name: line["planned"]["value"] for name, line in lines.items()}
    for pool, part in (
        (r"planned_arena\[(\d+)\]", "planned arena"),
        (r"method_pool\[(\d+) \* kPointers\]", "method allocator"),
        (r"temporary_pool\[(\d+) \* kPointers\]", "temporary allocator"),
    ):
        assert [int(size) for size in re.findall(pool, guide)] == [planned[part]], part
        assert f"| {part} | {planned[part]:,} |" in guide
    sram = (
        "planned arena",
        "method allocator",
        "temporary allocator",
        "stack and variables",
        "input buffers",
    )
    assert planned["SRAM"] == sum(planned[part] for part in sram)
    assert planned["flash"] == planned["model file"] + planned["code"]
    assert lines["method allocator"]["predicted"]["value"] == pytest.approx(
        planned["method allocator"], rel=0.01
    )
    assert "-DEXECUTORCH_ENABLE_LOGGING=OFF" in guide


@pytest.mark.parametrize(
    ("model", "method", "code"), [("digits", 24_404, 169_424), ("sst2", 33_780, 175_252)]
)
def test_pools_and_code_are_those_measured_on_a_core(run, model, method, code):
    """Bytes of a firmware on an emulated Cortex-M7, in November 2026."""
    done = run("profile", model, "--recipe", RECIPE, "--json")
    lines = json.loads(done.out)["result"]["firmware"]
    predicted = {line["name"]: line["predicted"]["value"] for line in lines}
    assert predicted["method allocator"] == pytest.approx(method, rel=0.02)
    assert predicted["code"] == pytest.approx(code, rel=0.02)
    # Cortex-M33, which takes the same file, needs 1.3 % more.
    assert predicted["code"] >= 1.013 * code
    # 28 bytes for each of a convolution's 15 arguments.
    assert predicted["temporary allocator"] == 420


@pytest.fixture
def board(tmp_path):
    """Writes a device file: the Raspberry Pi Pico 2 with another usable memory of a kind."""

    def make(kind, usable):
        path = resources.folder("devices") / "rpi-pico-2.yaml"
        device = yaml.safe_load(path.read_text(encoding="utf-8")) | {"id": "small"}
        memory = next(memory for memory in device["memory"] if memory["kind"] == kind)
        memory["usable"] |= {"value": usable}
        path = tmp_path / "small.yaml"
        path.write_text(yaml.safe_dump(device), encoding="utf-8")
        return path

    return make


@pytest.mark.parametrize(
    ("kind", "usable", "part"),
    # The arena takes 54 kB and the application 16 KiB; the file takes 115 kB and the application 64 KiB.
    [("sram", "75 KiB", "SRAM"), ("flash", "300 kB", "QSPI flash")],
)
def test_a_board_that_holds_arena_and_file_but_not_pools_and_code_is_over_budget(
    run, board, kind, usable, part
):
    done = run("profile", "digits", "--recipe", RECIPE, "--device", board(kind, usable))
    assert done.code == 4
    assert f"of {part} (predicted)" in done.err


def test_a_firmware_with_an_operator_of_unknown_size_is_not_said_to_fit():
    firmware = cortex_m_firmware(["aten::add.out", "aten::cumsum.out"], 64)
    assert firmware.code is None
    assert "aten::cumsum.out" in firmware.note


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


@pytest.mark.parametrize(("dim", "zero"), [(0, -128), (1, -128), (-1, 0)])
def test_a_softmax_that_the_kernel_would_compute_otherwise_is_refused(dim, zero):
    with pytest.raises(BadInput, match="along the last dimension"):
        softmax_int8(torch.zeros(2, 3, 4, dtype=torch.int8), dim, 5, zero, 2**30, 20, -100)


@pytest.mark.parametrize("device", ["stm32h747i-disco", "rpi-pico-2"])
def test_digits_is_predicted_to_fit_a_microcontroller(device, run):
    """With the runtime's code and pools, and what its file sets aside for the application."""
    if missing := backend_missing(RECIPE):
        pytest.skip(missing)
    done = run("export", "digits", "--recipe", RECIPE, "--device", device, "--dry-run")
    assert done.code == 0
    assert f"FITS on {device}" in done.out
    assert "reserve: Assumption" in done.out
