"""An artifact is what was exported, file for file: whatever is changed in its folder, no verb uses it."""

import dataclasses
import hashlib
import json
import os
import shutil

import pytest
from conftest import edit_manifest, save_text_model

from nf_edge.artifact import load_artifact, reference_of
from nf_edge.artifact.entries import (
    AcceleratorEntry,
    CoverageFields,
    FigureFields,
    KindEntry,
    LeftEntry,
    ModuleEntry,
)
from nf_edge.artifact.manifest import failed_gates
from nf_edge.backends.coverage.coverage import Coverage, Left
from nf_edge.backends.lowering_report import Estimate, Kind
from nf_edge.backends.onnx.cpu import OnnxCpu
from nf_edge.core.errors import BadInput
from nf_edge.core.figures import Figure
from nf_edge.core.reading import sha256
from nf_edge.core.recipe.recipe import load_recipe
from nf_edge.measure.memory.verdict import Share, Verdict
from nf_edge.model import load_checkpoint
from nf_edge.pipeline.export import export
from nf_edge.quantization.layer_report import LayerReport

TEXT = "the cat sat on the mat, and the dog on the log. "


@pytest.fixture(scope="module")
def text_model(tmp_path_factory):
    """A checkpoint of a small language model of text."""
    folder = tmp_path_factory.mktemp("text-model")
    return save_text_model(folder, [TEXT] * 3, 280, noise={"kind": "lowrank", "rank": 2})


@pytest.fixture(scope="module")
def whole(text_model, tmp_path_factory):
    """Its artifact, which has a tokenizer and files for other runtimes beside the model file."""
    place = tmp_path_factory.mktemp("whole") / "artifact"
    export(text_model, load_recipe("onnx-fp32"), place, keep=True)
    return place


@pytest.fixture
def artifact(whole, tmp_path):
    """A copy, to be changed."""
    return shutil.copytree(whole, tmp_path / "artifact")


def entry(document, name):
    return next(file for file in document["files"] if file["name"] == name)


def earlier(document):
    """As nf-edge wrote it before it listed files."""
    document["schema"] = "nf-edge/artifact/1"
    del document["files"], document["checkpoint"]["tokenizer_sha256"]


def append(path):
    path.write_bytes(path.read_bytes() + b" ")


def replace_by_link(path):
    kept = path.rename(path.parent.parent / path.name)
    path.symlink_to(kept)


def replace_by_pipe(path):
    path.unlink()
    os.mkfifo(path)


def replace_by_folder(path):
    path.unlink()
    path.mkdir()


def set_model(name):
    """Name another file as the model, in both places."""

    def change(folder):
        edit_manifest(
            folder, lambda m: (entry(m, "model.onnx").update(name=name), m["model"].update(name=name))
        )

    return change


def set_entry(**fields):
    return lambda folder: edit_manifest(folder, lambda m: entry(m, "tokenizer.json").update(fields))


def set_key(key, value):
    return lambda folder: edit_manifest(folder, lambda m: m.update({key: value}))


def set_outcome(outcome):
    """Replace the memory verdict's outcome."""
    return lambda folder: edit_manifest(
        folder, lambda m: m["reports"]["memory"].update(verdict={"outcome": outcome})
    )


def key_twice(folder):
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"status": "pass"', '"status": "fail", "status": "pass"'))


