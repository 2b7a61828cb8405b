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


def test_a_backend_with_fixed_shapes_keeps_the_complete_cache():
    recipe = nf_edge.load_recipe("qnn-sm8650-a16w8").model_copy(update={"logits": "last"})
    short, long = (nf_edge.profile("shakespeare", recipe=recipe, at=at).to_json() for at in (1, None))
    assert (short["process"], process(short)) == (long["process"], process(long))
    (note,) = set(short["notes"]) - set(long["notes"])
    assert note == "the file has a fixed size of 128 tokens: a shorter context saves no memory"


def test_no_part_is_negative_where_a_small_cache_lies_in_free_heap(tmp_path):
    shape = {"vocab_size": 50257, "n_positions": 1024, "n_embd": 768, "n_layer": 12, "n_head": 12}
    config = {"architectures": ["NoiseFormerForCausalLM"], **shape}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    recipe = nf_edge.load_recipe("onnx-int8-dynamic").model_copy(update={"logits": "last"})
    for at in (1, 16):
        report = nf_edge.profile(tmp_path, recipe=recipe, at=at)
        parts = {part.name: part.predicted.value for part in report.process}
        assert all(value >= 0 for value in parts.values() if value is not None)
        assert sum(value or 0 for value in parts.values()) == report.steady.predicted.value


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
    # Small arenas lie in heap that loading freed, so only the sum differs between the runs.
    assert (
        figures[0]["KV cache"] + figures[0]["arenas"] <= figures[1]["KV cache"] + figures[1]["arenas"] + 2**16
    )
