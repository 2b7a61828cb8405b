"""`nf-edge export`: what a user finds at OUT, what is printed, and what a failure leaves behind."""

import hashlib
import json
import re
import shutil

import numpy as np
import pytest
from conftest import TESTS
from tokenizers import Tokenizer, models

from nf_edge.backends import backend_for
from nf_edge.backends.onnx.cpu import OnnxCpu
from nf_edge.core import resources
from nf_edge.measure.accuracy.paired_rows import PairedRows
from nf_edge.measure.accuracy.predict import predict_both
from nf_edge.model.data.rows import Row, Rows

CASE = TESTS / "cases" / "cls-lowrank-last-padded"
FILES = {"model.onnx", "manifest.json", "RUN.md", "report.html"}


@pytest.fixture
def export(run, tmp_path, monkeypatch):
    """Call `nf-edge export`, by onnx-fp32 and to tmp_path/out where nothing else is said."""
    # Paths in the messages stay short, and nothing can be written beside the checkout.
    monkeypatch.chdir(tmp_path)

    def call(*options, source=CASE, recipe="onnx-fp32", out="out"):
        return run("export", source, "--recipe", recipe, "-o", tmp_path / out, *options)

    return call


@pytest.fixture
def artifact(exported, tmp_path):
    """A copy of an artifact at tmp_path/out."""
    return shutil.copytree(exported("cls-lowrank-last-padded", "onnx-fp32").path, tmp_path / "out")


