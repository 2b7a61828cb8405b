"""`--on DEVICE`: the file of an artifact, run as a device's own core."""

import json
import shutil
from functools import partial

import numpy as np
import pytest

from nf_edge.core.errors import MissingTool
from nf_edge.core.progress import silent
from nf_edge.core.recipe.recipe import load_recipe
from nf_edge.measure import emulation
from nf_edge.measure.accuracy.local_difference import LocalDifference
from nf_edge.measure.accuracy.parts import Parts, Total, side_by_side
from nf_edge.measure.accuracy.predictions import PairedPredictions, Predictions
from nf_edge.measure.emulation import cores, emulated_cores
from nf_edge.measure.emulation.machine import Emulator
from nf_edge.measure.emulation.sme import sme_fault
from nf_edge.measure.memory.profile import profile_model
from nf_edge.model import resolve_checkpoint
from nf_edge.pipeline.lowering import Job, lower

CLASSIFIER, LM = "cls-lowrank-last-padded", "eight-pairwise"
CASES = [
    (LM, "xnnpack-8da8w"),
    (LM, "nf-int8"),
    (CLASSIFIER, "onnx-fp32"),
    (LM, "onnx-fp32"),
    (CLASSIFIER, "onnx-int8-dynamic"),
]


def emulation_missing():
    """Why nothing is emulated here; "" where it is."""
    try:
        emulation.emulator()
        for runtime in emulation.RUNTIMES:
            emulation.kept(runtime)
    except MissingTool as error:
        return str(error)
    return ""


MISSING = emulation_missing()


def emulates(test):
    """Mark a test that runs an emulated core: slow, and skipped where nothing can be emulated."""
    return pytest.mark.slow(pytest.mark.skipif(bool(MISSING), reason=MISSING or "it is here")(test))


@pytest.fixture
def rows(tmp_path):
    """A file of rows of token ids, with labels."""

    def make(checkpoint, count=10):
        generator, config = np.random.default_rng(0), checkpoint.config
        lines = []
        for number in range(count):
            ids = generator.integers(config.vocab_size, size=4 + number).tolist()
            label = {} if config.is_language_model else {"label": number % config.num_labels}
            lines.append(json.dumps({"input_ids": ids, **label}))
        path = tmp_path / "rows.jsonl"
        path.write_text("\n".join(lines))
        return path

    return make


@pytest.fixture
def checked(run, exported, checkpoint, rows):
    """`check --on` of an artifact: the exit code, and what it tells of each core."""

    def call(name, recipe, on, *options):
        data = rows(checkpoint(name))
        how = ("--data", data, "--reference", checkpoint(name).path, "--on", on, "--max-drop", "100")
        done = run("check", exported(name, recipe).path, *how, *options, "--json")
        return done, json.loads(done.out)["result"] if done.out else None

    return call


@emulates
@pytest.mark.parametrize(("name", "recipe"), CASES)
def test_every_runtime_and_our_kernels_answer_on_an_old_core_and_a_new_one(name, recipe, checked):
    done, (old, new) = checked(name, recipe, "rpi-zero-2w,rpi-5")
    assert done.code == 0
    assert (old["on"], old["emulated_as"], old["part"]) == ("rpi-zero-2w", "cortex-a53", "0xd03")
    assert (new["on"], new["emulated_as"], new["part"]) == ("rpi-5", "cortex-a76", "0xd0b")
    for core in (old, new):
        assert core["emulator"].startswith("QEMU ")
        # Other instructions round otherwise, and that is all.
        assert core["here"]["of_largest_logit"] < (1e-5 if "fp32" in recipe else 0.02)
        assert core["here"]["begins"] is None
        if name == CLASSIFIER:
            assert core["questions"] == core["here"]["questions"] == 10


@emulates
def test_rows_that_are_shared_out_give_what_they_give_one_after_another(checked, monkeypatch):
    found = []
    for cpus in (1, 4):
        monkeypatch.setattr("nf_edge.measure.accuracy.cores.allowed_cpus", lambda cpus=cpus: cpus)
        found += checked(CLASSIFIER, "onnx-int8-dynamic", "rpi-5")[1]
    alone, shared = found
    for side in ("reference", "artifact"):
        assert alone[side] == shared[side]
    assert alone["kl"] == pytest.approx(shared["kl"], rel=1e-3)
    assert alone["here"]["questions"] == shared["here"]["questions"]


