"""`nf-edge bench`: what a user learns of an artifact's latency, alone and against another's."""

import json
import shutil

import pytest

from nf_edge.core.cpus import allowed_cpus
from nf_edge.core.errors import MissingTool
from nf_edge.core.figures import Figure
from nf_edge.core.intervals import ratio_of_medians
from nf_edge.measure.latency.latency_report import Speed
from nf_edge.measure.runner import TimedSession
from nf_edge.measure.runner.build import check_tools

RUNTIMES = {"xnnpack-fp32": "executorch", "onnx-fp32": "onnxruntime"}
# Two cases, small enough to be exported at once.
LM, CLASSIFIER = "lm-none", "cls-lowrank-last-padded"
each_recipe = pytest.mark.parametrize("recipe", RUNTIMES)


@pytest.fixture
def bench(run):
    """Call `nf-edge bench --json` on artifacts, and give its result."""

    def call(artifact, *options):
        done = run("bench", artifact.path, "--json", "--repeats", 5, *options)
        document = json.loads(done.out)
        assert (done.code, document["schema"], document["command"]) == (0, "nf-edge/1", "bench")
        return document["result"]

    return call


def lines_of(result, phase):
    return [line for line in result["lines"] if line["phase"] == phase]


def median_ms(line, side=0):
    return line["timings"][side]["time"]["median"]["value"]


def positions_of(artifact):
    return artifact.manifest.interface.length


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        ("digits", "xnnpack-fp32"),
        ("digits", "onnx-fp32"),
        ("shakespeare", "xnnpack-fp32"),
        ("shakespeare", "onnx-fp32"),
    ],
)
def test_a_bundled_model_has_figures_in_each_runtime_and_more_tokens_take_longer(
    name, recipe, exported, bench
):
    artifact = exported(name, recipe)
    positions = positions_of(artifact)
    result = bench(artifact, "--lengths", f"8,{positions}")
    assert result["artifacts"][0]["runtime"] == RUNTIMES[recipe]
    short, long = lines_of(result, "prefill")
    assert (short["tokens"], long["tokens"]) == (8, positions)
    assert median_ms(long) > 1.5 * median_ms(short)
    assert len(lines_of(result, "load")) == 1
    assert len(lines_of(result, "decode")) == (3 if name == "shakespeare" else 0)


@each_recipe
def test_every_figure_has_a_unit_how_it_was_had_and_quartiles_about_it(recipe, exported, bench):
    result = bench(exported(LM, recipe))
    for line in result["lines"]:
        (timing,) = line["timings"]
        assert line["speeds"] == []
        assert (timing["rate"] is None) == (line["phase"] == "load")
        for kind, unit in (("time", "ms"), ("rate", "tokens/s")):
            if timing[kind] is None:
                continue
            low, high = timing[kind]["quartiles"]
            figures = [low, timing[kind]["median"], high]
            assert [(figure["unit"], figure["how"]) for figure in figures] == [(unit, "measured")] * 3
            assert 0 < figures[0]["value"] <= figures[1]["value"] <= figures[2]["value"]
        if timing["rate"]:
            tokens = line["tokens"] if line["phase"] == "prefill" else 1
            assert timing["rate"]["median"]["value"] == pytest.approx(1e3 * tokens / median_ms(line))
    (peak,) = result["peak_memory"]
    assert peak["figures"][0]["unit"] == "bytes"
    assert peak["figures"][0]["value"] > exported(LM, recipe).manifest.model.bytes
    assert result["inputs"]["batch"] == 1


@each_recipe
def test_lengths_and_contexts_are_those_asked_for(recipe, exported, bench):
    artifact = exported(LM, recipe)
    last = positions_of(artifact) - 1
    result = bench(artifact, "--lengths", "3,1", "--contexts", f"{last},1,{last}")
    assert [line["tokens"] for line in lines_of(result, "prefill")] == [1, 3]
    assert [line["tokens"] for line in lines_of(result, "decode")] == [1, last]


