"""OpenVINO: one delegate is the whole program, in float32 or int8, at any length and with a cache."""

import numpy as np
import pytest
import torch
from conftest import backend_missing, tools_missing

import nf_edge.backends.openvino.backend
from nf_edge.backends import get_backend
from nf_edge.core.recipe.recipe import load_recipe
from nf_edge.measure import runner
from nf_edge.measure.memory.profile import profile_model
from nf_edge.pipeline.lowering import Job, rounded

pytestmark = pytest.mark.skipif(
    bool(backend_missing("openvino-fp32")), reason=backend_missing("openvino-fp32")
)
TOLERANCE = 1e-5


@pytest.fixture
def backend():
    return get_backend("openvino")


def test_a_classifier_answers_in_float32_at_every_length(exported, checkpoint, backend):
    """Also on a CPU that would rather multiply in bfloat16, which is off by a thousand times as much."""
    artifact, network = exported("wide-cls", "openvino-fp32"), checkpoint("wide-cls").model()
    session = backend.session(artifact.model_file)
    generator = np.random.default_rng(0)
    for length, real in ((64, 64), (64, 1), (17, 12), (1, 1)):
        ids = generator.integers(300, size=(1, length))
        mask = (np.arange(length) < real).astype(np.int64)[None]
        wanted = network(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()
        assert np.abs(session.run(ids, mask) - wanted).max() <= TOLERANCE * np.abs(wanted).max()


@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        ("wide-cls", "openvino-int8-weights"),
        ("wide-cls", "openvino-int4"),
        ("pairwise-cls", "openvino-int8-weights"),
    ],
)
@torch.no_grad()
def test_rounded_weights_are_multiplied_with_float32(name, recipe, exported, checkpoint, backend):
    """By default OpenVINO would round the inputs of such layers too, which is off by 0.6 %."""
    artifact, lowered = (
        exported(name, recipe),
        rounded(Job.of(checkpoint(name), load_recipe(recipe), None)),
    )
    network = lowered.plain
    for name, weight in lowered.weights.items():
        network.get_submodule(name).weight.data[: len(weight)] = weight
    ids, mask = np.arange(40)[None], (np.arange(40) < 30).astype(np.int64)[None]
    wanted = network(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()
    found = backend.session(artifact.model_file).run(ids, mask)
    assert np.abs(found - wanted).max() <= TOLERANCE * np.abs(wanted).max()


@pytest.mark.parametrize("recipe", ["openvino-fp32", "openvino-int8", "openvino-int4"])
def test_nothing_but_the_cache_is_left_to_other_kernels(recipe, exported, run):
    artifact = exported("wide-lm", recipe)
    # A new cache is copied over the old one.
    assert [left["operator"] for left in artifact.manifest.coverage["left"]] == ["copy"]
    operators = get_backend("openvino").operators(artifact.model_file)
    assert operators.pop("delegate OpenvinoBackend") == 1
    assert operators == {"aten::copy_": 2}


@pytest.mark.slow
@pytest.mark.skipif(bool(tools_missing()), reason=tools_missing())
@pytest.mark.parametrize("threads", [1, None])
def test_a_language_model_keeps_its_cache_natively(threads, exported, checkpoint):
    artifact, ids = exported("relative-lm", "openvino-fp32"), list(range(20, 50))
    with torch.no_grad():
        whole = checkpoint("relative-lm").model()(torch.tensor([ids]))[0].numpy()
    requests = [(ids[:12], [0]), (ids[12:13], [12]), (ids[13:], [13]), (ids[3:5], [3])]
    command = runner.command_for(artifact.runnable(), threads)
    result = runner.run_command(command, artifact.model_file, requests)
    wanted = whole[[11, 12, 29, 4]]
    found = np.stack([logits[0, 0] for logits in result.outputs])
    assert np.abs(found - wanted).max() <= TOLERANCE * np.abs(wanted).max()


@pytest.mark.slow
def test_int8_weights_and_tables_take_a_byte_each_in_the_file(exported, checkpoint, backend):
    config = checkpoint("wide-lm").config
    input_shape = exported("wide-lm", "openvino-fp32").manifest.interface.input_shape
    whole, quarter = (
        backend.plan(exported("wide-lm", recipe).model_file, config, input_shape).weights
        for recipe in ("openvino-fp32", "openvino-int8")
    )
    # The tied head is stored beside the table only where both are int8, each with scales of its own.
    tied = config.vocab_size * config.n_embd
    assert quarter == pytest.approx(whole / 4 + tied, rel=0.05)


@pytest.mark.slow
@pytest.mark.skipif(bool(tools_missing()), reason=tools_missing())
@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        ("large-cls", "openvino-fp32"),
        ("large-cls", "openvino-int8"),
        ("large-cls", "openvino-int4"),
        ("wide-lm", "openvino-fp32"),
        ("wide-lm", "openvino-int8-weights"),
    ],
)
def test_memory_is_predicted_where_weights_are_most_of_it(name, recipe, exported, backend):
    """They are held as the file has them and as oneDNN multiplies them, and the file too while it loads."""
    artifact = exported(name, recipe)
    report = profile_model(artifact.runnable(), None)
    whole = {how: figure.value for how, figure in report.process_total.figures().items()}
    assert whole["predicted"] == pytest.approx(whole["measured"], rel=0.07)
    # What a run takes and a load gives back in its place is not planned.
    assert whole["planned"] == pytest.approx(whole["measured"], rel=0.15)
    predicted, measured = (
        sum(
            line.figures()[how].value
            for line in report.process
            if line.name in ("weights and graph in heap", "workspace")
        )
        for how in ("predicted", "measured")
    )
    # Private pages of OpenVINO's library count as runtime, although loading opens it.
    assert predicted == pytest.approx(measured, rel=0.07)


def test_a_version_that_its_delegate_crashes_with_is_refused(exported, run, monkeypatch):
    path = exported("wide-cls", "openvino-fp32").path
    monkeypatch.setattr(nf_edge.backends.openvino.backend, "version", lambda package: "2026.4.1")
    done = run("inspect", path)
    assert (
        "ExecuTorch's OpenVINO delegate crashes with the installed OpenVINO 2026.4.1" in done.out + done.err
    )
    assert "pip install openvino==2025" in done.out + done.err


def test_the_run_guide_says_what_openvino_has_to_be_told(exported):
    guide = (exported("wide-cls", "openvino-fp32").path / "RUN.md").read_text(encoding="utf-8")
    assert "pip install openvino==2025" in guide
    assert 'os.environ["ONEDNN_MAX_CPU_ISA"]' in guide