# What is done to a folder, and what the refusal names.
CHANGED = {
    **{
        f"{name} is changed": (lambda folder, name=name: append(folder / name), name)
        for name in ("model.onnx", "tokenizer.json", "genai_config.json", "tokenizer_config.json")
    },
    **{
        f"{name} is changed": (lambda folder, name=name: append(folder / name), name)
        for name in ("RUN.md", "report.html")
    },
    "a byte is another": (
        lambda folder: (folder / "tokenizer.json").write_bytes(
            (folder / "tokenizer.json").read_bytes().replace(b"the", b"eht", 1)
        ),
        "tokenizer.json: is not the file that was exported",
    ),
    "two files change places": (
        lambda folder: (
            (folder / "RUN.md").rename(folder / "x"),
            (folder / "report.html").rename(folder / "RUN.md"),
            (folder / "x").rename(folder / "report.html"),
        ),
        "2 problems",
    ),
    "the tokenizer is deleted": (
        lambda folder: (folder / "tokenizer.json").unlink(),
        "tokenizer.json: is missing",
    ),
    "a companion is deleted": (lambda folder: (folder / "genai_config.json").unlink(), "genai_config.json"),
    **{
        f"{name} is added": (lambda folder, name=name: (folder / name).write_bytes(b"{}"), name)
        for name in (
            "model.onnx.data",
            "weights.bin",
            "added_tokens.json",
            "merges.txt",
            "kernels.so",
            "notes",
        )
    },
    "a file of the same name but for case is added": (
        lambda folder: (folder / "Model.onnx").touch(),
        "Model.onnx",
    ),
    "a hidden file is added": (lambda folder: (folder / ".model.onnx").touch(), ".model.onnx"),
    "a folder is added": (
        lambda folder: (folder / "model").mkdir(),
        "artifact/model: is not listed in the manifest",
    ),
    "a link is added": (
        lambda folder: (folder / "x").symlink_to("/etc/passwd"),
        "x: is not listed in the manifest",
    ),
    "a name that is no text is added": (
        lambda folder: (folder / os.fsdecode(b"\xff.bin")).touch(),
        "not listed in the",
    ),
    **{
        f"{name} is a link": (lambda folder, name=name: replace_by_link(folder / name), f"{name}: is a link")
        for name in ("model.onnx", "tokenizer.json", "manifest.json", "RUN.md")
    },
    "the tokenizer is a pipe": (
        lambda folder: replace_by_pipe(folder / "tokenizer.json"),
        "is not a regular file",
    ),
    "the manifest is a pipe": (
        lambda folder: replace_by_pipe(folder / "manifest.json"),
        "is not a regular file",
    ),
    "the tokenizer is a folder": (
        lambda folder: replace_by_folder(folder / "tokenizer.json"),
        "is not a regular",
    ),
}
MANIFESTS = {
    **{
        f"the model is {name!r}": (set_model(name), "name")
        for name in (
            *(
                "../other/model.onnx",
                "/etc/passwd",
                "a/model.onnx",
                "a\\model.onnx",
                "C:model.onnx",
                ".",
                "..",
            ),
            *("", "model.onnx\0", "model.onnx ", "model.onnx\n", ".model.onnx", "модель.onnx", "x" * 300),
        )
    },
    "the model is a file that is not there": (set_model("other.onnx"), "other.onnx"),
    "the model is another file than is listed": (
        lambda folder: edit_manifest(folder, lambda m: m.update(model=entry(m, "RUN.md") | {"bytes": 1})),
        "entry of `model`, RUN.md",
    ),
    "a file is listed twice": (
        lambda f: edit_manifest(f, lambda m: m["files"].append(m["files"][0])),
        "more than once",
    ),
    "a file is listed in another case too": (
        lambda f: edit_manifest(
            f, lambda m: m["files"].append(entry(m, "tokenizer.json") | {"name": "Tokenizer.JSON"})
        ),
        "more than once",
    ),
    "a file is not listed": (
        lambda f: edit_manifest(f, lambda m: m["files"].remove(entry(m, "genai_config.json"))),
        "genai_config.json: is not listed in the manifest",
    ),
    "the tokenizer is not listed": (
        lambda f: edit_manifest(f, lambda m: m["files"].remove(entry(m, "tokenizer.json"))),
        "must have the tokenizer, tokenizer.json",
    ),
    "the manifest lists itself": (
        lambda f: edit_manifest(
            f, lambda m: m["files"].append(entry(m, "RUN.md") | {"name": "manifest.json"})
        ),
        "manifest.json",
    ),
    "no file is listed": (set_key("files", []), "must have the entry of `model`"),
    "there is no list": (set_key("files", None), "files"),
    "another tokenizer is named": (
        lambda f: edit_manifest(f, lambda m: m["interface"].update(tokenizer="../tokenizer.json")),
        "must have the tokenizer",
    ),
    "a checkpoint whose hash is none": (
        lambda f: edit_manifest(f, lambda m: m["checkpoint"].update(sha256="0123")),
        "checkpoint.sha256",
    ),
    **{
        f"{key} is not the checkpoint's": (
            lambda f, key=key, value=value: edit_manifest(f, lambda m: m["interface"].update({key: value})),
            f"interface.{key} must be ",
        )
        for key, value in {
            "task": "classification",
            "pad_token_id": 1,
            "bos_token_id": None,
            "eos_token_id": [0, 1],
            "id2label": {"0": "no"},
        }.items()
    },
    **{
        f"{key} must be the recipe's": (
            lambda f, key=key, value=value: edit_manifest(f, lambda m: m["interface"].update({key: value})),
            "interface must match the recipe and the config",
        )
        for key, value in {"length": 8, "any_batch": True, "dynamic_length": False, "cached": False}.items()
    },
    "a length that the model does not have": (
        lambda f: edit_manifest(f, lambda m: m["recipe"]["shapes"].update(length=10**12)),
        "shapes.length is 1000000000000, but the model has only 16 positions",
    ),
    **{
        f"another {key} of operators": (
            lambda f, key=key: edit_manifest(
                f, lambda m: m["coverage"].update({key: m["coverage"][key] + 1})
            ),
            "must be the sum",
        )
        for key in ("delegated", "total", "macs", "total_macs")
    },
    "a hash in capitals": (
        lambda f: edit_manifest(f, lambda m: m["files"][0].update(sha256="A" * 64)),
        "sha256",
    ),
    "a short hash": (set_entry(sha256="0123"), "sha256"),
    "a hash that is none": (set_entry(sha256="g" * 64), "sha256"),
    "another hash": (set_entry(sha256="0" * 64), "tokenizer.json: is not the file that was exported"),
    "no hash": (set_entry(sha256=None), "sha256"),
    "other bytes": (set_entry(bytes=12), "not 12"),
    **{f"bytes are {value!r}": (set_entry(bytes=value), "bytes") for value in (-1, "12", 12.0, True, None)},
    "bytes of 400 digits": (set_entry(bytes=10**400), "does not fit in 64 bits"),
    "bytes are no number": (set_entry(bytes=float("nan")), "NaN"),
    "status is pass, but the memory is over budget": (set_outcome("over budget"), "fail memory"),
    **{
        f"the memory's outcome is {outcome!r}": (set_outcome(outcome), "reports.memory.verdict.outcome")
        for outcome in ("plenty", None, ["fits"])
    },
    "a report that is gone": (
        lambda f: edit_manifest(f, lambda m: m["reports"].pop("parity")),
        "reports.parity",
    ),
    "a key twice": (key_twice, "occurs twice"),
    "an unknown key": (set_key("trusted", True), "trusted"),
    "a schema to come": (set_key("schema", "nf-edge/artifact/3"), "newer nf-edge"),
    "a schema of a far future": (set_key("schema", "nf-edge/artifact/" + "9" * 5000), "newer nf-edge"),
    "another schema": (set_key("schema", "model/2"), "is not the expected kind of file"),
    "a schema like ours": (set_key("schema", "nf-edge/artifact/two"), "is not the expected kind of file"),
    "no schema": (set_key("schema", None), "is not the expected kind of file"),
    "a list": (lambda f: (f / "manifest.json").write_text("[]"), "is not the expected kind of file"),
}