@pytest.mark.parametrize("length", [2, 64])
def test_contexts_far_apart_are_in_the_cache_when_they_are_decoded_upon(length, exported, bench):
    """An .onnx with its runner refuses a position after those that it has seen."""
    result = bench(exported("wide-lm", "onnx-fp32"), "--lengths", length, "--contexts", "1,30,60")
    assert [line["tokens"] for line in lines_of(result, "decode")] == [1, 30, 60]


def test_without_lengths_the_models_positions_say_which(exported, bench):
    artifact = exported(LM, "onnx-fp32")
    positions = positions_of(artifact)
    result = bench(artifact)
    assert lines_of(result, "prefill")[-1]["tokens"] == positions
    assert max(line["tokens"] for line in lines_of(result, "decode")) < positions


@pytest.mark.skipif(allowed_cpus() < 2, reason="one CPU")
def test_each_number_of_threads_is_measured(exported, bench):
    result = bench(exported(LM, "onnx-fp32"), "--lengths", "4", "--contexts", "4", "--threads", "1,2")
    found = [(line["phase"], line["threads"]) for line in result["lines"]]
    assert found == [(phase, threads) for threads in (1, 2) for phase in ("load", "prefill", "decode")]
    assert [peak["threads"] for peak in result["peak_memory"]] == [1, 2]


@each_recipe
def test_an_artifact_is_about_as_fast_as_itself(recipe, exported, bench):
    artifact = exported(LM, recipe)
    result = bench(artifact, "--against", artifact.path, "--repeats", 15)
    for line in result["lines"]:
        (speed,) = line["speeds"]
        low, high = (figure["value"] for figure in speed["interval"])
        ratio = speed["ratio"]
        assert (ratio["unit"], ratio["how"]) == ("ratio", "measured")
        assert low <= ratio["value"] <= high
        assert 0.4 < ratio["value"] < 2.5, line


def test_the_ratio_is_how_many_times_as_fast_the_first_one_is(exported, bench):
    """Of a pte against an onnx, by the medians of both."""
    sides = exported("wide-cls", "xnnpack-8da8w"), exported("wide-cls", "onnx-int8-dynamic")
    result = bench(sides[0], "--against", sides[1].path)
    assert [artifact["runtime"] for artifact in result["artifacts"]] == ["executorch", "onnxruntime"]
    for line in result["lines"]:
        assert line["speeds"][0]["ratio"]["value"] == pytest.approx(median_ms(line, 1) / median_ms(line, 0))


def test_both_sides_are_asked_the_same_ids_turn_about(exported, bench, monkeypatch):
    """Also where their vocabularies and positions differ."""
    asked = []
    times = TimedSession.times

    def recorded(process, requests):
        asked.append((process, [(tuple(ids), tuple(second)) for ids, second in requests]))
        return times(process, requests)

    monkeypatch.setattr(TimedSession, "times", recorded)
    first, second = exported(LM, "onnx-fp32"), exported("wide-lm", "onnx-fp32")
    result = bench(first, "--against", second.path, "--contexts", "2,5", "--lengths", "3,4")
    vocabulary = min(artifact.manifest.config.vocab_size for artifact in (first, second))
    assert result["inputs"]["vocabulary"] == vocabulary
    of_sides = {}
    for process, requests in asked:
        of_sides.setdefault(process, set()).update(requests)
    # Each of the two has two processes, one started before the other's and one after it.
    one, *others = of_sides.values()
    assert others == [one] * 3
    ids = {token for row, _ in one for token in row}
    assert max(ids) < vocabulary
    assert len(ids) > 1
    # The last three rounds, of four points: both sides, one after the other, and the other one first in the
    # next round. The context of 5 is more than a prefill leaves, so it is filled in before its turn.
    turns = [(process, requests[0]) for process, requests in asked if len(requests) > 1][-3 * 4 * 2 :]
    pairs = list(zip(turns[::2], turns[1::2], strict=True))
    assert all(a[0] is not b[0] and a[1] == b[1] for a, b in pairs)
    assert all(pairs[i][0][0] is not pairs[i + 4][0][0] for i in range(len(pairs) - 4))


