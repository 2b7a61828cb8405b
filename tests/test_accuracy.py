"""`nf-edge check` and what it stands on: intervals, comparison of answers, perplexity."""

import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import TESTS
from hypothesis import given
from hypothesis import strategies as st

from nf_edge.accuracy.answers import Answers
from nf_edge.accuracy.compare import compare
from nf_edge.intervals import paired_difference, wilson

CASES = TESTS / "cases"


@pytest.mark.parametrize(
    ("hits", "total", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0000, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_of_a_share_is_the_published_one(hits, total, low, high):
    """Newcombe, Statistics in Medicine 17, 1998, table I, method 3."""
    assert wilson(hits, total) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_ends_of_a_shares_interval_are_1_96_standard_errors_from_it(counts):
    hits, total = counts
    share = hits / total
    for end in wilson(hits, total):
        error = math.sqrt(end * (1 - end) / total)
        assert abs(share - end) == pytest.approx(1.959964 * error, abs=1e-6)


@given(st.integers(0, 300), st.integers(0, 300), st.integers(1, 300))
def test_the_interval_of_a_drop_is_walds_with_half_a_case_more_in_every_cell(lost, gained, same):
    cells = {-1: gained + 0.5, 1: lost + 0.5, 0: same + 1.0}
    values, weights = np.array(list(cells)), np.array(list(cells.values()))
    mean = np.average(values, weights=weights)
    spread = math.sqrt(np.average((values - mean) ** 2, weights=weights) / weights.sum())
    low, high = paired_difference(lost, gained, lost + gained + same)
    assert (low, high) == pytest.approx((mean - 1.959964 * spread, mean + 1.959964 * spread), abs=1e-6)


@pytest.mark.parametrize(("lost", "gained", "total"), [(0.05, 0.03, 300), (0.02, 0.0, 500), (0.3, 0.1, 50)])
def test_the_interval_of_a_drop_has_the_truth_in_it_95_times_in_100(lost, gained, total):
    draws = np.random.default_rng(0).multinomial(total, [lost, gained, 1 - lost - gained], size=4000)
    intervals = [paired_difference(int(b), int(c), total) for b, c, _ in draws]
    covered = np.mean([low <= lost - gained <= high for low, high in intervals])
    assert 0.92 < covered < 0.985


def answers(predicted, truth):
    nothing = np.full(len(truth), np.nan)
    return Answers(np.array(predicted), np.array(truth), nothing)


def test_flips_count_changed_answers_and_the_drop_only_lost_right_ones():
    truth = [0, 0, 0, 0, 1]
    found = compare(answers([0, 0, 1, 1, 1], truth), answers([0, 1, 0, 2, 0], truth), False)
    assert (found.flips, found.lost, found.gained) == (4, 2, 1)
    assert (found.reference.share, found.artifact.share) == (3 / 5, 2 / 5)
    assert found.drop == pytest.approx(1 / 5)
    assert found.drop_interval[0] < found.drop < found.drop_interval[1]


@pytest.fixture
def rows(tmp_path):
    """Write random rows as JSONL and give the path, and the rows."""

    def write(config, count=40, lengths=(2, 10)):
        generator = np.random.default_rng(0)
        found = [
            {
                "input_ids": generator.integers(
                    config.vocab_size, size=generator.integers(*lengths, endpoint=True)
                ).tolist(),
                "label": int(generator.integers(config.num_labels or 1)),
            }
            for _ in range(count)
        ]
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8")
        return path, found

    return write


@pytest.fixture
def check(run):
    """Call `nf-edge check --json`, and give the exit code and the result."""

    def call(artifact, data, case, *options):
        done = run("check", artifact.path, "--data", data, "--reference", CASES / case, "--json", *options)
        document = json.loads(done.out)
        assert document["schema"] == "nf-edge/1"
        return done.code, document.get("result", document.get("error"))

    return call


@pytest.mark.parametrize("recipe", ["onnx-fp32", "xnnpack-fp32"])
def test_an_fp32_artifact_answers_as_its_checkpoint_does(recipe, exported, checkpoint, rows, check):
    case = "cls-standard-padded"
    path, data = rows(checkpoint(case).config)
    code, found = check(exported(case, recipe), path, case, "--max-drop", "0")
    assert (code, found["passed"], found["drop"], found["flips"]) == (0, True, 0, 0)
    network = checkpoint(case).model()
    right = sum(network(torch.tensor([row["input_ids"]])).argmax().item() == row["label"] for row in data)
    assert found["reference"] == found["artifact"]
    assert (found["reference"]["right"], found["questions"]) == (right, len(data))
    assert 0 < right < len(data)


@pytest.mark.parametrize("recipe", ["onnx-fp32", "onnx-fp32+all", "xnnpack-fp32", "xnnpack-fp32+all"])
def test_perplexity_is_pytorchs_through_the_files_cache_and_over_whole_rows(
    recipe, exported, checkpoint, rows, check
):
    case = "lm-pairwise-relu"
    path, data = rows(checkpoint(case).config, count=12)
    code, found = check(exported(case, recipe), path, case)
    assert code == 0
    network, losses = checkpoint(case).model(), []
    for row in data:
        ids = torch.tensor(row["input_ids"])
        losses.append(F.cross_entropy(network(ids[None])[0, :-1], ids[1:], reduction="none"))
    loss = torch.cat(losses)
    for side in ("reference", "artifact"):
        assert found[side]["perplexity"] == pytest.approx(loss.mean().exp().item(), rel=1e-4)
        error = loss.mean().exp().item() * loss.std().item() / len(loss) ** 0.5
        assert found[side]["perplexity_error"] == pytest.approx(error, rel=1e-3)
    assert (found["questions"], found["unit"], found["flips"]) == (len(loss), "tokens", 0)


def test_rows_that_were_cut_are_counted_and_the_limit_holds(exported, checkpoint, rows, check):
    case = "cls-standard-padded"
    path, data = rows(checkpoint(case).config, lengths=(8, 13))
    code, found = check(exported(case, "onnx-fp32"), path, case, "--limit", "20")
    longer = sum(len(row["input_ids"]) > 10 for row in data[:20])
    assert (code, found["questions"], found["truncated_rows"]) == (0, 20, longer)
    assert longer > 0


def test_another_checkpoint_than_the_artifacts_own_is_refused(exported, checkpoint, rows, check):
    case = "cls-standard-padded"
    path, _ = rows(checkpoint(case).config)
    code, error = check(exported(case, "onnx-fp32"), path, "cls-causal-first")
    assert code == error["exit_code"] == 3
    assert "is not the checkpoint" in error["message"]


def test_without_a_reference_the_flag_is_named(run, exported, checkpoint, rows):
    case = "cls-standard-padded"
    path, _ = rows(checkpoint(case).config)
    done = run("check", exported(case, "onnx-fp32").path, "--data", path)
    assert (done.code, done.out) == (3, "")
    assert "--reference" in done.err


def test_a_regression_has_no_accuracy_and_says_so(exported, checkpoint, rows, check):
    case = "cls-regression-padded"
    path, _ = rows(checkpoint(case).config)
    code, error = check(exported(case, "onnx-fp32"), path, case)
    assert code == 3
    assert "a regression has no accuracy to check" in error["message"]


@pytest.mark.parametrize("recipe", ["onnx-fp32", "onnx-fp32+all"])
def test_a_language_model_needs_a_row_of_two_tokens(recipe, exported, tmp_path, check):
    path = tmp_path / "short.jsonl"
    path.write_text('{"input_ids": [1]}\n')
    code, error = check(exported("lm-pairwise-relu", recipe), path, "lm-pairwise-relu")
    assert code == 3
    assert "no row has two tokens" in error["message"]


def test_people_read_the_same_figures_as_a_table(run, exported, checkpoint, rows):
    case = "cls-standard-padded"
    path, _ = rows(checkpoint(case).config)
    done = run("check", exported(case, "onnx-fp32").path, "--data", path, "--reference", CASES / case)
    assert done.code == 0
    for fact in ("PASSES the accuracy gate", "drop +0.00 points", "0 of 40 rows flipped", "95 % interval"):
        assert fact in done.out
