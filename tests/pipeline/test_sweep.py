"""`nf-edge sweep`: what a user learns of one model by several recipes."""

import json

import numpy as np
import pytest

from nf_edge.pipeline.sweep.summary import Facts, Summary

RECIPES = ("onnx-fp32", "onnx-int8-qdq", "onnx-int4")
NAMED = [word for recipe in RECIPES for word in ("--recipe", recipe)]
BRIEFLY = ("--lengths", "2,8", "--repeats", 5)


def write_rows(path, config, count, seed):
    random = np.random.default_rng(seed)
    rows = [
        {
            "input_ids": random.integers(config.vocab_size, size=random.integers(2, 50)).tolist(),
            "label": int(random.integers(config.num_labels or 1)),
        }
        for _ in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return tmp_path_factory.mktemp("sweep") / "out"


@pytest.fixture(scope="module")
def done(checkpoint, kept):
    """One sweep of a tiny classifier, which several tests look at."""
    from click.testing import CliRunner

    from nf_edge.cli import cli

    model = checkpoint("wide-cls")
    data = write_rows(kept.parent / "data.jsonl", model.config, 100, seed=3)
    seen = write_rows(kept.parent / "seen.jsonl", model.config, 8, seed=1)
    words = [model.path, "--data", data, "--calibrate", seen, *NAMED, *BRIEFLY, "-o", kept]
    done = CliRunner().invoke(cli, ["sweep", *map(str, words)], terminal_width=100)
    assert done.exit_code == 0, done.output
    return done


@pytest.fixture(scope="module")
def result(done, kept):
    document = json.loads((kept / "sweep.json").read_text(encoding="utf-8"))
    assert (document["schema"], document["command"]) == ("nf-edge/1", "sweep")
    return document["result"]


@pytest.mark.slow
def test_the_answers_are_those_that_check_finds_of_the_artifacts_that_are_kept(result, kept, run, checkpoint):
    assert [each["recipe"] for each in result["recipes"]] == list(RECIPES)
    for each in result["recipes"]:
        options = ("--data", kept.parent / "data.jsonl", "--reference", checkpoint("wide-cls").path)
        checked = json.loads(run("check", each["path"], *options, "--json").out)["result"]
        assert checked == each["accuracy"]


def test_sizes_and_speeds_are_beside_the_first_recipe(result, kept):
    file = next(size for size in result["sizes"] if size["name"] == "file")
    bytes_ = [(kept / recipe / "model.onnx").stat().st_size for recipe in RECIPES]
    assert [figure["value"] for figure in file["figures"]] == bytes_
    assert [ratio["value"] for ratio in file["ratios"]] == pytest.approx(
        [bytes_[0] / each for each in bytes_[1:]]
    )
    assert [line["tokens"] for line in result["latency"]["lines"]] == [None, 2, 8]


def test_only_recipes_that_calibrate_see_the_rows_for_it(result, kept):
    seen = [json.loads((kept / name / "manifest.json").read_text())["calibration"] for name in RECIPES]
    assert seen[0] is seen[2] is None
    assert seen[1]["rows"] == 8


def test_people_get_the_same_figures_in_tables_no_wider_than_a_terminal(done, result):
    tables = done.stdout.partition("checked on")[0]
    assert max(len(line.rstrip()) for line in tables.splitlines()) <= 100
    for title in ("Size and memory", "Speed on this machine", "Answers against the checkpoint's"):
        assert title in tables
    low, high = (1e3 * bound for bound in result["recipes"][2]["accuracy"]["kl_interval"])
    kl = 1e3 * result["recipes"][2]["accuracy"]["kl"]
    assert f"{kl:.3g} ({low:.2g}–{high:.2g})" in tables
    # A line says that the others are as fast as a multiple of the first: the inverse of what is in the file.
    speed = result["latency"]["lines"][1]["speeds"][0]
    ratio, ends = speed["ratio"]["value"], [end["value"] for end in speed["interval"]]
    assert f"{1 / ratio:.2f} ({1 / ends[1]:.2f}–{1 / ends[0]:.2f})" in tables
    assert "smallest file without a measurable loss: " in done.stdout


def test_the_page_has_chart_and_tables_and_fetches_nothing(kept, done):
    page = (kept / "sweep.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 1
    assert page.count("<table>") == 3
    for recipe in RECIPES:
        assert page.count(f"<td>{RECIPES.index(recipe) + 1} {recipe}</td>") == 3
    for word in ("<script", "src=", "@import", "<link"):
        assert word not in page


def test_a_sweep_is_not_overwritten_unasked(result, kept, run, checkpoint):
    before = (kept / "sweep.json").read_bytes()
    options = ("--data", kept.parent / "data.jsonl", "--recipe", "onnx-fp32", "-o", kept)
    again = run("sweep", checkpoint("wide-cls").path, *options)
    assert (again.code, again.out) == (3, "")
    assert "give --overwrite" in again.err
    assert (kept / "sweep.json").read_bytes() == before


@pytest.mark.slow
def test_of_a_language_model_perplexities_are_compared_and_decoding_is_timed(checkpoint, run, tmp_path):
    model = checkpoint("eight-none")
    data = write_rows(tmp_path / "data.jsonl", model.config, 6, seed=0)
    named = ("--recipe", "onnx-fp32", "--recipe", "onnx-int4")
    done = run("sweep", model.path, "--data", data, *named, "--repeats", 5, "--json")
    result = json.loads(done.out)["result"]
    middle = sorted(len(json.loads(line)["input_ids"]) for line in data.read_text().splitlines())[2]
    asked = [(line["phase"], line["tokens"]) for line in result["latency"]["lines"]]
    assert asked == [("load", None), ("prefill", middle), ("decode", 32)]
    assert [each["path"] for each in result["recipes"]] == [None, None]
    exact, rounded = (each["accuracy"]["perplexity_ratio"] for each in result["recipes"])
    assert exact == pytest.approx(1, abs=1e-5)
    assert abs(rounded - 1) > 1e-4


@pytest.mark.slow
def test_a_recipe_over_budget_stays_in_the_table_marked_and_the_exit_code_tells(
    checkpoint, run, cramped, tmp_path
):
    model = checkpoint("wide-cls")
    data = write_rows(tmp_path / "data.jsonl", model.config, 5, seed=0)
    named = ("--recipe", "onnx-fp32", "--recipe", "onnx-int4", "--device", cramped)
    done = run("sweep", model.path, "--data", data, *named, "--repeats", 5, "--lengths", 4)
    assert done.code == 4
    assert done.out.count("over budget") >= 2
    assert done.out.count("FAILS: memory") == 2
    assert "smallest file without a measurable loss: none" in done.out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--recipe", "xnnpack-8da8w-half"], 3, "give --train"),
        (
            ["--recipe", "onnx-fp32", "--recipe", "onnx-fp32"],
            3,
            "several of the given recipes have this name",
        ),
        (["--recipe", "onnx-fp32", "--device", "rpi-pico-2"], 3, "does not run on rpi-pico-2"),
        (["--recipe", "onnx-fp32", "--lengths", "65"], 3, "at most 64"),
        (["--device", "rpi-pico-2"], 3, "does not run on rpi-pico-2"),
        (["--recipe", "onnx-fp32", "--overwrite"], 2, "--overwrite needs -o"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_exported(arguments, code, message, run):
    done = run("sweep", "digits", "--data", "digits:drawn", *arguments)
    assert (done.code, done.out) == (code, "")
    assert message in " ".join(done.err.split())
    assert "lowering" not in done.err


def facts(name, file, memory=1.0, times=(1.0,), kl=0.0, loses=False, passed=True):
    return Facts(name, file, memory, times, kl, loses, passed)


def test_the_summary_names_the_smallest_that_loses_nothing_and_what_another_is_better_than_in_all():
    best = facts("best", 10, kl=0.1)
    found = Summary.of(
        [
            facts("exact", 40),
            best,
            facts("larger", 20, kl=0.1),
            facts("nearer", 20, kl=0.05),
            facts("lossy", 5, kl=0.5, loses=True),
            facts("too big", 1, kl=0.0, passed=False),
        ],
        [],
    )
    assert found.smallest == "best"
    assert found.dominated == (("larger", "best"),)