@pytest.mark.parametrize("attack", [*CHANGED, *MANIFESTS])
def test_a_folder_that_is_not_as_it_was_exported_is_refused(attack, artifact):
    change, says = (CHANGED | MANIFESTS)[attack]
    change(artifact)
    with pytest.raises(BadInput) as refused:
        load_artifact(artifact)
    assert says in str(refused.value)


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "ARTIFACT", "--data", "x.tsv"),
        ("check", "ARTIFACT", "--data", "x.tsv", "--on", "rpi-5"),
        ("profile", "ARTIFACT"),
        ("bench", "ARTIFACT"),
        ("bench", "WHOLE", "--against", "ARTIFACT"),
        ("generate", "ARTIFACT", "the cat"),
        ("inspect", "ARTIFACT"),
        ("sign", "ARTIFACT", "--key", "x.pem"),
        ("verify", "ARTIFACT", "--key", "x.pub"),
    ],
    ids=" ".join,
)
def test_every_verb_names_the_file_that_was_swapped(arguments, artifact, whole, run):
    append(artifact / "tokenizer.json")
    places = {"ARTIFACT": artifact, "WHOLE": whole}
    done = run(*(places.get(word, word) for word in arguments), "--json")
    assert done.code == 3
    assert "tokenizer.json: is not the file that was exported" in done.err
    assert "tokenizer.json" in json.loads(done.out)["error"]["message"]


