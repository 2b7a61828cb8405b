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

from nf_edge.backends import backend_for
from nf_edge.backends.input_shape import InputShape
from nf_edge.backends.onnx.cpu import OnnxCpu
from nf_edge.core.intervals import clustered_error, clustered_mean, effective_count, paired_difference, wilson
from nf_edge.measure.accuracy.compare import compare
from nf_edge.measure.accuracy.paired_rows import PairedRows
from nf_edge.measure.accuracy.parity import _same_answer
from nf_edge.measure.accuracy.predict import predict_both
from nf_edge.measure.accuracy.predictions import PairedPredictions, Predictions
from nf_edge.model import TorchDecoder
from nf_edge.model.data.rows import Row, Rows

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
    ends = max(-1, mean - 1.959964 * spread), min(1, mean + 1.959964 * spread)
    assert (low, high) == pytest.approx(ends, abs=1e-6)


@pytest.mark.parametrize(("lost", "gained", "total"), [(0.05, 0.03, 300), (0.02, 0.0, 500), (0.3, 0.1, 50)])
def test_the_interval_of_a_drop_has_the_truth_in_it_95_times_in_100(lost, gained, total):
    draws = np.random.default_rng(0).multinomial(total, [lost, gained, 1 - lost - gained], size=4000)
    intervals = [paired_difference(int(b), int(c), total) for b, c, _ in draws]
    covered = np.mean([low <= lost - gained <= high for low, high in intervals])
    assert 0.92 < covered < 0.985


def test_the_intervals_of_texts_have_the_truth_in_them_95_times_in_100():
    """Tokens of one text are alike: intervals that took them for independent have it 50 times in 100."""
    generator, rows = np.random.default_rng(0), 60
    lengths = generator.integers(10, 90, rows)
    row = np.repeat(np.arange(rows), lengths)
    means, shares, alone = [], [], []
    for _ in range(1000):
        level = generator.gamma(2.0, 0.5, rows)[row]
        values = generator.gamma(2.0, level / 2)
        wrong = generator.random(len(row)) < 0.2 * level
        _, (low, high) = clustered_mean(values, row)
        means.append(low <= 1 <= high)
        told = effective_count(wrong, row)
        low, high = wilson(wrong.mean() * told, told)
        shares.append(low <= 0.2 <= high)
        low, high = wilson(wrong.sum(), len(row))
        alone.append(low <= 0.2 <= high)
    assert 0.91 < np.mean(means) < 0.98
    assert 0.91 < np.mean(shares) < 0.98
    assert np.mean(alone) < 0.6


def test_questions_of_rows_of_their_own_are_independent():
    values, row = np.random.default_rng(0).normal(size=50), np.arange(50)
    assert effective_count(values, row) == 50
    assert clustered_error(values, row) == pytest.approx(values.std(ddof=1) / 50**0.5)


def test_flips_count_changed_answers_and_the_drop_only_lost_right_ones():
    nothing = np.full(5, np.nan)
    sides = [Predictions(np.array(said), nothing) for said in ([0, 0, 1, 1, 1], [0, 1, 0, 2, 0])]
    found = compare(
        PairedPredictions(np.arange(5), np.array([0, 0, 0, 0, 1]), *sides, nothing), "classification"
    )
    assert (found.divergence.flips, found.lost, found.gained) == (4, 2, 1)
    assert (found.reference.share, found.artifact.share) == (3 / 5, 2 / 5)
    assert found.drop == pytest.approx(20)
    assert found.drop_interval[0] < found.drop < found.drop_interval[1]


def test_a_part_of_the_rows_may_have_no_token_to_predict(checkpoint):
    """As on an emulated core, which takes only some of the rows."""
    model = checkpoint("lm-none").model()
    rows = PairedRows(Rows((Row((3,), None), Row((3, 1, 4), None)), "texts", "", 0))
    shape = InputShape(any_batch=False, length=8, dynamic_length=True, cached=True)
    found = [
        predict_both(model, TorchDecoder(model), shape, rows.part(slice(at, at + 1)), prompts=True)
        for at in (0, 1)
    ]
    assert [each.truth.tolist() for each in found] == [[], [1, 4]]


@pytest.mark.parametrize(("more", "loses"), [(0.0, False), (-0.1, False), (0.1, True), (math.inf, True)])
@pytest.mark.parametrize("texts", [1, 2])
def test_a_higher_perplexity_is_a_loss_also_where_a_single_text_gives_no_interval(texts, more, loses):
    row, truth, loss = np.arange(8) % texts, np.zeros(8, dtype=np.int64), np.linspace(1, 2, 8)
    reference, artifact = Predictions(truth, loss), Predictions(truth, loss + more)
    found = compare(PairedPredictions(row, truth, reference, artifact, np.zeros(8)), "language modelling")
    assert found.loses == loses


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


@pytest.mark.parametrize("recipe", ["onnx-fp32+all", "xnnpack-fp32"])
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
        sums = np.array([(of_row - loss.mean()).sum().item() for of_row in losses])
        error = loss.mean().exp().item() * (len(sums) / (len(sums) - 1) * (sums**2).sum()) ** 0.5 / len(loss)
        assert found[side]["perplexity_error"] == pytest.approx(error, rel=1e-3)
    assert (found["questions"], found["unit"], found["flips"]) == (len(loss), "tokens", 0)


