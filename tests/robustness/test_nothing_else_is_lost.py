"""`--overwrite` replaces what nf-edge made and nothing else, and no artifact is broken by another output."""

import json
import os
import shutil
import threading
from pathlib import Path

import pytest

from nf_edge.core.output_checks import check_folder

CHECKPOINT = Path(__file__).parents[1] / "cases" / "cls-standard-padded"


@pytest.fixture(scope="module")
def artifact(exported):
    return exported("cls-standard-padded", "onnx-fp32").path


@pytest.fixture
def folder(artifact, tmp_path):
    return shutil.copytree(artifact, tmp_path / "artifact")


def put_file(folder: Path) -> Path:
    (folder / "thesis.txt").write_text("precious")
    return folder / "thesis.txt"


def put_folder(folder: Path) -> Path:
    (folder / "mine").mkdir()
    return put_file(folder / "mine")


@pytest.mark.parametrize("put", [put_file, put_folder])
def test_an_artifact_with_a_file_of_the_users_is_not_replaced(put, folder, run):
    mine = put(folder)
    done = run("export", CHECKPOINT, "--recipe", "onnx-fp32", "-o", folder, "--overwrite", "--json")
    assert done.code == 3
    message = json.loads(done.out)["error"]["message"]
    assert mine.relative_to(folder).parts[0] in message
    assert "would be deleted" in message
    assert mine.read_text() == "precious"
    assert (folder / "model.onnx").is_file()


@pytest.mark.parametrize("put", [put_file, put_folder])
def test_a_checkpoint_with_a_file_of_the_users_is_not_replaced(put, tmp_path, run):
    checkpoint = shutil.copytree(CHECKPOINT, tmp_path / "checkpoint", ignore=lambda *_: ["expected.npz"])
    assert run("init", "--preset", "tiny", "-o", checkpoint, "--overwrite").code == 0
    mine = put(checkpoint)
    done = run("init", "--preset", "tiny", "-o", checkpoint, "--overwrite")
    assert done.code == 3
    assert "would be deleted" in done.err
    assert mine.read_text() == "precious"


@pytest.mark.parametrize(
    "command",
    [
        ("export", CHECKPOINT, "--recipe", "onnx-fp32"),
        ("init", "--preset", "tiny"),
        ("sweep", CHECKPOINT, "--data", "x.tsv"),
        ("kernels", "build"),
    ],
    ids=lambda command: command[0],
)
@pytest.mark.parametrize("out", [".", "in/it"])
def test_nothing_is_made_within_an_artifact(command, out, folder, run):
    if out == "." and command[0] in ("export", "init"):
        out = "in"
    before = sorted(folder.rglob("*"))
    done = run(*command, "-o", folder / out)
    assert done.code == 3
    assert "is inside the artifact" in done.err
    assert sorted(folder.rglob("*")) == before


def test_no_recipe_is_written_into_an_artifact(folder, run):
    done = run("sensitivity", CHECKPOINT, "--recipe", "onnx-int4", "--kl", "1", "-o", folder / "mine.yaml")
    assert done.code == 3
    assert "is inside the artifact" in done.err
    assert not (folder / "mine.yaml").exists()


def pipe(manifest: Path) -> None:
    os.mkfifo(manifest)


def larger_than_any_memory(manifest: Path) -> None:
    manifest.touch()
    os.truncate(manifest, 2**40)


def of_another_program(manifest: Path) -> None:
    manifest.write_text('{"manifest_version": 3, "schema": 2}')


@pytest.mark.parametrize("make", [pipe, larger_than_any_memory, of_another_program])
def test_a_manifest_that_is_not_ours_in_a_folder_around_out_does_no_harm(make, tmp_path):
    make(tmp_path / "manifest.json")
    done = []
    checking = threading.Thread(target=lambda: done.append(check_folder(tmp_path / "a" / "out")), daemon=True)
    checking.start()
    checking.join(20)
    assert done == [None]