def hashed_again(folder, name):
    """List a file as it is now."""
    content = (folder / name).read_bytes()
    hashes = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    edit_manifest(folder, lambda m: entry(m, name).update(hashes))


def other_words(folder):
    """Give two words of the tokenizer each other's ids."""
    path = folder / "tokenizer.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    vocabulary = document["model"]["vocab"]
    first, second = [word for word in vocabulary if word.isalpha()][:2]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    path.write_text(json.dumps(document), encoding="utf-8")
    hashed_again(folder, path.name)


def without_words(folder):
    (folder / "tokenizer.json").unlink()

    def change(document):
        document["files"] = [file for file in document["files"] if file["name"] != "tokenizer.json"]
        document["interface"]["tokenizer"] = None

    edit_manifest(folder, change)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (other_words, "tokenizer.json: is not the tokenizer of the checkpoint"),
        (without_words, "has no tokenizer, but its checkpoint has one"),
    ],
)
def test_a_check_refuses_an_artifact_that_encodes_texts_otherwise_than_its_checkpoint(
    change, says, artifact, text_model, run, tmp_path
):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"text": "the cat sat on the mat"}\n' * 3, encoding="utf-8")
    command = ("check", artifact, "--data", rows, "--reference", text_model.path, "--max-changed", 100)
    assert run(*command).code in (0, 5)
    change(artifact)
    done = run(*command)
    assert done.code == 3
    assert says in done.err


@pytest.mark.slow
def test_a_tokenizer_whose_batch_settings_the_export_switched_off_is_its_checkpoints(tmp_path):
    (tmp_path / "model").mkdir()
    model = save_text_model(tmp_path / "model", [TEXT] * 3, 280)
    path = model.path / "tokenizer.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    truncation = {"direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0}
    path.write_text(json.dumps(document | {"truncation": truncation}), encoding="utf-8")
    checkpoint = load_checkpoint(model.path)
    exported = export(checkpoint, load_recipe("onnx-fp32"), tmp_path / "out", keep=True)
    assert sha256(exported.path / "tokenizer.json") != sha256(path)
    artifact = load_artifact(exported.path)
    assert reference_of(artifact, str(model.path)).path == reference_of(artifact, checkpoint).path


def test_the_manifest_lists_every_file_with_its_size_and_hash(whole, run):
    document = json.loads((whole / "manifest.json").read_text(encoding="utf-8"))
    paths = [path for path in whole.iterdir() if path.name != "manifest.json"]
    assert {file["name"]: (file["bytes"], file["sha256"]) for file in document["files"]} == {
        path.name: (path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()) for path in paths
    }
    assert document["model"] in document["files"]
    told = run("inspect", whole).out
    assert all(path.name in told for path in paths)


def test_the_folder_may_be_a_link_and_have_files_that_no_runtime_reads(artifact, run, tmp_path):
    (artifact / "README.md").write_text("About this model")
    (artifact / ".git").mkdir()
    (tmp_path / "link").symlink_to(artifact)
    done = run("generate", tmp_path / "link", "the cat", "--max-tokens", "2")
    assert done.code == 0
    assert "nf-edge ignores .git, README.md: not part of the artifact" in done.err