@pytest.mark.slow
def test_of_three_each_is_asked_in_turn_and_the_first_is_compared_with_both_others(
    exported, bench, monkeypatch
):
    asked = []
    times = TimedSession.times

    def recorded(process, requests):
        asked.append((process, len(requests)))
        return times(process, requests)

    monkeypatch.setattr(TimedSession, "times", recorded)
    first, *others = (exported(name, "onnx-fp32") for name in (LM, "lm-lowrank", "lm-standard"))
    against = [word for other in others for word in ("--against", other.path)]
    result = bench(first, *against, "--lengths", 3, "--contexts", 2, "--repeats", 6)
    assert [artifact["checkpoint"] for artifact in result["artifacts"]] == [LM, "lm-lowrank", "lm-standard"]
    for line in result["lines"]:
        assert [speed["ratio"]["value"] for speed in line["speeds"]] == pytest.approx(
            [median_ms(line, side) / median_ms(line) for side in (1, 2)]
        )
    assert len(result["peak_memory"][0]["figures"]) == 3
    # Three processes of each, one for each place in the order in which they are started; of the last ones
    # there are two rounds of two points, begun by one and by the next.
    assert len({id(process) for process, _ in asked}) == 9
    turns = [process for process, _ in asked][-2 * 2 * 3 :]
    rounds = [turns[at : at + 3] for at in range(0, len(turns), 3)]
    assert all(len(set(map(id, of_one))) == 3 for of_one in rounds)
    assert rounds[0][0] is rounds[1][0] is not rounds[2][0]


@pytest.mark.parametrize(
    ("interval", "finding"),
    [((1.01, 1.2), "faster"), ((0.8, 0.99), "slower"), ((0.9, 1.1), "no difference shown")],
)
def test_what_is_said_of_a_ratio_is_what_its_interval_shows(interval, finding):
    low, high = (Figure(value, "ratio", "measured") for value in interval)
    assert Speed(Figure(1.0, "ratio", "measured"), (low, high)).finding == finding


@pytest.mark.parametrize("others", [0, 1, 2])
def test_tables_fit_a_terminal_of_80_columns(others, exported, run):
    artifact = exported(LM, "onnx-fp32").path
    done = run("bench", artifact, *["--against", artifact] * others, "--repeats", 5)
    tables = done.out[done.out.index("Process") : done.out.index("medians")]
    assert max(len(line.rstrip()) for line in tables.splitlines()) <= 80
    assert ("speed of A" in tables) == (others > 0)


@each_recipe
def test_a_classifier_has_no_decoding_and_that_is_said(recipe, exported, bench, run):
    artifact = exported(CLASSIFIER, recipe)
    result = bench(artifact)
    assert lines_of(result, "decode") == []
    assert "does not decode" in result["no_decoding"]
    done = run("bench", artifact.path, "--repeats", 5)
    assert "Decoding" not in done.out
    assert "decoding was not timed: " in done.out


@pytest.mark.slow
def test_a_language_model_that_gives_all_logits_has_no_decoding(exported, bench):
    result = bench(exported(LM, "onnx-fp32+all"))
    assert lines_of(result, "prefill")
    assert lines_of(result, "decode") == []
    assert "no cache" in result["no_decoding"]


def test_people_get_tables_on_stdout_and_progress_on_stderr(exported, run):
    artifact = exported(LM, "onnx-fp32")
    done = run("bench", artifact.path, "--against", artifact.path, "--repeats", 5)
    assert done.code == 0
    for words in (
        "Process, 1 thread",
        "Prefill, 1 thread",
        "Decoding, 1 thread",
        "speed of A",
        "peak memory",
    ):
        assert words in done.out
    for words in ("quartiles", "random token ids", "seed 0", "95 % interval", "measured on "):
        assert words in done.out
    assert "measuring with 1 thread" in done.err
    assert "..." not in done.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--lengths", "1,{beyond}"],
            "--lengths {beyond} is too long for .*; give at most {positions}",
        ),
        (["--contexts", "{positions}"], "--contexts {positions} leaves no position .* at most {last}"),
        (["--threads", "999"], "--threads 999 is more than the [0-9]+ CPUs of this process; give at most"),
    ],
)
@each_recipe
def test_what_an_artifact_cannot_take_is_refused_with_the_most_it_can(
    recipe, options, message, exported, run, match_lines
):
    artifact = exported(LM, recipe)
    positions = positions_of(artifact)
    numbers = {"positions": positions, "beyond": positions + 1, "last": positions - 1}
    done = run("bench", artifact.path, *(option.format(**numbers) for option in options))
    assert (done.code, done.out) == (3, "")
    match_lines(message.format(**numbers), done.err)


