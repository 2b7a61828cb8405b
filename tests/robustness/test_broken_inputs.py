"""Whatever is named where a file is expected, the answer is one message and an exit code from 2 to 6."""

import json
import os
import shutil

import pytest
from fuzzing.harness import bounded

from nf_edge.core import resources

# A command line a line; what stands in braces is the place of an input, by the kind that it takes.
COMMANDS = [
    "export {checkpoint} --recipe onnx-fp32 -o OUT",
    "export LM --recipe {recipe} -o OUT",
    "export LM --recipe onnx-fp32 --device {device} -o OUT",
    "export LM --recipe onnx-fp32 --data {data} -o OUT",
    "export LM --recipe onnx-int8-qdq --calibrate {data} -o OUT",
    "export LM --recipe onnx-int8-qdq --calibrate {data} --dry-run",
    "profile {artifact}",
    "profile LM --recipe {recipe}",
    "profile ARTIFACT --device {device}",
    "check {artifact} --data ROWS --reference LM",
    "check ARTIFACT --data {data} --reference LM",
    "check ARTIFACT --data ROWS --reference {checkpoint}",
    "check ARTIFACT --data ROWS --reference LM --on {device}",
    "bench {artifact}",
    "bench ARTIFACT --against {artifact}",
    "inspect {artifact}",
    "inspect ARTIFACT --on {device}",
    "generate {source} word",
    "generate ARTIFACT word --on {device}",
    "compare {checkpoint} --recipe onnx-fp32",
    "compare LM --recipe {recipe}",
    "compare LM --recipe onnx-fp32 --data {data}",
    "sweep {checkpoint} --data ROWS --recipe onnx-fp32",
    "sweep LM --data {data} --recipe onnx-fp32",
    "sweep LM --data ROWS --recipe {recipe}",
    "sweep LM --data ROWS --recipe onnx-fp32 --device {device}",
    "sensitivity {checkpoint} --recipe onnx-int4 --data ROWS --file-size 1MB",
    "sensitivity LM --recipe {recipe} --data ROWS --file-size 1MB",
    "sensitivity LM --recipe onnx-int4 --data {data} --file-size 1MB",
    "compress {checkpoint} --recipe xnnpack-8da8w-half --train ROWS -o OUT",
    "compress LM --recipe {recipe} --train ROWS -o OUT",
    "compress LM --recipe xnnpack-8da8w-half --train {data} -o OUT",
    "compress LM --recipe xnnpack-8da8w-half --train ROWS --valid {data} -o OUT",
    "import {foreign} -o OUT",
    "import FOREIGN --tokenizer {tokenizer} -o OUT",
    "init --preset tiny --tokenizer {tokenizer} -o OUT",
    "train {training_recipe} -o OUT",
    "recipes show {recipe}",
    "recipes check {recipe}",
    "devices show {device}",
    "devices check {device}",
]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory, checkpoint, exported):
    """Paths by what is there: nothing, no file, a file of no kind, and one good input of every kind."""
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "empty.yaml").write_bytes(b"")
    (folder / "binary.yaml").write_bytes(bytes(range(256)) * 20)
    (folder / "words.yaml").write_text("just some words\n")
    (folder / "folder.yaml").mkdir()
    (folder / "rows.tsv").write_text("text\n" + "a few words\n" * 3)
    os.mkfifo(folder / "pipe.yaml")
    os.mkfifo(folder / "pipe.tsv")
    (folder / "endless.yaml").symlink_to("/dev/zero")
    (folder / "endless.tsv").symlink_to("/dev/zero")
    (folder / "dangling.yaml").symlink_to("nowhere")
    (folder / "loop.yaml").symlink_to("loop.yaml")
    for name, content in {"config.json": b"\xff", "manifest.json": b"[]"}.items():
        (folder / "odd").mkdir(exist_ok=True)
        (folder / "odd" / name).write_bytes(content)
        (folder / "piped").mkdir(exist_ok=True)
        os.mkfifo(folder / "piped" / name)
    whole = checkpoint("lm-none").path
    shutil.copytree(whole, folder / "weights-are-a-pipe")
    (folder / "weights-are-a-pipe" / "model.safetensors").unlink()
    os.mkfifo(folder / "weights-are-a-pipe" / "model.safetensors")
    return {
        "nothing": folder / "missing",
        "no name": "",
        "a name of 300 letters": "x" * 300,
        "a path of 5000 letters": "x/" * 2500,
        "a name that is not UTF-8": os.fsdecode(b"caf\xe9.yaml"),
        "escape codes": "\x1b[31mred.yaml",
        "a minus": "-",
        "the root": "/",
        "a folder": folder / "folder.yaml",
        "an empty file": folder / "empty.yaml",
        "a binary file": folder / "binary.yaml",
        "words": folder / "words.yaml",
        "a pipe": folder / "pipe.yaml",
        "a pipe for data": folder / "pipe.tsv",
        "a device": folder / "endless.yaml",
        "a device for data": folder / "endless.tsv",
        "a link to nothing": folder / "dangling.yaml",
        "a link to itself": folder / "loop.yaml",
        "a folder of odd files": folder / "odd",
        "a folder of pipes": folder / "piped",
        "a checkpoint whose weights are a pipe": folder / "weights-are-a-pipe",
        "a recipe": resources.folder("recipes") / "onnx-fp32.yaml",
        "a training recipe": resources.folder("recipes") / "training" / "digits.yaml",
        "a device file": resources.folder("devices") / "rpi-5.yaml",
        "a checkpoint": whole,
        "an artifact": exported("lm-none", "onnx-fp32").path,
        "rows": folder / "rows.tsv",
        "a tokenizer": resources.folder("checkpoints") / "shakespeare" / "tokenizer.json",
    }


# What each place takes: not broken there.
RIGHT = {
    "recipe": {"a recipe"},
    "training_recipe": {"a training recipe"},
    "device": {"a device file"},
    "checkpoint": {"a checkpoint"},
    "artifact": {"an artifact"},
    "source": {"a checkpoint", "an artifact"},
    "data": {"rows"},
    "tokenizer": {"a tokenizer"},
    "foreign": set(),
}


@pytest.mark.parametrize("line", COMMANDS)
def test_a_broken_input_is_one_message_and_no_bug(line, inputs, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = line.split()
    (place,) = [word for word in words if word.startswith("{")]
    good = {
        "LM": inputs["a checkpoint"],
        "ARTIFACT": inputs["an artifact"],
        "ROWS": inputs["rows"],
        "FOREIGN": inputs["a folder"],
        "OUT": tmp_path / "out",
    }
    for name, value in inputs.items():
        if name in RIGHT[place.strip("{}")]:
            continue
        arguments = [value if word == place else good.get(word, word) for word in words]
        with bounded():
            done = run(*arguments, "--json")
        told = f"{name}: nf-edge {' '.join(map(str, arguments))[:300]}\n{done.err[-2000:]}"
        assert 2 <= done.code <= 6, told
        assert "Traceback" not in done.err, told
        assert "\x1b" not in done.err, told
        document = json.loads(done.out)
        assert document["error"]["exit_code"] == done.code, told
        assert len(document["error"]["message"]) < 10_000, told
        assert list(tmp_path.iterdir()) == [], told
