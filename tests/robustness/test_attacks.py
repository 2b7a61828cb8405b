"""Every file of attacks/ is refused as its README says, and nothing is left behind."""

import re
import shutil
from pathlib import Path

import pytest
from fuzzing import seeds
from fuzzing.harness import bounded

from nf_edge.core.errors import NfEdgeError
from nf_edge.model.tokenizer import read_tokenizer
from nf_edge.training.vectors import read_vectors

ATTACKS = Path(__file__).parent / "attacks"
ROW = re.compile(r"^\| `([^`]+)` \| (.+) \| (\d) \| (.+) \|$", re.MULTILINE)
TABLE = [match.groups() for match in ROW.finditer((ATTACKS / "README.md").read_text(encoding="utf-8"))]
MOST_BYTES = 200_000


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A good input of every kind, to put the attacks into."""
    folder = tmp_path_factory.mktemp("good") / "seeds"
    seeds.make(folder)
    return folder


@pytest.fixture
def refusal(run, base, tmp_path, monkeypatch):
    """The exit code and the message of a command on an attack."""
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out"

    def beside(seed, name, attack):
        folder = tmp_path / "input" / seed
        shutil.copytree(base / seed, folder)
        shutil.copyfile(attack, folder / name)
        return folder

    commands = {
        "recipe": lambda file: ("recipes", "check", file),
        "device": lambda file: ("devices", "check", file),
        "training": lambda file: ("train", file, "-o", out),
        "config": lambda file: ("generate", beside("lm", "config.json", file), "the film"),
        "weights": lambda file: ("generate", beside("lm", "model.safetensors", file), "the film"),
        "tokenizer": lambda file: ("generate", beside("lm", "tokenizer.json", file), "a" * 40 + "!"),
        "mark": lambda file: (
            *("export", beside("classifier", "compression.json", file)),
            *("--recipe", "onnx-fp32", "-o", out),
        ),
        "data": lambda file: (
            "export",
            base / "classifier",
            "--recipe",
            "onnx-fp32",
            "--data",
            file,
            "-o",
            out,
        ),
        "nanogpt": lambda file: ("import", file, "-o", out),
        "index": lambda file: (
            "import",
            beside("hf-shards", "model.safetensors.index.json", file),
            "-o",
            out,
        ),
    }

    def refuse(attack):
        kind = attack.parent.name
        with bounded():
            if kind in commands:
                done = run(*commands[kind](attack))
                return done.code, done.err
            assert kind == "vectors"
            with pytest.raises(NfEdgeError) as caught:
                read_vectors(attack, read_tokenizer(base / "bpe.json"), 300)
            return caught.value.exit_code, str(caught.value)

    return refuse


@pytest.mark.parametrize(("file", "words", "code"), [(row[0], row[3], int(row[2])) for row in TABLE])
def test_an_attack_is_refused_with_its_reason(refusal, tmp_path, file, words, code):
    found, message = refusal(ATTACKS / file)
    assert found == code, message
    assert words in message
    assert len(message) < 10_000
    assert "Traceback" not in message
    assert "\x1b" not in message
    assert {path.name for path in tmp_path.iterdir()} <= {"input"}


def test_every_attack_stands_in_the_table_and_all_are_small():
    files = [path for path in ATTACKS.rglob("*") if path.is_file() and path.parent != ATTACKS]
    assert sorted(str(path.relative_to(ATTACKS)) for path in files) == sorted(row[0] for row in TABLE)
    assert sum(path.stat().st_size for path in files) < MOST_BYTES
