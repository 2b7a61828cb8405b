"""The native runner: an artifact answers and is measured in a process without Python or PyTorch."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import (
    XnnpackDynamicallyQuantizedPartitioner,
    XnnpackPartitioner,
)
from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower
from torch import nn
from torchao.quantization import PerAxis, quantize_
from torchao.quantization.quant_api import Int8DynamicActivationIntxWeightConfig

from nf_edge.core import native_build
from nf_edge.core.errors import BadInput, MissingTool, NfEdgeError
from nf_edge.measure.runner import TimedSession, executable, native_command, process, run_command

RUNTIMES = ["executorch", "onnxruntime"]
VOCABULARY = 50
LONGEST = 16
LINE = ([3, 1, 4, 1, 5], [1, 1, 1, 1, 0])

pytestmark = pytest.mark.skipif(
    not any(map(shutil.which, [os.environ.get("CXX", "c++"), "g++", "clang++"])),
    reason="no C++ compiler is installed to build the runner",
)
each_runtime = pytest.mark.parametrize("runtime", RUNTIMES)


def run(runtime, model, requests, threads=None, timeout_s=600):
    """Run a model file natively, without operators of a backend."""
    return run_command(native_command(runtime, model, threads), model, requests, timeout_s)


class Tagger(nn.Module):
    """Logits [1, T, labels] of a stack of linear layers over an embedding."""

    def __init__(self, width=8, layers=1, labels=3):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, width)
        self.layers = nn.Sequential(*(nn.Linear(width, width) for _ in range(layers)))
        self.head = nn.Linear(width, labels)

    def forward(self, input_ids, attention_mask):
        return self.head(self.layers(self.embedding(input_ids)) * attention_mask[..., None].float())


class MasklessTagger(Tagger):
    def forward(self, input_ids):
        return super().forward(input_ids, torch.ones_like(input_ids))


class QuantizedEmbedding(nn.Module):
    """Logits are rows of an int8 table: an operator that no delegate takes."""

    def __init__(self):
        super().__init__()
        self.register_buffer("table", torch.randint(-128, 127, (VOCABULARY, 8), dtype=torch.int8))
        self.register_buffer("scales", torch.rand(VOCABULARY))

    def forward(self, input_ids, attention_mask):
        lookup = torch.ops.quantized_decomposed.embedding_byte.dtype
        rows = lookup(self.table, self.scales, None, -128, 127, input_ids, dtype=torch.float32)
        return rows * attention_mask[..., None].float()


class LogOfMask(nn.Module):
    def forward(self, input_ids, attention_mask):
        return torch.log((attention_mask + 0 * input_ids).float())


def example(network):
    """Distinct tensors: export takes one tensor given twice for one input."""
    inputs = 1 if isinstance(network, MasklessTagger) else 2
    return tuple(torch.ones(1, 5, dtype=torch.int64) for _ in range(inputs))


def to_pte(network, path, partitioners=None):
    inputs = example(network)
    length = torch.export.Dim("T", min=1, max=LONGEST)
    program = torch.export.export(network.eval(), inputs, dynamic_shapes=tuple({1: length} for _ in inputs))
    lowered = to_edge_transform_and_lower(
        program,
        partitioner=[XnnpackPartitioner()] if partitioners is None else partitioners,
        compile_config=EdgeCompileConfig(_check_ir_validity=False),
    )
    path.write_bytes(lowered.to_executorch().buffer)
    return path


def to_onnx(network, path):
    inputs = example(network)
    length = torch.export.Dim("T", min=1, max=LONGEST)
    torch.onnx.export(
        network.eval(),
        inputs,
        path,
        dynamo=True,
        verbose=False,
        input_names=["input_ids", "attention_mask"][: len(inputs)],
        output_names=["logits"],
        dynamic_shapes=tuple({1: length} for _ in inputs),
    )
    return path


EXPORT = {"executorch": to_pte, "onnxruntime": to_onnx}


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return Tagger()


@pytest.fixture(scope="module")
def models(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {runtime: EXPORT[runtime](network, folder / f"tagger-{runtime}") for runtime in RUNTIMES}


def ask(network, request):
    with torch.no_grad():
        return network(*(torch.tensor([numbers]) for numbers in request)).numpy()


@each_runtime
def test_the_native_process_answers_as_pytorch_does(runtime, models, network):
    generator = np.random.default_rng(0)
    requests = [
        (generator.integers(VOCABULARY, size=length).tolist(), generator.integers(2, size=length).tolist())
        for length in (1, 5, LONGEST, 2)
    ]
    result = run(runtime, models[runtime], requests)
    assert len(result.outputs) == len(result.run_ms) == len(requests)
    for request, logits in zip(requests, result.outputs, strict=True):
        expected = ask(network, request)
        assert logits.dtype == np.float32
        assert logits.shape == expected.shape
        np.testing.assert_allclose(logits, expected, atol=1e-5)


@pytest.mark.parametrize("request_count", [0, 1, 2])
@each_runtime
def test_every_stage_of_a_run_is_reported_in_order(runtime, request_count, models):
    result = run(runtime, models[runtime], [LINE] * request_count, threads=2)
    loading = ["program_loaded", "method_loaded"] if runtime == "executorch" else ["method_loaded"]
    running = ["first_run"] if request_count else []
    assert [stage.name for stage in result.stages] == ["start", *loading, *running, "finished"]
    assert (result.runtime, result.threads) == (runtime, 2)
    assert result.version[0].isdigit()
    assert all(stage.elapsed_ms > 0 for stage in result.stages)


@pytest.mark.slow
@each_runtime
def test_a_model_of_32_mb_takes_at_least_32_mb(runtime, tmp_path):
    network = Tagger(width=2048, layers=2)
    weights = 4 * sum(parameter.numel() for parameter in network.layers.parameters())
    result = run(runtime, EXPORT[runtime](network, tmp_path / "model"), [LINE])
    start, loaded, finished = (result.stage(name) for name in ("start", "method_loaded", "finished"))
    assert start.model_mapped_rss == 0
    for figure in ("rss", "rss_anon", "heap_in_use", "rss_peak_since_start"):
        growth = getattr(loaded, figure) - getattr(start, figure)
        assert weights < growth < 2.5 * weights, figure
    for stage in result.stages:
        assert stage.rss == stage.rss_anon + stage.rss_file
        assert 0 < stage.library_rss_anon < stage.rss_anon
        assert stage.rss <= stage.rss_peak_since_start <= stage.rss_peak
        assert stage.peak_was_reset
    assert finished.rss_peak >= loaded.rss_peak >= start.rss_peak


def test_weights_that_stay_in_the_file_count_as_the_models_mapped_memory(tmp_path):
    network = Tagger(width=1024, layers=2)
    weights = 4 * sum(parameter.numel() for parameter in network.layers.parameters())
    result = run("executorch", to_pte(network, tmp_path / "model.pte", partitioners=[]), [LINE])
    start, finished = result.stage("start"), result.stage("finished")
    assert finished.model_mapped_rss > weights
    assert finished.rss_anon - start.rss_anon < sum(result.planned_buffers) + 1e6


def test_the_planned_arena_of_a_pte_is_reported_and_allocated(tmp_path):
    result = run("executorch", to_pte(Tagger(width=1024), tmp_path / "model.pte"), [])
    (arena,) = result.planned_buffers
    assert arena >= 4 * LONGEST * 1024
    assert result.stage("method_loaded").heap_in_use - result.stage("program_loaded").heap_in_use > arena


@pytest.mark.slow
def test_a_quantized_pte_runs_delegated_or_not(tmp_path):
    network = Tagger(width=64)
    config = Int8DynamicActivationIntxWeightConfig(weight_dtype=torch.int8, weight_granularity=PerAxis(0))
    quantize_(network, config)
    partitioners = [XnnpackDynamicallyQuantizedPartitioner(), XnnpackPartitioner()]
    delegated = run("executorch", to_pte(network, tmp_path / "int8.pte", partitioners), [LINE])
    np.testing.assert_allclose(delegated.outputs[0], ask(network, LINE), atol=1e-2)

    table = QuantizedEmbedding()
    looked_up = run("executorch", to_pte(table, tmp_path / "table.pte", partitioners=[]), [LINE])
    np.testing.assert_allclose(looked_up.outputs[0], ask(table, LINE), rtol=1e-6)


def test_logits_that_are_not_finite_arrive_as_nan(tmp_path):
    model = to_pte(LogOfMask(), tmp_path / "model.pte", partitioners=[])
    (logits,) = run("executorch", model, [([1, 1, 1], [1, 0, -1])]).outputs
    np.testing.assert_array_equal(logits, [[0.0, np.nan, np.nan]])


@each_runtime
def test_a_truncated_model_is_bad_input_with_the_reason(runtime, models, tmp_path):
    whole = models[runtime].read_bytes()
    broken = tmp_path / "broken"
    broken.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInput, match=r"too small|parsing failed") as error:
        run(runtime, broken, [])
    assert error.value.where == broken
    assert not error.value.what.endswith(str(broken))


@each_runtime
def test_a_model_that_is_not_there_is_bad_input(runtime, tmp_path):
    with pytest.raises(BadInput, match="No such file"):
        run(runtime, tmp_path / "nowhere", [])


@each_runtime
def test_a_model_without_an_attention_mask_is_refused(runtime, tmp_path):
    model = EXPORT[runtime](MasklessTagger(), tmp_path / "model")
    with pytest.raises(BadInput, match="attention_mask"):
        run(runtime, model, [])


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (([1] * (LONGEST + 1), [1] * (LONGEST + 1)), "17 tokens"),
        (([VOCABULARY], [1]), "cannot run"),
        (([1, 2], [1]), "1 numbers for 2 input ids"),
    ],
)
def test_a_request_that_the_model_cannot_take_is_named_by_its_line(bad, reason, models):
    with pytest.raises(BadInput, match=rf"{reason}.*line [34] of the requests"):
        run("executorch", models["executorch"], [LINE, bad])


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ("1 2\n1 1\n1 x\n1 1\n", "not a list of integers, line 3"),
        ("1 2\n1 1\n1-2\n1 1\n", "not a list of integers, line 3"),
        ("1 2\n1 1\n\n", "no numbers, line 3"),
        ("1 2\n1 1\n1 2\n", "without an attention mask or a position on the next line, line 3"),
        ("99999999999999999999\n1\n", "not a list of integers, line 1"),
    ],
)
def test_a_malformed_line_ends_the_program_with_exit_code_3(lines, complaint, models):
    command = [executable("executorch"), models["executorch"]]
    done = subprocess.run(command, input=lines, capture_output=True, text=True)
    assert done.returncode == 3
    assert complaint in done.stderr
    assert done.stdout.count("logits") == lines.startswith("1 2\n1 1\n")


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["a", "--threads", "0"], ["--help"]])
def test_wrong_usage_ends_the_program_with_exit_code_2(arguments):
    done = subprocess.run([executable("onnxruntime"), *arguments], capture_output=True, text=True)
    assert done.returncode == 2
    assert "usage: nf-run-onnxruntime MODEL [--threads N]" in done.stderr


def test_a_run_that_takes_too_long_is_ended(models):
    with pytest.raises(NfEdgeError, match=r"did not finish within 0\.001 s"):
        run("executorch", models["executorch"], [LINE], timeout_s=0.001)


def test_a_crash_of_the_process_names_the_signal(models, tmp_path, monkeypatch):
    crashing = tmp_path / "nf-run-executorch"
    crashing.write_text("#!/bin/sh\necho last words >&2\nkill -SEGV $$\n")
    crashing.chmod(0o700)
    monkeypatch.setattr(process, "executable", lambda runtime: crashing)
    with pytest.raises(NfEdgeError, match=r"SIGSEGV \(the runtime crashed.*\nlast words"):
        run("executorch", models["executorch"], [])


def test_onnx_runtime_leaves_no_telemetry_behind(models, tmp_path, monkeypatch):
    program = executable("onnxruntime")
    for variable in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    monkeypatch.delenv("CI", raising=False)
    subprocess.run([program, models["onnxruntime"]], input="", check=True, capture_output=True, text=True)
    assert list(tmp_path.iterdir()) == []


@each_runtime
def test_a_runner_that_stays_answers_each_call_with_its_times(runtime, models):
    model = models[runtime]
    with TimedSession(native_command(runtime, model, 1), model) as timed:
        for count in (1, 3, 2):
            times = timed.times([LINE] * count)
            assert len(times) == count
            assert min(times) > 0
        peak = timed.finish()
    assert timed.runtime == runtime
    assert timed.load_ms > 0
    assert peak.name == "finished"
    assert peak.rss_peak > timed.start.rss > 0


@each_runtime
def test_a_time_comes_without_logits_and_is_of_the_run_alone(runtime, models):
    lines = "".join(f"{' '.join(map(str, numbers))}\n" for numbers in LINE)
    command = [*native_command(runtime, models[runtime]), "--times"]
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=True)
    assert "logits" not in done.stdout
    assert done.stdout.count("run_ms") == 1


def test_what_ends_a_runner_that_stays_is_told_by_the_call_that_it_ends(models, tmp_path):
    model = models["executorch"]
    with TimedSession(native_command("executorch", model), model) as timed:
        timed.times([LINE])
        with pytest.raises(BadInput, match=r"17 tokens.*line 3 of the requests"):
            timed.times([([1] * (LONGEST + 1), [1] * (LONGEST + 1))])
        with pytest.raises(BadInput, match="17 tokens"):
            timed.times([LINE])
    silent = [sys.executable, "-c", "import time; time.sleep(60)"]
    with pytest.raises(NfEdgeError, match=r"did not finish within 0\.1 s"):
        TimedSession(silent, model, timeout_s=0.1)
    broken = tmp_path / "broken"
    broken.write_bytes(model.read_bytes()[:100])
    with pytest.raises(BadInput, match=r"too small|parsing failed") as error:
        TimedSession(native_command("executorch", broken), broken)
    assert error.value.where == broken


def test_leaving_a_runner_ends_its_process(models):
    model = models["onnxruntime"]
    with TimedSession(native_command("onnxruntime", model), model) as timed:
        assert timed._process.poll() is None
    assert timed._process.poll() is not None


def test_the_second_call_does_not_build_again(monkeypatch):
    program = executable("executorch")
    monkeypatch.setattr(native_build, "_build", None)
    assert executable("executorch") == program
    assert program.parent.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.slow
def test_two_processes_may_build_at_once(tmp_path):
    build_it = "from nf_edge.measure.runner import executable; print(executable('onnxruntime'))"
    builders = [
        subprocess.Popen(
            [sys.executable, "-c", build_it],
            env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    first, second = (builder.communicate()[0].strip() for builder in builders)
    assert first == second
    assert Path(first).is_file()
    assert list(Path(first).parents[1].iterdir()) == [Path(first).parent]


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [("CXX", "no-such-compiler", "CXX is 'no-such-compiler'"), ("PATH", "", "no C.. compiler")],
)
def test_without_a_compiler_the_command_that_gets_one_is_named(
    variable, value, message, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv(variable, value)
    with pytest.raises(MissingTool, match=message) as error:
        executable("executorch")
    assert native_build.GET_COMPILER in str(error.value)


def test_without_cmake_the_command_that_gets_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "cmake", None)
    with pytest.raises(MissingTool, match="cmake is not installed") as error:
        executable("executorch")
    assert error.value.fix == "pip install 'cmake>=3.28' ninja"


def test_a_failing_build_shows_the_end_of_its_log_and_where_the_rest_is(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CXX", "false")
    with pytest.raises(MissingTool, match="building the runner failed") as error:
        executable("executorch")
    log = Path(str(error.value.where))
    assert log.read_text().splitlines()[-1] in error.value.what
    assert [path.name for path in log.parent.iterdir()] == [log.name]


def test_a_cache_folder_that_others_can_write_to_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "nf-edge").mkdir()
    (tmp_path / "nf-edge").chmod(0o777)
    with pytest.raises(MissingTool, match="other users can write"):
        executable("executorch")