def content(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def manifest_of(folder):
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


def result_of(finished):
    """The result of a --json command whose stdout is that one document."""
    document = json.loads(finished.out)
    assert document["schema"] == "nf-edge/1"
    assert document["command"] == "export"
    return document["result"]


def first_line(finished):
    """The error that a user sees, whole."""
    return finished.err[finished.err.index("nf-edge: ") :]


@pytest.mark.parametrize(
    ("recipe", "model"), [("onnx-fp32", "model.onnx"), ("xnnpack-fp32", "model.pte")], ids=["onnx", "pte"]
)
def test_an_artifact_has_the_model_its_manifest_and_how_to_run_it(recipe, model, exported):
    artifact = exported("cls-lowrank-last-padded", recipe)
    assert {path.name for path in artifact.path.iterdir()} == {*FILES - {"model.onnx"}, model}
    manifest, file = manifest_of(artifact.path), artifact.path / model
    assert manifest["status"] == "pass"
    assert manifest["model"] == {
        "name": model,
        "bytes": file.stat().st_size,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }
    weights = (CASE / "model.safetensors").read_bytes()
    assert manifest["checkpoint"]["sha256"] == hashlib.sha256(weights).hexdigest()
    report = (artifact.path / "report.html").read_text(encoding="utf-8")
    assert manifest["model"]["sha256"] in report
    assert "measured" in report


def test_the_report_is_one_page_that_fetches_nothing(exported):
    report = (exported("cls-lowrank-last-padded", "onnx-fp32").path / "report.html").read_text(
        encoding="utf-8"
    )
    assert report.count("<svg") == report.count("</svg>") >= 2
    for fetching in ("<script", "<link", "<img", "@import", "url(http", 'src="'):
        assert fetching not in report


def test_the_report_has_colours_for_light_and_dark(exported):
    report = (exported("cls-lowrank-last-padded", "onnx-fp32").path / "report.html").read_text(
        encoding="utf-8"
    )
    light, _, dark = report.partition("@media (prefers-color-scheme: dark)")
    used = set(re.findall(r"var\(--([a-z-]+)\)", report))
    assert len(used) > 10
    for name in used:
        assert f"--{name}: #" in light
        assert f"--{name}: #" in dark
    # A colour without a variable would be the same in the dark.
    charts = re.findall(r"<svg.*?</svg>", report, re.DOTALL)
    assert not [chart for chart in charts if re.search(r"(fill|stroke): #", chart)]


def test_every_chart_of_the_report_has_a_text_for_screen_readers(exported):
    report = (exported("wide-cls", "xnnpack-8da8w").path / "report.html").read_text(encoding="utf-8")
    labels = re.findall(r'<svg role="img" aria-label="([^"]*)"', report)
    assert len(labels) == report.count("<svg") >= 4
    assert any("peak of the arena" in label for label in labels)
    assert "Tensors at the peak" in report


def test_the_manifest_tells_an_application_how_to_call_the_model(exported):
    interface = manifest_of(exported("cls-lowrank-last-padded", "onnx-fp32").path)["interface"]
    assert interface["task"] == "classification"
    assert interface["inputs"] == ["input_ids", "attention_mask"]
    assert (interface["input_dtype"], interface["output_dtype"]) == ("int64", "float32")
    assert interface["output_shape"] == ["batch", 3]
    assert (interface["length"], interface["dynamic_length"]) == (10, True)
    interface = manifest_of(exported("lm-none", "onnx-fp32").path)["interface"]
    assert (interface["task"], interface["output_shape"]) == ("language modelling", [1, 1, 19])


def test_export_tells_where_the_artifact_is_and_what_it_found(export, tmp_path):
    done = export()
    assert done.code == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    for fact in ("model.onnx", "RUN.md", "report.html", "synthetic", "100.0 % give the same answer", "MB"):
        assert fact in done.out
    assert "comparing tokenizers" not in done.err  # the model has none
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_tokenizer_goes_with_the_model(export, tmp_path):
    checkpoint = shutil.copytree(CASE, tmp_path / "with-tokenizer")
    tokenizer = Tokenizer(models.WordLevel({str(i): i for i in range(19)}, unk_token="0"))
    tokenizer.save(str(checkpoint / "tokenizer.json"))
    done = export(source=checkpoint)
    assert (done.code, "comparing tokenizers" in done.err) == (0, True)
    out = tmp_path / "out"
    assert (out / "tokenizer.json").read_bytes() == (checkpoint / "tokenizer.json").read_bytes()
    assert manifest_of(out)["interface"]["tokenizer"] == "tokenizer.json"
    assert "tokenizer.json" in (out / "RUN.md").read_text(encoding="utf-8")


def test_json_is_one_document_and_what_the_manifest_has(export, tmp_path):
    done = export("--json", "--device", "rpi-zero-2w")
    result = result_of(done)
    manifest = manifest_of(tmp_path / "out")
    assert result == {"path": str(tmp_path / "out"), **manifest}
    assert manifest["reports"]["memory"]["verdict"]["outcome"] == "fits"


def test_an_existing_out_is_refused_before_the_work(export, artifact, monkeypatch):
    monkeypatch.setattr(OnnxCpu, "lower", None)
    before = content(artifact)
    done = export()
    assert (done.code, done.out) == (3, "")
    assert "--overwrite" in done.err
    assert content(artifact) == before


def test_overwrite_replaces_an_artifact_whole(export, artifact, tmp_path):
    assert export("--overwrite", source=TESTS / "cases" / "cls-standard-padded").code == 0
    assert {path.name for path in artifact.iterdir()} == FILES
    assert manifest_of(artifact)["checkpoint"]["name"] == "cls-standard-padded"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("options", [[], ["--overwrite"]])
def test_a_folder_that_is_not_ours_is_never_replaced(options, export, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    done = export(*options)
    assert done.code == 3
    assert "exists and is not an artifact" in done.err
    assert content(tmp_path / "out").popitem()[1] == b"years of work"


def test_over_budget_is_exit_4_with_the_report_and_nothing_placed(export, cramped, tmp_path):
    done = export("--device", cramped)
    assert done.code == 4
    assert "OVER BUDGET on cramped" in done.out
    assert "does not fit cramped" in first_line(done)
    assert "1.05 MB are allowed" in first_line(done)
    assert "Artifact" not in done.out
    assert list(tmp_path.iterdir()) == [cramped]


def test_over_budget_leaves_the_artifact_that_was_there(export, artifact, cramped):
    before = content(artifact)
    assert export("--device", cramped, "--overwrite").code == 4
    assert content(artifact) == before


def test_keep_places_what_is_over_budget_marked_as_failed(export, cramped, tmp_path):
    done = export("--device", cramped, "--keep")
    assert done.code == 4
    assert manifest_of(tmp_path / "out")["status"] == "fail"
    assert '<span class="badge fail">fail</span>' in (tmp_path / "out" / "report.html").read_text(
        encoding="utf-8"
    )


def test_json_of_a_failing_export_is_one_document(export, cramped):
    done = export("--device", cramped, "--json")
    assert done.code == 4
    result = result_of(done)
    assert (result["path"], result["status"]) == (None, "fail")
    assert result["reports"]["memory"]["verdict"]["outcome"] == "over budget"


@pytest.fixture
def close_calls(checkpoint, exported, tmp_path):
    """Data that the checkpoint answers right and its int8 artifact does not, in each row."""
    the_checkpoint = checkpoint("wide-cls")
    artifact = exported("wide-cls", "onnx-int8-dynamic")
    config, generator = the_checkpoint.config, np.random.default_rng(0)
    rows = [Row(tuple(generator.integers(config.vocab_size, size=6).tolist()), None) for _ in range(1500)]
    session = backend_for(artifact.manifest.recipe).session(artifact.model_file)
    input_shape = artifact.manifest.interface.input_shape
    paired = PairedRows(Rows(tuple(rows), "synthetic", "", 0))
    answered = predict_both(the_checkpoint.model(), session, input_shape, paired)
    lines = [
        json.dumps({"input_ids": list(row.input_ids), "label": int(label)})
        for row, label, answer in zip(
            rows, answered.reference.predicted, answered.artifact.predicted, strict=True
        )
        if label != answer
    ]
    assert lines, "no row flips: draw more of them"
    path = tmp_path / "close-calls.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_beyond_the_accuracy_limit_is_exit_5_and_nothing_placed(export, checkpoint, close_calls, tmp_path):
    source, recipe = checkpoint("wide-cls").path, "onnx-int8-dynamic"
    done = export("--data", close_calls, source=source, recipe=recipe)
    assert done.code == 5
    assert "FAILS the accuracy gate" in done.out
    assert "accuracy drops by 100.00 points, more than the 1 allowed" in first_line(done)
    assert list(tmp_path.iterdir()) == [close_calls]

    done = export("--data", close_calls, "--max-drop", "100", source=source, recipe=recipe)
    assert done.code == 0
    accuracy = manifest_of(tmp_path / "out")["reports"]["accuracy"]
    assert (accuracy["drop"], accuracy["max_drop"]) == (100, 100)
    assert accuracy["data_sha256"] == hashlib.sha256(close_calls.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("options", "known"),
    [
        ({"recipe": "xnnpack-fp23"}, "xnnpack-fp32"),
        ({"source": "no-such-model"}, "no-such-model: no such checkpoint"),
        ({"device": "rpi-6"}, "rpi-zero-2w"),
    ],
    ids=["recipe", "checkpoint", "device"],
)
def test_an_unknown_name_is_exit_3_and_names_the_known_ones(options, known, export):
    device = ["--device", options.pop("device")] if "device" in options else []
    done = export(*device, **options)
    assert (done.code, done.out) == (3, "")
    assert known in done.err
    assert "one of: " in done.err
    assert "Traceback" not in done.err


def test_a_device_that_takes_no_such_backend_is_told_before_the_work(export, tmp_path, monkeypatch):
    monkeypatch.setattr(OnnxCpu, "lower", lambda *_: pytest.fail("it was lowered all the same"))
    done = export("--device", "stm32h747i-disco")
    assert (done.code, done.out) == (3, "")
    assert (
        "does not run on stm32h747i-disco: the device supports cortex_m, but the recipe uses onnx_cpu"
        in done.err
    )
    assert list(tmp_path.iterdir()) == []


def test_a_batch_that_a_pte_cannot_have_is_refused_with_the_reason(export, tmp_path):
    text = (resources.folder("recipes") / "xnnpack-fp32.yaml").read_text(encoding="utf-8")
    recipe = tmp_path / "batched.yaml"
    recipe.write_text(text.replace("xnnpack-fp32", "batched") + "shapes: {batch: dynamic}\n")
    done = export(recipe=recipe)
    assert (done.code, done.out) == (3, "")
    assert "has no dynamic batch" in done.err


def test_more_tokens_than_positions_are_refused_with_both_numbers(export, tmp_path):
    text = (resources.folder("recipes") / "onnx-fp32.yaml").read_text(encoding="utf-8")
    recipe = tmp_path / "long.yaml"
    recipe.write_text(text.replace("onnx-fp32", "long") + "  length: 11\n")
    done = export(recipe=recipe)
    assert done.code == 3
    assert "shapes.length is 11, but the model has only 10 positions" in done.err


def test_a_fixed_length_is_the_only_one_that_the_file_takes(export, tmp_path):
    text = (resources.folder("recipes") / "onnx-fp32.yaml").read_text(encoding="utf-8")
    recipe = tmp_path / "seven.yaml"
    recipe.write_text(text.replace("onnx-fp32", "seven") + "  length: 7\n")
    assert export(recipe=recipe).code == 0
    manifest = manifest_of(tmp_path / "out")
    assert (manifest["interface"]["length"], manifest["interface"]["dynamic_length"]) == (7, False)
    session = OnnxCpu().session(tmp_path / "out" / "model.onnx")
    seven = np.zeros((1, 7), dtype=np.int64)
    assert session.run(seven, np.ones_like(seven)).shape == (1, 3)
    with pytest.raises(Exception, match=r"Expected: 7"):
        session.run(seven[:, :6], np.ones_like(seven[:, :6]))


@pytest.mark.parametrize("json_option", [[], ["--json"]])
def test_an_interrupted_export_leaves_what_was_there(json_option, export, artifact, tmp_path, monkeypatch):
    before = content(artifact)

    def interrupted(self, program, config, input_shape, recipe, path):
        path.write_bytes(b"half a mod")
        raise KeyboardInterrupt

    monkeypatch.setattr(OnnxCpu, "lower", interrupted)
    done = export("--overwrite", *json_option)
    assert done.code == 130
    assert "interrupted" in done.err
    assert content(artifact) == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_failing_export_leaves_what_was_there(export, artifact, tmp_path, monkeypatch):
    before = content(artifact)

    def out_of_space(self, program, config, input_shape, recipe, path):
        path.write_bytes(b"half a mod")
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(OnnxCpu, "lower", out_of_space)
    done = export("--overwrite")
    assert (done.code, done.out) == (3, "")
    assert "No space left on device" in done.err
    assert content(artifact) == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_fp32_artifact_that_is_off_from_pytorch_is_not_placed(export, tmp_path, monkeypatch):
    lower = OnnxCpu.lower

    def wrong(self, program, *rest):
        program.score.weight.data *= 1.001
        return lower(self, program, *rest)

    monkeypatch.setattr(OnnxCpu, "lower", wrong)
    done = export()
    assert done.code == 5
    assert "logits differ from PyTorch's by 0.001 of the largest logit, more than the 0.0001" in done.err
    assert list(tmp_path.iterdir()) == []
