"""The memory of several rows in one run."""

import json

import numpy as np
import pytest
from test_memory import needs_the_runner

import nf_edge
from nf_edge.core.errors import BadInput
from nf_edge.measure import runner
from nf_edge.measure.memory.profile import profile_model

MB = 1e6


@pytest.fixture
def profile(run):
    """The result of `nf-edge profile sst2 --json` with `onnx-int8-dynamic` and the given options."""

    def call(*options):
        done = run("profile", "sst2", "--recipe", "onnx-int8-dynamic", "--json", *options)
        assert done.code in (0, 4)
        return json.loads(done.out)["result"]

    return call


def predicted(report):
    """The predicted bytes of each part of the process."""
    return {part["name"]: part["predicted"]["value"] for part in report["process"]}


def test_more_rows_need_larger_arenas_and_nothing_else(profile):
    one, many = profile(), profile("--batch", "16")
    assert (one["batch"], many["batch"]) == (1, 16)
    assert one["file"] == many["file"]
    changed = {name for name, value in predicted(many).items() if value != predicted(one)[name]}
    assert changed == {"arenas", "process"}
    # Shapes, table rows of positions and the graph do not grow.
    assert 12 < predicted(many)["arenas"] / predicted(one)["arenas"] < 20


def test_the_verdict_is_for_the_batch(profile, run):
    verdicts = [profile("--device", "rpi-zero-2w", "--batch", rows)["verdict"] for rows in ("1", "4096")]
    assert [verdict["outcome"] for verdict in verdicts] == ["fits", "over budget"]
    options = ["--recipe", "onnx-int8-dynamic", "--device", "rpi-zero-2w", "--at", "8", "--batch", "4"]
    done = run("profile", "sst2", *options)
    assert (
        "FITS on rpi-zero-2w (Raspberry Pi Zero 2 W) with a context of 8 tokens and a batch of 4" in done.out
    )


@pytest.mark.parametrize(
    ("name", "recipe", "why"),
    [
        ("sst2", "xnnpack-int8", "the recipe exports a file that takes one row"),
        ("shakespeare", "onnx-fp32", "a language model with a cache takes one row"),
    ],
)
def test_a_batch_is_refused_for_a_file_that_takes_one_row(name, recipe, why, run):
    done = run("profile", name, "--recipe", recipe, "--batch", "2")
    assert (done.code, done.out) == (3, "")
    assert f"a batch of 2 rows is too large: {why}" in done.err
    assert run("profile", name, "--recipe", recipe, "--batch", "1").code == 0
    with pytest.raises(BadInput, match="batch"):
        nf_edge.profile(name, recipe=recipe, batch=0)


@needs_the_runner
def test_an_artifact_is_measured_with_the_batch(exported):
    runnable = exported("digits", "onnx-int8-dynamic").runnable()
    many = profile_model(runnable, None, batch=64)
    (arenas,) = (part for part in many.process if part.name == "arenas")
    assert arenas.measured.value > 5 * MB
    assert arenas.predicted.value == pytest.approx(arenas.measured.value, rel=0.15)
    one = runnable.backend.layout(runnable.file, runnable.config, runnable.input_shape, runnable.recipe)
    assert many.layout.arena.planned > one.arena.planned


@needs_the_runner
def test_the_runner_answers_rows_of_one_request_like_rows_alone(exported):
    runnable = exported("digits", "onnx-fp32").runnable()
    command, rows = runner.command_for(runnable), ([1, 2, 3, 4], [5, 6, 7, 8])
    mask = [1] * 4
    alone = runner.run_command(command, runnable.file, [(row, mask) for row in rows]).outputs
    both = runner.run_command([*command, "--rows", "2"], runnable.file, [([*rows[0], *rows[1]], mask * 2)])
    assert np.allclose(both.outputs[0], np.concatenate(alone), atol=1e-4)
    with pytest.raises(BadInput, match="5 numbers are not 2 equal rows"):
        runner.run_command([*command, "--rows", "2"], runnable.file, [([1] * 5, [1] * 5)])