@emulates
def test_people_get_a_row_a_core_and_what_stands_in_for_it(run, exported, checkpoint, rows):
    name, recipe = CLASSIFIER, "onnx-fp32"
    how = (
        "--data",
        rows(checkpoint(name)),
        "--reference",
        checkpoint(name).path,
        "--on",
        "rpi-zero-2w,pixel-8",
    )
    done = run("check", exported(name, recipe).path, *how)
    assert done.code == 0
    for line in ("rpi-zero-2w", "pixel-8 Cortex-X3", "pixel-8 Cortex-A715", "pixel-8 Cortex-A510"):
        assert f" {line} " in done.out
    assert "answers are the core's, times are not" in done.out
    assert "no limit was given, so the accuracy was not judged" in done.out


@emulates
def test_where_a_core_computes_otherwise_the_gate_fails_and_the_instruction_is_named(checked):
    core = emulated_cores(["max"])[0]
    if not sme_fault(core.emulator, core.cpu):
        pytest.skip("this QEMU computes SME's products of int8 right")
    done, (broken, right) = checked("wide-cls", "xnnpack-8da8w", "max,max:sme=off", "--max-drop", "0")
    assert done.code == 5
    assert "SMOPA" in broken["note"]
    assert broken["here"]["begins"]["operator"].startswith("delegate XnnpackBackend, call ")
    assert broken["here"]["begins"]["off"] > 0.1 > 0.01 > broken["here"]["begins"]["before"]
    assert (right["note"], right["here"]["begins"]) == ("", None)
    assert "on max accuracy drops" in done.err


@emulates
def test_it_writes_the_text_that_it_writes_here(run, exported):
    source = exported("lm-lowrank", "onnx-fp32").path
    here, there = (
        run("generate", source, "3 1 4", "--ids", "--max-tokens", "5", *on) for on in ((), ("--on", "rpi-5"))
    )
    assert here.code == there.code == 0
    assert here.out == there.out


@emulates
def test_its_heap_is_told_as_emulated_and_the_emulators_pages_are_not(run, exported):
    done = run("profile", exported(CLASSIFIER, "xnnpack-fp32").path, "--on", "rpi-5", "--json")
    assert done.code == 0
    result = json.loads(done.out)["result"]
    lines = {line["name"]: line for line in result["process"]}
    assert lines["arenas"]["measured"]["how"] == "emulated"
    assert lines["arenas"]["measured"]["value"] == lines["arenas"]["planned"]["value"]
    assert lines["weights and graph in heap"]["measured"]["value"] > 0
    assert lines["process"]["measured"]["how"] == "unavailable"
    assert "rpi-5, emulated as cortex-a76 by QEMU" in result["machine"]


@emulates
def test_inspect_loads_it_there_and_says_when_it_does_not(run, exported, tmp_path):
    artifact = exported(CLASSIFIER, "onnx-fp32").path
    done = run("inspect", artifact, "--on", "rpi-5", "--json")
    (*_, load) = json.loads(done.out)["result"]["loads"]
    assert load["where"].startswith("onnxruntime on rpi-5, emulated as cortex-a76 by QEMU")
    assert load["problem"] == ""


@emulates
@pytest.mark.parametrize(
    ("command", "on", "code", "says"),
    [
        ("inspect", "rpi-6", 3, "--on rpi-6: is neither a device nor a core of the installed QEMU"),
        ("inspect", "rpi-pico-2", 3, "rpi-pico-2 has Cortex-M33; only Linux programs on Arm's Cortex-A"),
        ("inspect", "intel-n100-4gb", 3, "intel-n100-4gb has Gracemont"),
        ("profile", "rpi-5,rpi-4b", 2, "give one device"),
    ],
)
def test_what_cannot_be_emulated_is_refused(command, on, code, says, run, exported):
    done = run(command, exported(CLASSIFIER, "onnx-fp32").path, "--on", on)
    assert (done.code, done.out) == (code, "")
    assert says in done.err


@pytest.mark.parametrize(
    ("program", "command"),
    [
        ("qemu-aarch64", "apt-get install qemu-user-static"),
        ("aarch64-linux-gnu-g++", "apt-get install g++-aarch64-linux-gnu"),
    ],
)
def test_what_is_missing_is_exit_6_with_the_command_that_gets_it(
    program, command, run, exported, monkeypatch
):
    if program != "qemu-aarch64" and emulation_missing():
        pytest.skip(emulation_missing())
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name.startswith(program) else which(name))
    done = run("inspect", exported(CLASSIFIER, "onnx-fp32").path, "--on", "rpi-5")
    assert (done.code, done.out) == (6, "")
    assert command in done.err


