"""`check --stages`: the accuracy after each step of an export, and the step that loses most."""

import json
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from conftest import calibration_rows
from test_layers import with_other_scale

import nf_edge
from nf_edge.core.recipe.prune import Compression
from nf_edge.core.recipe.recipe import load_recipe
from nf_edge.measure.accuracy import check
from nf_edge.measure.accuracy.cores import CoresReport, OnCore
from nf_edge.measure.accuracy.local_difference import LocalDifference
from nf_edge.measure.accuracy.same_file import SameFile
from nf_edge.measure.emulation import EmulatedCore, Emulator
from nf_edge.model import load_checkpoint, save_checkpoint
from nf_edge.pipeline import lowered_again
from nf_edge.pipeline import stages as job
from nf_edge.pipeline.export import export
from nf_edge.pruning.provenance import write_provenance
from nf_edge.render.cores import cores_parts

FILE_STAGES = [
    "pruned and recovered",
    "exported graph",
    "quantized weights",
    "quantized program",
    "artifact",
]


def checked(run, folder, *options):
    done = run("check", folder, "--data", "digits:test", "--limit", 40, "--json", *options)
    assert done.code in (0, 5), done.err
    return json.loads(done.out)["result"]


def by_name(report):
    return {stage["stage"]: stage for stage in report["stages"]}


@pytest.fixture(scope="module")
def artifact(exported):
    return exported("digits", "onnx-int8-dynamic")


def test_the_stages_are_those_that_the_backend_makes_and_others_have_a_reason(artifact, run):
    result = checked(run, artifact.path, "--stages")
    report = result.pop("stages")
    assert result == checked(run, artifact.path)
    assert [stage["stage"] for stage in report["stages"]] == FILE_STAGES
    assert report["lowered_again"]["same_files"] is True
    stages = by_name(report)
    assert stages["pruned and recovered"]["skipped"] == "the checkpoint was not pruned"
    assert "PyTorch has no quantized program" in stages["quantized program"]["skipped"]
    # The last stage is the artifact, whose figures are those of the check.
    last = stages["artifact"]["from_fp32"]
    assert last["kl"] == pytest.approx(result["kl"], rel=1e-4)
    assert last["metrics"]["accuracy"]["artifact"] == result["metrics"]["accuracy"]["artifact"]
    # The float graph loses nothing; weights and activations lose something.
    assert stages["exported graph"]["from_fp32"]["largest_logit_error"] < 1e-4
    assert stages["quantized weights"]["from_previous"]["kl"] > 1e-7
    assert stages["artifact"]["previous"] == "quantized weights"
    assert report["lost_most"] in ("quantized weights", "artifact")


@pytest.mark.slow
def test_with_float_activations_the_weights_lose_all_that_the_artifact_loses(exported):
    report = nf_edge.check_stages(exported("digits", "onnx-int4"), "digits:test", limit=40)
    results = {result.stage.name: result for result in report.results}
    assert report.worst.stage.name == "quantized weights"
    assert results["artifact"].from_previous.change < 1e-9
    assert results["artifact"].from_fp32.change == pytest.approx(
        results["quantized weights"].from_fp32.change, rel=1e-3
    )


def test_a_file_that_the_recipe_does_not_give_is_the_stage_that_loses_most_and_the_report_says_so(
    artifact, run, tmp_path
):
    layer = "transformer.h.1.mlp.c_fc"
    damaged = with_other_scale(artifact, layer, tmp_path / "damaged")
    done = run("check", damaged, "--data", "digits:test", "--limit", 40, "--stages")
    assert done.code == 5
    assert "export the artifact again" in done.err
    assert "the stage that lost most: artifact" in done.out
    assert "NOT the same: lowering again gives another model.onnx" in done.out


@pytest.mark.slow
@pytest.mark.parametrize("explanation", ["--stages", "--layers"])
def test_a_file_that_the_recipe_does_not_give_passes_nowhere(artifact, run, tmp_path, explanation):
    damaged = with_other_scale(artifact, "transformer.h.1.mlp.c_fc", tmp_path / "damaged")
    junit, summary, page = (tmp_path / name for name in ("junit.xml", "summary.md", "page.html"))
    data = ("--data", "digits:test", "--limit", 40, "--max-drop", 90)
    assert run("check", damaged, *data).code == 0  # its accuracy alone is within the limit
    files = ("--junit", junit, "--summary", summary, "--html", page)
    done = run("check", damaged, *data, *files, explanation)
    assert done.code == 5
    assert "FAILS the accuracy gate" in done.out
    assert "PASSES" not in done.out
    failures = ElementTree.parse(junit).getroot().findall(".//failure")
    assert ["not what its recipe gives" in failure.get("message") for failure in failures] == [True]
    assert summary.read_text(encoding="utf-8").startswith("## damaged: FAILS")
    assert "the gate fails" in page.read_text(encoding="utf-8")
    assert checked(run, damaged, explanation, "--max-drop", 90)["passed"] is False