FIGURE = Figure(1.0, "dB", "measured")
WRITTEN = [
    (FigureFields, FIGURE),
    (ModuleEntry, LayerReport("transformer.wte", "float32", "", FIGURE, FIGURE)),
    (CoverageFields, Coverage("XNNPACK", 1, 1, 1)),
    (AcceleratorEntry, Estimate("Vela", FIGURE, FIGURE, FIGURE, FIGURE, ())),
]


@pytest.mark.parametrize(("entry_type", "value"), WRITTEN, ids=lambda each: type(each).__name__)
def test_a_manifest_reads_every_field_that_an_export_writes_and_no_other(entry_type, value):
    assert set(entry_type.__annotations__) == set(value.to_json())


@pytest.mark.parametrize(("entry_type", "written"), [(LeftEntry, Left), (KindEntry, Kind)])
def test_an_entry_of_a_list_reads_every_field_that_an_export_writes(entry_type, written):
    assert set(entry_type.__annotations__) == {field.name for field in dataclasses.fields(written)}


@pytest.mark.parametrize(
    ("need", "unknown", "problem"),
    [(10, {}, ""), (10, {"a": "b"}, ""), (30, {}, ""), (None, {}, ""), (10, {}, "no NPU")],
)
def test_a_manifest_passes_the_memory_that_export_passes_and_no_other(need, unknown, problem):
    figure = Figure.unavailable("bytes", "no run") if need is None else Figure(need, "bytes", "measured")
    verdict = Verdict("d", "D", (Share("RAM", "ram", figure, unknown, 20, {}),), problem)
    reports = {"parity": {"passed": True}, "memory": {"verdict": verdict.to_json()}, "accuracy": None}
    assert bool(failed_gates(reports)) == (verdict.failure is not None)


@pytest.fixture
def earlier_artifact(artifact):
    """As nf-edge wrote it before it listed files."""
    edit_manifest(artifact, earlier)
    return artifact


def test_an_earlier_artifact_loads_and_only_its_model_file_is_used(earlier_artifact, text_model, run):
    done = run("generate", earlier_artifact, "1 2", "--ids", "--max-tokens", "2")
    assert done.code == 0, done.err
    assert "has only the hash of model.onnx; export the artifact again" in done.err
    refused = run("generate", earlier_artifact, "the cat")
    assert refused.code == 3
    assert "tokenizer.json: cannot be verified" in refused.err
    append(earlier_artifact / "model.onnx")
    assert run("generate", earlier_artifact, "1 2", "--ids").code == 3


def test_the_limit_of_an_earlier_artifact_is_read_as_the_share_that_it_was(earlier_artifact):
    edit_manifest(earlier_artifact, lambda document: document["recipe"]["limits"].update(max_drop=0.005))
    assert load_artifact(earlier_artifact).manifest.recipe.limits.max_drop == 0.5


def test_an_earlier_artifact_that_does_not_run_without_other_files_is_refused(earlier_artifact, monkeypatch):
    monkeypatch.setattr(OnnxCpu, "companions", ("stand-in.onnx",))
    with pytest.raises(BadInput, match=r"does not list stand-in\.onnx"):
        load_artifact(earlier_artifact)


@pytest.mark.parametrize(
    ("name", "recipe", "companion"),
    [
        ("wide-cls", "coreml-fp16", "stand-in.pte"),
        ("uneven-cls", "ethos-u85-256-int8", "npu.tosa"),
        ("uneven-cls", "qnn-sm8650-a16w8", "model.qdq.onnx"),
    ],
)
@pytest.mark.slow
def test_a_file_that_simulates_a_device_cannot_be_swapped(name, recipe, companion, exported, run, tmp_path):
    folder = shutil.copytree(exported(name, recipe).path, tmp_path / "artifact")
    append(folder / companion)
    assert f"{companion}: is not the file" in run("inspect", folder).err
    (folder / companion).unlink()
    done = run("profile", folder)
    assert done.code == 3
    assert f"{companion}: is missing" in done.err
    for change in (lambda document: document["files"].remove(entry(document, companion)), earlier):
        edit_manifest(folder, change)
        done = run("inspect", folder)
        assert done.code == 3
        assert f"does not list {companion}" in done.err
