"""`nf-edge compare`: what a user learns of a NoiseFormer beside GPT-2 and symmetric attention."""

import json
import shutil

import numpy as np
import pytest

from nf_edge.model import save_checkpoint
from nf_edge.model.init import init_tensors

TRIO = ["NoiseFormer", "GPT-2", "symmetric"]
BRIEFLY = ("--recipe", "onnx-fp32", "--lengths", "2,8", "--contexts", "3", "--repeats", 5)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Where the artifacts of the comparison below are kept."""
    return tmp_path_factory.mktemp("compare") / "trio"


@pytest.fixture(scope="module")
def done(kept):
    """One comparison of the tiny preset, which several tests look at."""
    from click.testing import CliRunner

    from nf_edge.cli import cli

    words = ["compare", "--preset", "tiny", *map(str, BRIEFLY), "--json", "-o", str(kept)]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    return done


@pytest.fixture(scope="module")
def result(done):
    document = json.loads(done.stdout)
    assert (document["schema"], document["command"]) == ("nf-edge/1", "compare")
    return document["result"]


@pytest.fixture
def pair(case):
    """Two checkpoints of one vocabulary."""
    return case("lm-lowrank"), case("lm-standard")


def sizes_of(result, name):
    (size,) = (size for size in result["sizes"] if size["name"] == name)
    return dict(
        zip(
            [model["name"] for model in result["models"]],
            [figure["value"] for figure in size["figures"]],
            strict=True,
        )
    )


@pytest.mark.slow
def test_a_preset_makes_a_noiseformer_a_gpt2_and_one_without_noise(result):
    assert [model["name"] for model in result["models"]] == TRIO
    configs = [model["config"] for model in result["models"]]
    assert [config["attention"] for config in configs] == ["symmetric", "standard", "symmetric"]
    assert [config["noise"]["kind"] for config in configs] == ["lowrank", "none", "none"]
    shapes = [{key: config[key] for key in ("n_embd", "n_layer", "vocab_size")} for config in configs]
    assert shapes[0] == shapes[1] == shapes[2]
    assert "accuracy is meaningless" in result["notes"][0]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["parameters", "file"])
def test_gpt2_has_more_than_a_noiseformer_and_that_a_little_more_than_one_without_noise(name, result):
    sizes = sizes_of(result, name)
    assert sizes["GPT-2"] > sizes["NoiseFormer"] > sizes["symmetric"]


@pytest.mark.slow
def test_parameters_are_those_of_the_published_arithmetic(result):
    """Per layer a query projection of n_embd² + n_embd less, two factors of n_embd · rank more."""
    parameters = sizes_of(result, "parameters")
    assert parameters["GPT-2"] - parameters["symmetric"] == 2 * (64 * 64 + 64)
    assert parameters["NoiseFormer"] - parameters["symmetric"] == 2 * (2 * 64 * 4)


@pytest.mark.slow
def test_the_whole_process_holds_more_than_its_file(result):
    process, file = sizes_of(result, "process memory"), sizes_of(result, "file")
    assert all(process[name] > file[name] for name in TRIO)


@pytest.mark.slow
def test_ratios_are_those_of_the_figures_beside_them(result):
    for size in result["sizes"]:
        first, *others = (figure["value"] for figure in size["figures"])
        assert [ratio["value"] for ratio in size["ratios"]] == pytest.approx([first / o for o in others])
    lines = result["latency"]["lines"]
    assert [(line["phase"], line["tokens"]) for line in lines] == [
        ("load", None),
        ("prefill", 2),
        ("prefill", 8),
        ("decode", 3),
    ]
    for line in lines:
        first, *others = (timing["time"]["median"]["value"] for timing in line["timings"])
        for speed, other in zip(line["speeds"], others, strict=True):
            low, high = (figure["value"] for figure in speed["interval"])
            assert low <= speed["ratio"]["value"] <= high
            assert speed["ratio"]["value"] == pytest.approx(other / first)


@pytest.mark.slow
def test_each_step_of_each_model_is_told_on_stderr(done):
    for name in TRIO:
        assert f"{name}: lowering" in done.stderr
    assert "drawing random weights" in done.stderr


@pytest.mark.slow
def test_what_is_kept_are_artifacts(result, kept, run):
    assert [model["path"] for model in result["models"]] == [str(kept / name) for name in TRIO]
    assert sorted(path.name for path in kept.iterdir()) == sorted(TRIO)
    for name in TRIO:
        inspected = run("inspect", kept / name, "--json")
        assert inspected.code == 0
        assert f'"name": "{name}"' in inspected.out


@pytest.mark.slow
def test_kept_artifacts_are_not_overwritten_unasked(result, kept, run):
    before = (kept / "GPT-2" / "manifest.json").read_bytes()
    again = run("compare", "--preset", "tiny", *BRIEFLY, "-o", kept)
    assert (again.code, again.out) == (3, "")
    assert "give --overwrite" in again.err
    assert "lowering" not in again.err
    assert (kept / "GPT-2" / "manifest.json").read_bytes() == before


@pytest.mark.slow
def test_people_get_tables_and_sentences_that_say_what_the_figures_say(pair, run, tmp_path, monkeypatch):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    done = run("compare", *pair, *BRIEFLY)
    assert done.code == 0
    for words in ("A: lm-lowrank, symmetric attention", "B: lm-standard, standard attention", "Size"):
        assert words in done.out
    for words in ("Process, 1 thread", "Prefill, 1 thread", "Decoding, 1 thread", "speed of A"):
        assert words in done.out
    assert "random weights" not in done.out
    # Of the last table column the ratio and its interval, in their order, are those of the sentences.
    *_, sentences = done.out.strip().split("\n\n")
    title, shares, *speeds = sentences.splitlines()
    assert title == "lm-lowrank against lm-standard:"
    assert "times the parameters" in shares
    phases = ("loading", "a prefill of 2 tokens", "a prefill of 8 tokens", "decoding after 3 tokens")
    for phase, sentence in zip(phases, speeds, strict=True):
        assert f"at {phase}, 1 thread" in sentence
        ratio, interval = sentence.split()[0], sentence[sentence.index("(") : sentence.index(")") + 1]
        assert f"{ratio} {interval}" in done.out.replace(sentences, "")
        low, high = map(float, interval.strip("()").split("–"))
        if low > 1.01 or high < 0.99:
            assert sentence.endswith("faster" if low > 1 else "slower")
    # PyTorch makes its own cache when it is first needed.
    left = [path.name for path in temporary.iterdir() if not path.name.startswith("torchinductor_")]
    assert left == []


@pytest.mark.slow
def test_more_positions_are_noted_and_the_fewest_decide_what_is_asked(case, checkpoint, run, tmp_path):
    short = checkpoint("lm-none")
    config = short.config.model_copy(update={"n_positions": 16})
    save_checkpoint(tmp_path / "long", config, init_tensors(config, 0))
    result = json.loads(
        run("compare", short.path, tmp_path / "long", "--recipe", "onnx-fp32", "--repeats", 5, "--json").out
    )["result"]
    asked = [line["tokens"] for line in result["latency"]["lines"] if line["phase"] == "prefill"]
    assert max(asked) == short.config.n_positions
    assert result["notes"] == [
        "the numbers of positions differ, and so do the sizes of tables and caches: lm-none 10, long 16"
    ]
    assert [model["path"] for model in result["models"]] == [None, None]


@pytest.mark.slow
def test_checkpoints_whose_folders_have_one_name_are_told_apart(pair, run, tmp_path):
    places = [shutil.copytree(path, tmp_path / run_ / "ckpt") for path, run_ in zip(pair, "ab", strict=True)]
    done = run("compare", *places, *BRIEFLY, "-o", tmp_path / "out")
    assert "a-ckpt against b-ckpt" in done.out
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a-ckpt", "b-ckpt"}


@pytest.mark.slow
def test_classifiers_are_compared_without_decoding(case, run):
    done = run(
        "compare", case("cls-lowrank-last-padded"), case("cls-standard-padded"), "--json", *BRIEFLY[:4]
    )
    result = json.loads(done.out)["result"]
    assert {line["phase"] for line in result["latency"]["lines"]} == {"load", "prefill"}
    assert "does not decode" in result["latency"]["no_decoding"]


@pytest.mark.slow
def test_a_model_over_a_devices_budget_is_compared_all_the_same_and_the_exit_code_tells(pair, run, cramped):
    done = run("compare", *pair, *BRIEFLY, "--device", cramped, "--json")
    assert done.code == 4
    result = json.loads(done.out)["result"]
    assert [model["verdict"]["outcome"] for model in result["models"]] == ["over budget"] * 2
    assert result["latency"]["lines"]
    assert "does not fit cramped" in done.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Give at least two checkpoints (not 0), or a --preset"),
        (["digits"], "Give at least two checkpoints (not 1)"),
        (["digits", "sst2", "--preset", "tiny"], "leave out either --preset or the checkpoints"),
        (["digits", "sst2", "--rank", "2"], "--rank needs --preset"),
        (["digits", "sst2", "--overwrite"], "--overwrite needs -o"),
        (["--preset", "gpt5"], "'gpt5' is not one of"),
    ],
)
def test_wrong_usage_says_what_to_leave_out_or_to_give(arguments, message, run):
    done = run("compare", *arguments, "--recipe", "onnx-fp32")
    assert (done.code, done.out) == (2, "")
    assert message in done.err


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (
            ["digits", "shakespeare"],
            ["shakespeare is a language model and digits is not", "with each other"],
        ),
        (["shakespeare", "{lm-none}"], ["a vocabulary of", "lm-none of 19", "nf-edge bench"]),
        (["{lm-none}", "{lm-none}"], ["is given twice", "once"]),
        (["{lm-none}", "{lm-standard}", "--lengths", "11"], ["--lengths 11 is too long for lm-none"]),
        (["{lm-none}", "{lm-standard}", "--contexts", "10"], ["positions; give at most 9"]),
        (
            ["{lm-none}", "{lm-standard}", "--recipe", "onnx-int8-qdq"],
            ["needs calibration data", "--calibrate FILE"],
        ),
        (["{lm-none}", "{lm-standard}", "--device", "rpi-pico-2"], ["does not run on rpi-pico-2"]),
        (["{lm-none}", "{lm-standard}", "-o", "{file}"], ["is a file", "give the path of a folder"]),
        (["--preset", "tiny", "--rank", "17"], ["noise.rank must be from 1 to the head size 16"]),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_is_exported(
    arguments, messages, case, run, tmp_path
):
    (tmp_path / "file").write_text("a file")
    places = {name: case(name) for name in ("lm-none", "lm-standard")} | {"file": tmp_path / "file"}
    recipe = [] if "--recipe" in arguments else ["--recipe", "onnx-fp32"]
    done = run("compare", *(word.format(**places) for word in arguments), *recipe)
    assert (done.code, done.out) == (3, "")
    for message in messages:
        assert message in " ".join(done.err.split())
    assert "lowering" not in done.err


@pytest.mark.slow
def test_random_models_are_calibrated_on_the_rows_given(run, tmp_path):
    rows = tmp_path / "rows.jsonl"
    ids = np.random.default_rng(0).integers(256, size=(4, 32)).tolist()
    rows.write_text("".join(json.dumps({"input_ids": row}) + "\n" for row in ids))
    options = ["--preset", "tiny", "--recipe", "onnx-int8-qdq", "--repeats", 5, "--lengths", 4]
    done = run("compare", *options, "--calibrate", rows, "-o", tmp_path / "out")
    assert done.code == 0
    manifest = json.loads((tmp_path / "out" / "GPT-2" / "manifest.json").read_text())
    assert manifest["calibration"]["rows"] == 4