@pytest.mark.parametrize(
    ("model", "recipe"),
    [
        ("wide-cls", "onnx-int8-dynamic"),
        ("eight-relative", "onnx-int4"),
        ("eight-relative", "onnx-int4+all"),
        ("wide-lm", "xnnpack-8da4w"),
    ],
)
def test_the_divergence_is_that_of_the_files_own_logits_from_pytorchs(
    model, recipe, exported, checkpoint, rows, run
):
    """KL(reference ‖ artifact) of every question, and its interval over rows, written out in NumPy."""
    artifact, reference = exported(model, recipe), checkpoint(model)
    path, data = rows(reference.config, count=9, lengths=(2, 50))
    options = ("--data", path, "--reference", reference.path, "--max-drop", 100, "--json")
    done = run("check", artifact.path, *options)
    found = json.loads(done.out)["result"]
    input_shape, network = artifact.manifest.interface.input_shape, reference.model()
    loaded = backend_for(artifact.manifest.recipe).load(artifact.model_file, input_shape)
    of_rows = []
    for row in data:
        ids = row["input_ids"]
        before = network(torch.tensor([ids])).numpy()
        if input_shape.cached:
            after = np.stack([loaded.feed([token], at) for at, token in enumerate(ids)])[None]
        else:
            after = loaded.run(np.array([ids]), np.ones((1, len(ids)), np.int64))
        both = np.stack([before, after]).astype(np.float64)
        both = both[:, 0, :-1] if reference.config.is_language_model else both
        p, q = np.exp(both) / np.exp(both).sum(-1, keepdims=True)
        of_rows.append((p * np.log(p / q)).sum(-1))
    every = np.concatenate(of_rows)
    assert (found["questions"], found["kl"]) == (len(every), pytest.approx(every.mean(), rel=1e-4))
    sums = np.array([(of_row - every.mean()).sum() for of_row in of_rows])
    half = 2.306 * math.sqrt(9 / 8 * (sums**2).sum()) / len(every)  # the 97.5 % point of t with 8 degrees
    assert found["kl_interval"] == pytest.approx([every.mean() - half, every.mean() + half], rel=1e-3)
    assert found["kl_interval"][0] > 0
    if reference.config.is_language_model:
        before, after = (found[side]["perplexity"] for side in ("reference", "artifact"))
        assert found["perplexity_ratio"] == pytest.approx(after / before)
        low, high = found["perplexity_ratio_interval"]
        assert low < after / before < high


@pytest.mark.slow
def test_of_a_single_text_there_is_a_divergence_and_no_interval(run, exported, checkpoint, rows):
    path, _ = rows(checkpoint("eight-none").config, count=1)
    artifact = exported("eight-none", "onnx-int4").path
    done = run("check", artifact, "--data", path, "--reference", checkpoint("eight-none").path)
    assert "a single text gives no interval" in done.out


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


@pytest.mark.slow
def test_what_has_no_accuracy_says_so(exported, checkpoint, rows, check):
    case = "cls-regression-of-three"
    path, _ = rows(checkpoint(case).config)
    code, error = check(exported(case, "onnx-fp32"), path, case)
    assert code == 3
    assert "a regression of 3 numbers cannot be checked" in error["message"]


def test_what_has_no_accuracy_says_so_before_the_work(checkpoint, rows, run, tmp_path, monkeypatch):
    case = "cls-regression-of-three"
    path, _ = rows(checkpoint(case).config)
    monkeypatch.setattr(OnnxCpu, "lower", None)
    done = run("export", CASES / case, "--recipe", "onnx-fp32", "--data", path, "-o", tmp_path / "out")
    assert (done.code, done.out) == (3, "")
    assert "a regression of 3 numbers cannot be checked" in done.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("case", "kind"),
    [("cls-regression-padded", "regression"), ("cls-multi-label", "multi-label classifier of 4 labels")],
)
def test_what_predicts_no_probabilities_has_no_sensitivity(case, kind, checkpoint, rows, run):
    path, _ = rows(checkpoint(case).config)
    done = run("sensitivity", CASES / case, "--recipe", "onnx-int8-dynamic", "--data", path)
    assert done.code == 3
    assert f"a {kind} predicts no probabilities" in done.err


@pytest.mark.parametrize("case", ["cls-regression-of-three", "cls-multi-label"])
def test_what_has_no_one_label_a_row_is_not_made_smaller(case, run, checkpoint, rows, tmp_path):
    path, _ = rows(checkpoint(case).config)
    recipe = "xnnpack-8da8w-half"
    done = run("compress", CASES / case, "--recipe", recipe, "--train", path, "-o", tmp_path / "out")
    assert (done.code, done.out) == (3, "")
    assert "nf-edge compresses only models with one label per row" in done.err


@pytest.mark.parametrize(
    ("case", "same"), [("cls-standard-padded", 1), ("cls-multi-label", 1), ("cls-regression-of-three", None)]
)
def test_an_export_says_how_many_answers_are_the_same_where_answers_can_be(case, same, exported):
    parity = exported(case, "onnx-fp32").manifest.reports["parity"]
    assert parity["agreement"] == same
    assert parity["error"] <= 1e-4


def test_the_answer_of_a_multi_label_head_is_all_of_its_labels():
    """Where the largest logit stays the same another label may change."""
    wanted, found = np.array([3.0, 0.1, -1.0]), np.array([3.0, -0.1, -1.0])
    assert not _same_answer(wanted, found, "multi-label classification")
    assert _same_answer(wanted, found, "classification")


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
    for fact in (
        "no limit was given, so the accuracy was not judged",
        "drop +0.00 points",
        "rows that changed their answer: 0 of 40, 0.00 % (95",
    ):
        assert fact in done.out