@pytest.fixture
def match_lines():
    """Whether a pattern is found in a text, wherever it has its line breaks."""
    import re

    def call(pattern, text):
        assert re.search(pattern, " ".join(text.split())), text

    return call


def test_all_that_is_wrong_is_said_at_once(exported, run):
    artifact = exported(CLASSIFIER, "onnx-fp32")
    done = run("bench", artifact.path, "--lengths", "999", "--contexts", "1", "--threads", "999", "--json")
    assert done.code == 3
    message = json.loads(done.out)["error"]["message"]
    for words in ("3 problems", "--lengths 999", "--contexts has no effect", "leave it out", "--threads 999"):
        assert words in message


@pytest.mark.parametrize("value", ["0", "-1", "x", "1,,2", "1.5", ""])
@pytest.mark.parametrize("option", ["--lengths", "--contexts", "--threads"])
def test_what_is_no_list_of_numbers_is_wrong_usage(option, value, run):
    done = run("bench", "anything", f"{option}={value}")
    assert (done.code, done.out) == (2, "")
    assert ("list of whole numbers of at least 1" if value else "is empty") in done.err


def test_an_artifact_of_fixed_length_is_asked_that_many_tokens_and_no_other_number(
    exported, bench, run, tmp_path
):
    fixed = shutil.copytree(exported(CLASSIFIER, "onnx-fp32").path, tmp_path / "fixed")
    manifest = json.loads((fixed / "manifest.json").read_text())
    manifest["interface"]["length"] = 3
    manifest["interface"]["dynamic_length"] = False
    manifest["recipe"]["shapes"]["length"] = 3
    (fixed / "manifest.json").write_text(json.dumps(manifest))
    other = exported(CLASSIFIER, "onnx-fp32")
    assert [line["tokens"] for line in lines_of(bench(other, "--against", fixed), "prefill")] == [3]
    done = run("bench", fixed, "--lengths", "2")
    assert done.code == 3
    assert "takes exactly 3 tokens; give --lengths 3" in done.err


@pytest.mark.parametrize(
    ("name", "recipe"), [pytest.param(CLASSIFIER, "onnx-fp32", marks=pytest.mark.slow), (LM, "xnnpack-fp32")]
)
def test_without_a_compiler_a_python_process_is_timed_and_that_is_said(
    name, recipe, exported, bench, tmp_path, monkeypatch
):
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    result = bench(exported(name, recipe), "--lengths", "2,4")
    assert "Python process" in result["machine"]
    assert "no-such-compiler" in result["notes"][0]
    assert len(lines_of(result, "prefill")) == 2
    assert bool(lines_of(result, "decode")) == (name == LM)
    assert "on top of" in result["peak_memory"][0]["figures"][0]["note"]


def test_with_a_compiler_it_is_the_native_runner(exported, bench):
    try:
        check_tools("onnxruntime")
    except MissingTool as error:
        pytest.skip(str(error))
    result = bench(exported(LM, "onnx-fp32"), "--lengths", "2", "--contexts", "2")
    assert "native runner" in result["machine"]
    assert result["notes"] == []


def test_noise_that_hits_both_of_a_pair_leaves_the_interval_of_the_ratio_narrow():
    noise = [1 + (i * 7 % 10) / 5 for i in range(30)]
    low, high = ratio_of_medians([2.0 * x for x in noise], noise)
    assert low == pytest.approx(2)
    assert high == pytest.approx(2)
    low, high = ratio_of_medians([2.0 * x for x in noise], noise[::-1][3:] + noise[:3])
    assert low < 1.8 < 2.2 < high
