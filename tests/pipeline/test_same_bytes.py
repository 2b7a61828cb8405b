"""The same export twice gives the same files, wherever and whenever it is made."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import TESTS, backend_missing, calibration_rows

from nf_edge.artifact import MANIFEST, REPORT
from nf_edge.core.recipe.recipe import load_recipe
from nf_edge.pipeline.lowering import Job, lower
from nf_edge.quantization import rounding as quantized_weights

# Of each of several backends an artifact that other tests make, too.
MADE = (
    ("wide-cls", "xnnpack-8da8w"),
    ("wide-lm", "onnx-int8-qdq"),
    ("uneven-cls", "cortex-m-int8"),
)
AGAIN = """\
import sys
from pathlib import Path
from conftest import calibration_rows
from nf_edge.model import load_checkpoint
from nf_edge.pipeline.export import export
from nf_edge.core.recipe.recipe import load_recipe
from nf_edge.quantization.calibration import may_calibrate

for folder, name in zip(sys.argv[1::2], sys.argv[2::2]):
    checkpoint, recipe = load_checkpoint(Path(folder)), load_recipe(name)
    seen = calibration_rows(checkpoint) if may_calibrate(recipe) else None
    export(checkpoint, recipe, Path(f"mine-{name}"), calibrate=seen, keep=True)
"""


class Spy:
    """A function that notes how many threads PyTorch has when it is called."""

    def __init__(self, function, threads):
        self.function, self.threads, self.calls = function, threads, 0

    def __call__(self, *arguments):
        self.calls += 1
        self.threads.append(torch.get_num_threads())
        return self.function(*arguments)


def files_of(folder):
    """The files of an artifact by name, without figures that were measured."""
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != REPORT}
    manifest = json.loads(files[MANIFEST])
    listed = [file for file in manifest["files"] if file["name"] != REPORT]
    files[MANIFEST] = manifest | {"files": listed, "reports": None}
    return files


@pytest.fixture(scope="module")
def made_elsewhere(exported, checkpoint, tmp_path_factory):
    """Those artifacts, made again in another process and in another environment."""
    made = [pair for pair in MADE if not backend_missing(pair[1])]
    for pair in made:
        exported(*pair)
    places = {name: tmp_path_factory.mktemp(name.lower()) for name in ("HOME", "TMPDIR", "WORK")}
    work = places.pop("WORK")
    arguments = [argument for name, recipe in made for argument in (str(checkpoint(name).path), recipe)]
    subprocess.run(
        [sys.executable, "-c", AGAIN, *arguments],
        cwd=work,
        env={
            **os.environ,
            **{name: str(place) for name, place in places.items()},
            "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")),
            "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)]),
            "PYTHONHASHSEED": "4711",
            "OMP_NUM_THREADS": "2",
            "TZ": "Asia/Tokyo",
            "LC_ALL": "C",
            "USER": "somebody",
        },
        check=True,
        capture_output=True,
    )
    return work


@pytest.mark.slow
@pytest.mark.parametrize(("name", "recipe"), MADE)
def test_the_same_export_elsewhere_gives_the_same_files(name, recipe, exported, made_elsewhere):
    """In another folder, with another home, user, hash seed, number of threads, time zone and locale."""
    one, other = files_of(exported(name, recipe).path), files_of(made_elsewhere / f"mine-{recipe}")
    assert one.keys() == other.keys()
    assert [file for file in one if one[file] != other[file]] == []


def test_weights_are_rounded_in_one_thread_whatever_there_are(checkpoint, tmp_path, monkeypatch):
    """Else sums of floats have another order, and weights that GPTQ rounds next to a tie another side."""
    wide, threads = checkpoint("wide-lm"), []
    monkeypatch.setattr(quantized_weights, "gptq", spied := Spy(quantized_weights.gptq, threads))
    job, before = Job.of(wide, load_recipe("onnx-int4-gptq"), calibration_rows(wide)), torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        lower(job, tmp_path / "model.onnx")
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert spied.calls > 4
    assert set(threads) == {1}


def test_the_manifest_says_what_has_to_be_the_same_for_the_same_bytes(exported):
    """Versions of all that computed or wrote them, and the instruction set; what is measured stands apart."""
    manifest = exported("wide-cls", "onnx-int8-dynamic").manifest
    assert {"torch", "onnx", "onnxruntime", "onnxscript", "numpy"} <= manifest.reproducible.packages.keys()
    assert manifest.reproducible.packages["torch"] == torch.__version__
    assert manifest.reproducible.cpu == torch.backends.cpu.get_cpu_capability()
    apart = json.dumps(manifest.model_dump(mode="json", exclude={"reports"}))
    assert '"measured"' not in apart


def test_an_artifact_tells_the_names_of_data_files_and_not_where_they_lay(run, checkpoint, tmp_path):
    """So that the same data elsewhere gives the same manifest, and nobody's folders are published."""
    folder = tmp_path / "home-of-somebody"
    folder.mkdir()
    for name in ("calibration.jsonl", "checked.jsonl"):
        rows = [{"input_ids": [1, 2, 3, 4 + i], "label": i % 2} for i in range(4)]
        (folder / name).write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    data = ("--data", folder / "checked.jsonl", "--calibrate", folder / "calibration.jsonl")
    out = tmp_path / "out"
    done = run("export", checkpoint("wide-cls").path, "--recipe", "onnx-int8-qdq", *data, "--keep", "-o", out)
    assert done.code in (0, 5), done.err
    manifest = json.loads((out / MANIFEST).read_text(encoding="utf-8"))
    assert manifest["calibration"]["source"] == "calibration.jsonl"
    assert manifest["reports"]["accuracy"]["data"] == "checked.jsonl"
    assert [path.name for path in out.iterdir() if b"home-of-somebody" in path.read_bytes()] == []