def test_a_caller_of_check_stages_gets_the_failure_of_a_file_that_the_recipe_does_not_give(
    artifact, tmp_path
):
    damaged = with_other_scale(artifact, "score", tmp_path / "damaged")
    assert nf_edge.check_stages(artifact, "digits:test", limit=8).failure is None
    failure = nf_edge.check_stages(damaged, "digits:test", limit=8).failure
    assert "not what its recipe gives" in failure.what


def test_a_file_that_the_recipe_does_not_give_passes_on_no_core(artifact):
    accuracy = nf_edge.check(artifact, "digits:test", limit=40, max_drop=90)
    qemu = Emulator(Path("qemu"), "7.2.0", frozenset(), Path("libc"))
    core = EmulatedCore("board: Cortex-A53", "cortex-a53", 0xD03, frozenset(), "", qemu)
    report = CoresReport((OnCore(core, accuracy, LocalDifference(task="classification"), None),))
    assert report.passed
    report = report.with_lowered_again(SameFile(False, "another file"))
    assert [each.accuracy.passed for each in report.cores] == [False]
    assert report.failure.fix == "export the artifact again"
    assert "not what its recipe gives" in cores_parts(report)[1].lines[-1]


@pytest.mark.slow
def test_both_explanations_lower_the_checkpoint_once(artifact, run, monkeypatch):
    lowered = []
    lower = lowered_again.lower
    monkeypatch.setattr(lowered_again, "lower", lambda *given: lowered.append(1) or lower(*given))
    both = checked(run, artifact.path, "--stages", "--layers")
    assert lowered == [1]
    assert both["layers"]["rows"] == 40
    # The stages replace weights, but not in the network that the layers are compared with.
    assert both["layers"]["layers"] == checked(run, artifact.path, "--layers")["layers"]["layers"]


def test_other_calibration_rows_than_the_exports_are_refused(exported, run, tmp_path, monkeypatch):
    artifact = exported("digits", "onnx-int8-qdq")
    other = tmp_path / "other.jsonl"
    examples = nf_edge.load_checkpoint("digits").examples_file.read_text(encoding="utf-8")
    other.write_text("".join(examples.splitlines(keepends=True)[1:]), encoding="utf-8")
    data = ("--data", "digits:test", "--limit", 40)
    # They are refused before any model runs.
    monkeypatch.setattr(check, "predict_file", None)
    done = run("check", artifact.path, *data, "--stages", "--calibrate", other)
    assert done.code == 3
    assert f"not the rows that {artifact.path} was calibrated on" in done.err
    assert "--calibrate" in done.err


@pytest.fixture(scope="module")
def pruned(tmp_path_factory):
    """A checkpoint with a record that it was made of `digits`, and its artifact."""
    folder = tmp_path_factory.mktemp("pruned")
    original = nf_edge.load_checkpoint("digits")
    tensors = {name: tensor.clone() for name, tensor in original.tensors.items()}
    tensors["transformer.h.1.mlp.c_proj.weight"] *= 0.5
    save_checkpoint(folder / "small", original.config, tensors)
    shutil.copy(original.examples_file, folder / "small")
    identity = original.identity
    sizes = {"parameters": 1, "vocabulary": 1, "layers": []}
    report = {"before": sizes, "after": sizes, "faithfulness": None}
    record = {"recipe": "mine", "prune": None, "recover": None, "original": "digits", "report": report}
    record |= {"original_sha256": identity.weights_sha256, "original_config": identity.config}
    record |= {"original_tokenizer_sha256": identity.tokenizer_sha256}
    write_provenance(Compression.model_validate(record), folder / "small")
    export(load_checkpoint(folder / "small"), load_recipe("onnx-fp32"), folder / "artifact", keep=True)
    return folder


