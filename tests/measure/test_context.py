"""The memory with a shorter context than the longest one."""

import json

import pytest

import nf_edge
from nf_edge.core.errors import BadInput
from nf_edge.measure.memory.profile import profile_model


@pytest.fixture
def profile(run):
    """The result of `nf-edge profile shakespeare --json` with the given options."""

    def call(*options):
        done = run("profile", "shakespeare", "--json", *options)
        assert done.code == 0
        return json.loads(done.out)["result"]

    return call


def process(report):
    """The predicted bytes of the process."""
    return report["process"][-1]["predicted"]["value"]


def test_a_short_context_needs_less_memory_where_the_runtime_grows_with_it(profile):
    short, long = (profile("--recipe", "onnx-int8-dynamic", *at) for at in (("--at", "16"), ()))
    assert process(short) < process(long)
    assert (short["tokens"], long["tokens"]) == (16, 128)
    assert short["file"] == long["file"]


def test_a_language_models_memory_is_reported_at_1_half_and_all_positions(profile):
    for recipe in ("onnx-fp32", "xnnpack-fp32", "nf-int8"):
        report = profile("--recipe", recipe)
        sizes = {each["tokens"]: each["predicted"]["value"] for each in report["contexts"]}
        assert list(sizes) == [1, 64, 128]
        assert sizes[1] <= sizes[64] <= sizes[128] == process(report)


def test_executorch_reserves_the_memory_of_the_longest_context(profile):
    """Its arena has a fixed size; only fewer pages of the tables are read."""
    short, long = (profile("--recipe", "xnnpack-fp32", *at) for at in (("--at", "1"), ()))
    for now, full in zip(short["process"], long["process"], strict=True):
        same = now["name"] not in ("model file, mapped", "process")
        assert (now["predicted"]["value"] == full["predicted"]["value"]) == same


def test_the_verdict_names_the_context(run):
    done = run("profile", "shakespeare", "--recipe", "onnx-fp32", "--device", "rpi-zero-2w", "--at", "16")
    assert "FITS on rpi-zero-2w (Raspberry Pi Zero 2 W) with a context of 16 tokens" in done.out


def test_a_context_beyond_the_longest_one_is_refused(run):
    done = run("profile", "shakespeare", "--recipe", "onnx-fp32", "--at", "129")
    assert (done.code, done.out) == (3, "")
    assert "a context of 129 tokens is too long: the artifact takes at most 128" in done.err
    with pytest.raises(BadInput, match="at"):
        nf_edge.profile("shakespeare", recipe="onnx-fp32", at=0)


def test_an_artifact_is_measured_with_the_context(exported):
    runnable = exported("wide-lm", "onnx-fp32").runnable()
    short, long = (profile_model(runnable, None, at=at) for at in (1, None))
    figures = [{part.name: part.measured.value for part in report.process} for report in (short, long)]
    if figures[0]["arenas"] is None:
        pytest.skip("no C++ tools to build the native runner with")
    assert figures[0]["KV cache"] < figures[1]["KV cache"]
    # Small arenas lie in heap that loading freed, so only the sum tells the runs apart.
    assert (
        figures[0]["KV cache"] + figures[0]["arenas"] <= figures[1]["KV cache"] + figures[1]["arenas"] + 2**16
    )