@emulates
def test_libraries_that_were_not_fetched_are_exit_6_with_the_command_that_does(
    run, exported, tmp_path, monkeypatch
):
    artifact = exported(CLASSIFIER, "onnx-fp32").path
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    done = run("generate", exported("lm-lowrank", "onnx-fp32").path, "3", "--ids", "--on", "rpi-5")
    assert (done.code, done.out) == (6, "")
    assert "nf-edge doctor --fix emulation" in done.err
    done = run("doctor", "--json")
    found = {finding["name"]: finding for finding in json.loads(done.out)["result"]}
    assert not found["emulated cores, onnxruntime"]["ok"]
    assert artifact.is_dir()


@pytest.mark.parametrize(
    ("known", "wanted"),
    [
        (
            {"cortex-a53", "cortex-a76", "max"},
            ["cortex-a76", "cortex-a53", "max,sme=off,sve-max-vq=1", "max,sme=off,sve=off"],
        ),
        (
            {"cortex-a53", "cortex-a55", "cortex-a76", "cortex-a510", "max"},
            ["cortex-a55", "cortex-a53", "cortex-a510", "cortex-a510"],
        ),
    ],
)
def test_a_core_that_qemu_lacks_is_replaced_by_one_of_the_same_instructions(
    known, wanted, tmp_path, monkeypatch
):
    qemu = Emulator(tmp_path, "0", frozenset(known), tmp_path)
    monkeypatch.setattr(cores, "emulator", lambda: qemu)
    found = {
        core.name: core for core in emulated_cores(["imx93-evk", "rpi-zero-2w", "pixel-8", "galaxy-s23"])
    }
    names = ["imx93-evk", "rpi-zero-2w", "pixel-8 Cortex-A510", "galaxy-s23 Cortex-A510"]
    assert [found[name].cpu for name in names] == wanted
    # The libraries hear of the device's own core in any case.
    assert [f"{found[name].part:x}" for name in names] == ["d05", "d03", "d46", "d46"]
    own = {"imx93-evk": "cortex-a55", "rpi-zero-2w": "cortex-a53"}
    for name, cpu in own.items():
        assert (found[name].note == "") == (found[name].cpu == cpu)


@pytest.mark.parametrize(("rows", "workers"), [(1, 3), (7, 1), (64, 3), (65, 2)])
def test_every_row_is_predicted_once_and_stays_in_order(rows, workers):
    parts = Parts(rows, 8, "run", None, Total(silent, "", rows))

    def predict(part, progress):
        numbers = np.arange(part.stop - part.start)
        truth = numbers + part.start
        side = Predictions(truth, truth.astype(float))
        return PairedPredictions(numbers, truth, side, side, truth.astype(float)).to_arrays()

    side_by_side([partial(parts.work, predict)] * workers)
    joined = parts.predictions
    assert joined.row.tolist() == joined.truth.tolist() == list(range(rows))


def test_clusters_of_one_kind_of_core_are_that_core(tmp_path, monkeypatch):
    monkeypatch.setattr(cores, "emulator", lambda: Emulator(tmp_path, "0", frozenset({"max"}), tmp_path))
    parts = {core.name: f"{core.part:x}" for core in emulated_cores(["galaxy-s24"])}
    assert parts["galaxy-s24 Cortex-A720 (fast)"] == parts["galaxy-s24 Cortex-A720 (slow)"] == "d81"


def test_logits_that_are_no_numbers_are_as_far_off_as_can_be():
    found = LocalDifference()
    found.note(np.array([[1.0, 2.0]]), np.array([[1.0, 2.5]]))
    assert (found.share, found.flips) == (0.2, 0)
    found.note(np.array([[np.nan, 2.0]]), np.array([[1.0, 2.0]]))
    assert (found.share, found.flips, found.questions) == (np.inf, 1, 2)


@emulates
def test_the_prediction_for_a_core_agrees_with_the_memory_on_it(tmp_path):
    job = Job.of(resolve_checkpoint("digits"), load_recipe("nf-int8"), None)
    runnable = job.runnable(tmp_path / job.backend.model_file)
    lower(job, runnable.file)
    report = profile_model(runnable, None, *emulated_cores(["rpi-zero-2w"]))
    assert report.processor == "rpi-zero-2w: arm64 (neon), 1 thread"
    parts = {part.name: part for part in report.process}
    # The prediction is for pages, but the counters of an emulated core leave out the rest of each page.
    for name, share, pages in (("weights and graph in heap", 0.05, 50_000), ("workspace", 0.02, 0)):
        predicted, emulated = parts[name].predicted.value, parts[name].measured
        assert emulated.how == "emulated"
        assert (1 - share) * emulated.value <= predicted <= (1 + share) * emulated.value + pages, name
    assert parts["arenas"].predicted.value == parts["arenas"].measured.value