@pytest.mark.slow
def test_pruning_is_a_stage_if_the_original_and_the_pruned_checkpoint_are_given(pruned, run):
    both = ("--reference", "digits", "--pruned", pruned / "small")
    report = checked(run, pruned / "artifact", "--stages", *both)["stages"]
    stages = by_name(report)
    assert report["lost_most"] == "pruned and recovered"
    assert stages["pruned and recovered"]["from_previous"]["kl"] > 1e-4
    assert stages["artifact"]["from_previous"]["largest_logit_error"] < 1e-4
    assert stages["quantized weights"]["skipped"] == "the recipe quantizes nothing"


@pytest.mark.slow
def test_without_the_pruned_checkpoint_its_stages_are_skipped_and_say_what_to_give(pruned, run):
    report = checked(run, pruned / "artifact", "--stages", "--reference", "digits")["stages"]
    assert [stage["stage"] for stage in report["stages"] if not stage["skipped"]] == ["artifact"]
    assert "--pruned" in by_name(report)["exported graph"]["skipped"]
    assert report["lowered_again"]["same_files"] is None


@pytest.mark.slow
def test_another_checkpoint_than_the_exported_one_is_refused(pruned, run, case, monkeypatch):
    monkeypatch.setattr(check, "predict_file", None)  # it is refused before any model runs
    data = ("--data", "digits:test", "--stages", "--reference", "digits")
    done = run("check", pruned / "artifact", *data, "--pruned", case("cls-multi-label"))
    assert done.code == 3
    assert "is not the checkpoint that" in done.err
    assert "--pruned" in done.err


def test_options_of_explanations_need_an_explanation(run, tmp_path):
    done = run("check", tmp_path, "--data", "digits:test", "--html", tmp_path / "page.html")
    assert done.code == 2
    assert "need --stages or --layers" in done.err


@pytest.mark.slow
def test_the_page_has_a_plot_of_the_stages_and_one_of_the_layers(artifact, run, tmp_path):
    page = tmp_path / "page.html"
    checked(run, artifact.path, "--stages", "--layers", "--html", page)
    text = page.read_text(encoding="utf-8")
    plots = ["<svg" + part.partition("</svg>")[0] + "</svg>" for part in text.split("<svg")[1:]]
    assert len(plots) == 2
    stages, layers = ("".join(ElementTree.fromstring(plot).itertext()) for plot in plots)
    assert "quantized weights" in stages
    assert "h.1.mlp.c_fc" in layers
    assert "<script" not in text
    again = run("check", artifact.path, "--data", "digits:test", "--stages", "--html", page)
    assert again.code == 3
    assert "already exists" in again.err


def test_a_quantized_program_predicts_what_its_file_predicts(exported):
    artifact = exported("digits", "xnnpack-8da8w")
    report = nf_edge.check_stages(artifact, "digits:test", limit=20)
    results = {result.stage.name: result for result in report.results}
    assert list(results) == ["quantized weights", "quantized program", "exported graph", "artifact"]
    assert report.lowered_again.same is True
    assert results["exported graph"].from_previous.change < 1e-9
    # The runtime's kernels differ from PyTorch's by rounding.
    assert results["artifact"].from_previous.change < results["quantized program"].from_fp32.change
    assert report.worst.stage.name in ("quantized weights", "quantized program")


@pytest.mark.slow
def test_a_language_model_with_a_cache_has_stages_with_a_perplexity(exported):
    artifact = exported("eight-pairwise", "onnx-int8-dynamic")
    checkpoint = nf_edge.load_checkpoint(artifact.path.parent.parent / "checkpoints" / "eight-pairwise")
    rows = calibration_rows(checkpoint)
    report = nf_edge.check_stages(artifact, rows, reference=checkpoint.path)
    assert report.unit == "tokens"
    assert [result.from_fp32.main.metric.name for result in report.results] == ["perplexity"] * 3


@pytest.mark.slow
def test_an_emulated_core_is_the_last_stage(artifact, monkeypatch):
    core = EmulatedCore("board: Cortex-A53", "cortex-a53", 0xD03, frozenset(), "", None)
    # The file runs on this machine in the emulator's place.
    monkeypatch.setattr(job, "load", lambda core, runnable: runnable.load())
    report = nf_edge.check_stages(artifact, "digits:test", [core], limit=10)
    assert report.results[-1].stage.name == "on board: Cortex-A53"
    assert report.results[-1].from_previous.logit_error == 0
