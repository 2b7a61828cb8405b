"""An export holds one float32 network, leaves the checkpoint unchanged, and leaves nothing behind."""

import gc
import hashlib
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from conftest import backend_missing, calibration_rows, save_text_model
from torch.export import exported_program
from torch.fx import graph_module
from torch.fx.graph_module import _loader

from nf_edge.backends.onnx.cpu import OnnxCpu
from nf_edge.core import resources
from nf_edge.core.errors import BadInput
from nf_edge.core.recipe.recipe import load_recipe
from nf_edge.model.safetensors_file import read_safetensors
from nf_edge.pipeline.lowering import Job, lower, rounded, specialise
from nf_edge.quantization.calibration import may_calibrate


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A language model of one layer of width 16."""
    return save_text_model(tmp_path_factory.mktemp("tiny"), ["two words", "and more words"], 60)


def job_of(checkpoint, name):
    if missing := backend_missing(name):
        pytest.skip(missing)
    recipe = load_recipe(name)
    return Job.of(checkpoint, recipe, calibration_rows(checkpoint) if may_calibrate(recipe) else None)


def problem_of(checkpoint, name):
    try:
        job_of(checkpoint, name)
    except BadInput as error:
        return str(error)
    return ""


def unchanged(checkpoint):
    stored = read_safetensors(checkpoint.path / "model.safetensors")
    return all(torch.equal(checkpoint.tensors[name], tensor) for name, tensor in stored.items())


@pytest.mark.parametrize("name", ["cls-lowrank-last-padded", "lm-standard"])
def test_no_recipe_changes_the_checkpoint(checkpoint, name):
    the_checkpoint = checkpoint(name)
    for recipe in resources.names("recipes"):
        if not backend_missing(recipe) and not problem_of(the_checkpoint, recipe):
            job = job_of(the_checkpoint, recipe)
            specialise(job, the_checkpoint.model())
            assert unchanged(the_checkpoint), recipe


def mapped_file(tensor):
    """The file that a tensor's values are mapped from, or ""."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        start, end = (int(part, 16) for part in line.split()[0].split("-"))
        if start <= tensor.data_ptr() < end:
            return line.partition("/")[2]
    return ""


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux")
@pytest.mark.parametrize("recipe", ["onnx-int8-dynamic", "onnx-int4"])
def test_the_float32_weights_of_an_export_stay_in_the_checkpoints_file(checkpoint, recipe):
    the_checkpoint = checkpoint("cls-lowrank-last-padded")
    lowered = rounded(job_of(the_checkpoint, recipe))
    assert mapped_file(lowered.plain.transformer.wte.weight).endswith("model.safetensors")
    assert mapped_file(lowered.plain.transformer.h[0].mlp.c_fc.weight).endswith("model.safetensors")


def test_a_changed_network_changes_neither_the_checkpoint_nor_its_file(checkpoint):
    the_checkpoint = checkpoint("cls-lowrank-last-padded")
    network = the_checkpoint.model()
    for parameter in network.parameters():
        parameter.add_(1)
    assert unchanged(the_checkpoint)


LOWERED = """
import sys
from pathlib import Path
from nf_edge.core.process_memory import trim_heap
from nf_edge.core.recipe.recipe import load_recipe
from nf_edge.model.checkpoint import resolve_checkpoint
from nf_edge.pipeline.lowering import Job, lower

def resident(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(key))

# The first lowering loads the libraries.
for checkpoint in sys.argv[1:3]:
    job = Job.of(resolve_checkpoint(checkpoint), load_recipe("xnnpack-fp32"), None)
    trim_heap()
    Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
    before = resident("VmRSS")
    lower(job, Path(sys.argv[3]) / job.backend.model_file)
print((resident("VmHWM") - before) / (4 * job.checkpoint.parameters))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")
def test_a_lowering_has_no_second_copy_of_its_weights_in_memory(tiny, tmp_path, run):
    if missing := backend_missing("xnnpack-fp32"):
        pytest.skip(missing)
    shape = ("--layers", 1, "--embd", 256, "--heads", 4, "--positions", 32, "--vocab-size", 100_000)
    assert run("init", *shape, "-o", tmp_path / "large").code == 0
    paths = [str(path) for path in (tiny.path, tmp_path / "large", tmp_path)]
    lowered = subprocess.run([sys.executable, "-c", LOWERED, *paths], capture_output=True, text=True)
    assert lowered.returncode == 0, lowered.stderr
    # Pages of the checkpoint's file, and two copies of the table while ExecuTorch writes it.  With a copy of
    # all constants it was 4.0.
    assert float(lowered.stdout.split()[-1]) < 2.6


def objects():
    gc.collect()
    return len(gc.get_objects())


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["onnx-int8-dynamic", "nf-int8"])
def test_further_exports_in_a_process_leave_nothing_behind(
    tiny, tmp_path, recipe, lowered_to_onnx_once, monkeypatch
):
    monkeypatch.setattr(OnnxCpu, "lower", lowered_to_onnx_once)
    job, counts, code = job_of(tiny, recipe), [], []
    for _ in range(3):
        lower(job, tmp_path / job.backend.model_file)
        counts.append(objects())
        code.append(len(_loader.eval_cache))
    # The first export fills caches of the libraries.  Without care, each one leaves some 3,000 objects.
    assert counts[2] - counts[1] < 300
    # Python code of graphs would be 0.3 MB an export.
    assert code[2] == code[1]


def count_calls(monkeypatch, module, name, calls):
    """Add a function's name to `calls` each time that it is called."""
    function = getattr(module, name)

    def counted(*args, **options):
        calls.append(name)
        return function(*args, **options)

    monkeypatch.setattr(module, name, counted)


@pytest.mark.slow
def test_steps_of_executorch_that_are_skipped_change_no_byte(tiny, tmp_path, monkeypatch):
    job = job_of(tiny, "xnnpack-8da8w")
    module = "nf_edge.backends.xnnpack.backend.needed_steps_only"
    hashes, calls = [], []
    count_calls(monkeypatch, exported_program, "_decompose_exported_program", calls)
    count_calls(monkeypatch, graph_module, "_forward_from_src", calls)
    for folder in ("fast", "all"):
        (tmp_path / folder).mkdir()
        file = tmp_path / folder / job.backend.model_file
        calls.clear()
        lower(job, file)
        if folder == "fast":
            assert calls.count("_decompose_exported_program") == 1
            # The code of graphs that are called; it was written 1,500 times.
            assert calls.count("_forward_from_src") < 30
        hashes.append(hashlib.sha256(file.read_bytes()).hexdigest())
        monkeypatch.setattr(module, lambda release: nullcontext())
    assert hashes[0] == hashes[1]


def test_a_dry_run_says_what_the_export_needs_on_this_machine(run):
    result = run("export", "digits", "--recipe", "onnx-int8-dynamic", "--dry-run")
    assert result.code == 0
    assert "The export needs about" in result.out


def test_an_export_warns_when_the_machine_has_too_little_memory(run, tmp_path, monkeypatch):
    monkeypatch.setattr("nf_edge.pipeline.host_memory.available_memory", lambda: 10**6)
    result = run("export", "digits", "--recipe", "onnx-int8-dynamic", "-o", tmp_path / "out")
    assert result.code == 0
    assert "this machine has 1.00 MB left" in result.err
