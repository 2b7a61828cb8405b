"""The accuracy gate: metrics of every task, limits on them, and what never passes."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import TESTS
from junitparser import JUnitXml
from scipy import stats
from sklearn import metrics as sk

import nf_edge
from nf_edge.backends import backend_for
from nf_edge.core.intervals import mcnemar
from nf_edge.core.metrics import METRICS
from nf_edge.core.recipe.recipe import Limits
from nf_edge.measure.accuracy.baseline import Baseline, baseline_report
from nf_edge.measure.accuracy.check import report_of
from nf_edge.measure.accuracy.predictions import PairedPredictions, Predictions
from nf_edge.measure.accuracy.resampling import FORMULAS, loss_interval
from nf_edge.measure.accuracy.sample import Sample
from nf_edge.model import ModelConfig
from nf_edge.model.data.glue import TASKS
from nf_edge.model.data.rows import Row, Rows
from nf_edge.model.data.scored_text import ScoredText
from nf_edge.model.finite import finite
from nf_edge.pipeline.explained import Explained
from nf_edge.render.gate import summary_markdown
from nf_edge.render.html.explained_page import explained_page

CASES = TESTS / "cases"
BY_SCIKIT_LEARN = {
    "accuracy": sk.accuracy_score,
    "f1": sk.f1_score,
    "matthews": sk.matthews_corrcoef,
    "pearson": lambda truth, said: stats.pearsonr(truth, said).statistic,
    "spearman": lambda truth, said: stats.spearmanr(truth, said).statistic,
    "mse": sk.mean_squared_error,
    "f1_micro": lambda truth, said: sk.f1_score(truth, said, average="micro"),
    "f1_macro": lambda truth, said: sk.f1_score(truth, said, average="macro"),
}


def drawn(kind, count, generator):
    """Truth and predictions that are often right: of classes, of several labels, or numbers."""
    if kind == "numbers":
        truth = generator.integers(0, 6, count).astype(float)
        return truth, truth + generator.normal(size=count)
    shape, classes = ((count, 4), 2) if kind == "labels" else (count, kind)
    truth = generator.integers(0, classes, shape)
    return truth, np.where(generator.random(shape) < 0.7, truth, generator.integers(0, classes, shape))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *((name, 2) for name in ("f1", "matthews", "f1_micro", "f1_macro")),
        *((name, 5) for name in ("matthews", "f1_micro", "f1_macro")),
        *((name, "labels") for name in ("f1_micro", "f1_macro")),
        *((name, "numbers") for name in ("pearson", "spearman", "mse")),
    ],
)
def test_a_metric_of_rows_drawn_again_is_scikit_learns_on_those_rows(name, kind):
    generator = np.random.default_rng(0)
    truth, said = drawn(kind, 60, generator)
    counts = generator.multinomial(60, np.full(60, 1 / 60), size=20)
    found = FORMULAS[name](counts.astype(float), truth, said)
    for count, value in zip(counts, found, strict=True):
        again = np.repeat(np.arange(60), count)
        assert value == pytest.approx(BY_SCIKIT_LEARN[name](truth[again], said[again]), abs=1e-9)


@pytest.mark.parametrize("name", ["pearson", "spearman"])
def test_a_correlation_of_drawn_rows_that_are_all_equal_is_undefined(name):
    """Also where rounding leaves a little of a variance."""
    truth, said = np.array([0.1, 0.1, 0.3]), np.array([0.7, 0.2, 0.4])
    counts = np.array([[7.0, 6, 0], [5, 5, 3]])
    with np.errstate(invalid="ignore"):
        found = FORMULAS[name](counts, truth, said)
    assert np.isnan(found).tolist() == [True, False]


def test_every_metric_without_an_interval_of_its_own_has_a_formula_to_draw_with():
    assert set(METRICS) == {*FORMULAS, "accuracy", "perplexity"}


def test_the_interval_of_a_loss_of_f1_has_the_truth_in_it_95_times_in_100():
    generator, covered = np.random.default_rng(0), []
    many = drawn(2, 200_000, generator)
    for number in range(200):
        truth, before = drawn(2, 200, generator)
        after = np.where(generator.random(200) < 0.9, before, 1 - before)
        low, high = loss_interval(METRICS["f1"], truth, before, after, seed=number)
        covered.append((low, high))
    truth, before = many
    after = np.where(generator.random(len(truth)) < 0.9, before, 1 - before)
    loss = 100 * (sk.f1_score(truth, before) - sk.f1_score(truth, after))
    assert 0.9 < np.mean([low <= loss <= high for low, high in covered]) < 0.99


def test_the_p_value_of_a_drop_is_the_published_mid_p():
    """Fagerland et al., BMC Medical Research Methodology 13, 2013, on 1 and 7 discordant pairs: 0.039."""
    assert mcnemar(1, 7) == pytest.approx(0.0391, abs=5e-5)
    assert mcnemar(7, 1) == mcnemar(1, 7)
    assert mcnemar(0, 0) == 1


def predictions(truth, before, after):
    """Of a checkpoint and an artifact, one per row."""
    nothing = np.full(len(truth), np.nan)
    kl = np.zeros(len(truth)) if np.ndim(truth) == 2 or truth.dtype.kind == "i" else nothing
    sides = (Predictions(np.array(said), nothing) for said in (before, after))
    return PairedPredictions(np.arange(len(truth)), np.array(truth), *sides, kl)


def classifier(labels=2, **keys):
    """The configuration of a small classifier."""
    shape = {"architectures": ["NoiseFormerForSequenceClassification"], "vocab_size": 8, "n_positions": 8}
    return ModelConfig(**shape, n_embd=8, n_layer=1, n_head=1, num_labels=labels, **keys)


def judged(config, truth, before, after, task=None, **limits):
    rows = Rows((), "rows.tsv", "", 0, task=task)
    return report_of(predictions(truth, before, after), config, rows, Limits(**limits))


@pytest.fixture(scope="module")
def answers():
    """200 rows of two classes; the artifact loses 8 and gains 2."""
    truth, before = drawn(2, 200, np.random.default_rng(1))
    after, right = before.copy(), np.flatnonzero(before == truth)
    wrong = np.flatnonzero(before != truth)
    after[right[:8]] = 1 - truth[right[:8]]
    after[wrong[:2]] = truth[wrong[:2]]
    return truth, before, after


def test_a_tasks_official_metrics_come_first_and_accuracy_is_always_there(answers):
    for name, metrics in (("cola", ["matthews", "accuracy"]), ("mrpc", ["f1", "accuracy"])):
        report = judged(classifier(), *answers, task=TASKS[name])
        assert [change.metric.name for change in report.metrics] == metrics
    report = judged(classifier(), *answers)
    (change,) = report.metrics
    assert (change.metric.name, change.loss, change.p_value) == ("accuracy", 3, mcnemar(8, 2))
    assert report.to_json()["metrics"]["accuracy"]["changed"] == 10


@pytest.mark.parametrize(
    ("limits", "problem"),
    [
        ({"max_drop": 3}, ""),
        ({"max_drop": 2.5}, "accuracy drops by 3.00 points, more than the 2.5 allowed"),
        (
            {"max_drop": 3, "on": "interval"},
            "accuracy may drop by 6.16 points (the bad end of the 95 % interval",
        ),
        ({"max_drop": 7, "on": "interval"}, ""),
        ({"max_drop": {"f1": 2}}, "f1 drops by"),
        ({"max_drop": {"accuracy": 3, "matthews": 5}}, "matthews drops by"),
        ({"max_changed": 5}, ""),
        ({"max_changed": 4}, "5.00 % of the rows changed their answer, more than the 4 % allowed"),
        ({"max_changed": 5, "on": "interval"}, "8.96 % of the rows may have changed their answer"),
        ({"max_kl": 0}, ""),
    ],
)
def test_a_limit_holds_or_says_by_how_much_it_is_missed(limits, problem, answers):
    report = judged(classifier(), *answers, **limits)
    assert report.passed == (not problem)
    assert problem in report.problem
    assert [result.passed for result in report.limits].count(False) == bool(problem)


@pytest.mark.parametrize(
    ("count", "limits", "needed"),
    [
        (99, {"max_drop": 1}, "give at least 100"),
        (100, {"max_drop": 1}, ""),
        (199, {"max_drop": {"f1_macro": 0.5}}, "give at least 200"),
        (40, {"max_changed": 2}, "give at least 50"),
        (190, {"max_drop": 1, "on": "interval"}, "give at least 194"),
        (194, {"max_drop": 1, "on": "interval"}, ""),
        (380, {"max_changed": 1, "on": "interval"}, "give at least 381"),
        (381, {"max_changed": 1, "on": "interval"}, ""),
        (900, {"max_drop": 0, "on": "interval"}, "no number of rows is enough"),
        (10, {"max_drop": 0}, ""),
        (9, {"max_drop": 0}, "9 rows are too few to judge a loss of 0 points of accuracy; give at least 10"),
        (1, {"max_drop": 100}, "1 row is too few to judge a loss of 100 points of accuracy; give"),
        (9, {"max_drop": {"f1": 100}}, "9 rows are too few to judge a loss of 100 points of f1; give"),
        (9, {"max_changed": 100}, "9 rows are too few to judge 100 % of changed answers; give at least 10"),
        (9, {"max_kl": 1}, "9 rows are too few to judge a KL divergence of 1 nats; give at least 10"),
        (9, {"max_kl": 1, "on": "interval"}, "give at least 10"),
        (10, {"max_kl": 1, "on": "interval"}, ""),
    ],
)
def test_rows_that_are_too_few_for_a_limit_never_pass_it(count, limits, needed):
    """Although no answer changes."""
    truth = np.arange(count) % 2
    report = judged(classifier(), truth, truth, truth, **limits)
    assert report.passed == (not needed)
    assert needed in report.problem


def test_a_loss_that_no_row_shows_has_an_interval_all_the_same():
    """As wide as that of the accuracy, because draws of rows without a change have none."""
    truth = np.arange(200) % 2
    report = judged(classifier(), truth, truth, truth, max_drop={"f1": 1, "accuracy": 1}, on="interval")
    accuracy, f1 = (change.interval for change in report.metrics)
    assert accuracy == pytest.approx((-0.97, 0.97), abs=0.01)
    assert f1 == pytest.approx(accuracy)


def test_a_rare_class_needs_more_rows():
    """One of 4 positive rows is an eighth of the F1, however many negative rows there are."""
    truth = (np.arange(400) < 4).astype(int)
    report = judged(classifier(), truth, truth, truth, max_drop={"f1": 1})
    assert "are too few to judge a loss of 1 points of f1; give at least about 5,000" in report.problem
    assert judged(classifier(), truth, truth, truth, max_drop={"f1_micro": 1}).passed


@pytest.mark.parametrize(
    ("name", "truth", "before", "after", "reason"),
    [
        ("f1", [0] * 200, [0] * 200, [0] * 200, "all rows have the same label"),
        ("matthews", [1] * 200, [0, 1] * 100, [0, 1] * 100, "all rows have the same label"),
        ("matthews", [0, 1] * 100, [0, 1] * 100, [1] * 200, "all predictions are equal"),
        ("pearson", [0.5] * 200, [0.1, 0.2] * 100, [0.1, 0.2] * 100, "all rows have the same label"),
        ("spearman", [0.1, 0.2] * 100, [0.1, 0.2] * 100, [0.3] * 200, "all predictions are equal"),
        ("pearson", [0.1, 0.2] * 100, [0.1, 0.2] * 100, [0.1, np.nan] * 100, "not finite"),
        ("mse", [0.1, 0.2] * 100, [0.1, 0.2] * 100, [0.1, np.nan] * 100, "not finite"),
        ("f1", [0, 1] * 100, [0, 1] * 100, [0, -2] * 100, "not finite"),
    ],
)
def test_a_metric_that_is_undefined_is_unknown_and_fails(name, truth, before, after, reason):
    config = classifier(1) if isinstance(truth[0], float) else classifier()
    report = judged(config, np.array(truth), before, after, max_drop={name: 100})
    (change,) = (change for change in report.metrics if change.metric.name == name)
    assert change.loss is None
    assert reason in change.unknown
    assert not report.passed
    assert reason in report.problem
    assert json.loads(json.dumps(report.to_json()))["metrics"][name]["loss"] is None


@pytest.mark.parametrize(
    ("kl", "limits", "problem"),
    [
        (0.01, {"max_kl": 0.011}, ""),
        (0.01, {"max_kl": 0.009}, "the KL divergence is 0.01 nats, more than the 0.009 allowed"),
        (0.01, {"max_kl": 0.011, "on": "interval"}, "the KL divergence may be 0.011"),
        (0.01, {"max_kl": 0.012, "on": "interval"}, ""),
        (np.inf, {"max_kl": 9}, "the KL divergence is not finite"),
        (np.nan, {"max_kl": 9}, "the KL divergence is not finite"),
    ],
)
def test_a_limit_on_divergence_needs_no_labels(kl, limits, problem, answers):
    """Half of the rows diverge by nothing, half by twice the mean."""
    rows = replace(predictions(*answers), kl=np.where(np.arange(200) % 2, 2 * kl, 0), truth=np.full(200, -1))
    report = report_of(rows, classifier(), Rows((), "rows.tsv", "", 0), Limits(**limits))
    assert (report.passed, report.metrics) == (not problem, ())
    assert problem in report.problem


def test_a_limit_of_nothing_on_intervals_says_that_no_rows_are_enough():
    truth = np.arange(400) % 2
    report = judged(classifier(), truth, truth, truth, max_changed=0, on="interval")
    assert "no number of rows is enough to judge 0 % of changed answers by an interval" in report.problem


@pytest.fixture
def rows_for():
    """Random rows of a model, labelled."""

    def make(config, count=120, labelled=True):
        generator, rows = np.random.default_rng(0), []
        for _ in range(count):
            ids = generator.integers(config.vocab_size, size=generator.integers(2, 10)).tolist()
            label = {
                "classification": int(generator.integers(config.num_labels)),
                "multi-label classification": tuple(generator.integers(0, 2, config.num_labels).tolist()),
                "regression": float(generator.normal()),
            }[config.task]
            rows.append(Row(tuple(ids), label if labelled else None))
        return Rows(tuple(rows), "rows", "", 0)

    return make


@pytest.mark.parametrize(
    ("case", "metrics"),
    [
        ("cls-standard-padded", ("accuracy", "f1", "matthews", "f1_micro", "f1_macro")),
        ("cls-multi-label", ("f1_micro", "f1_macro", "accuracy")),
        ("cls-regression-padded", ("pearson", "spearman", "mse")),
    ],
)
def test_metrics_are_scikit_learns_on_the_files_own_answers(case, metrics, exported, checkpoint, rows_for):
    artifact, reference = exported(case, "onnx-int8-dynamic"), checkpoint(case)
    rows = rows_for(reference.config)
    report = nf_edge.check(
        artifact, rows, reference=reference.path, max_drop=dict.fromkeys(metrics, 100), notify=print
    )
    found = report.to_json()["metrics"]
    session = backend_for(artifact.manifest.recipe).load(
        artifact.model_file, artifact.manifest.interface.input_shape
    )
    logits, network = {"reference": [], "artifact": []}, reference.reference()
    for row in rows.rows:
        ids = np.array([row.input_ids])
        logits["artifact"].append(session.run(ids, np.ones_like(ids))[0])
        logits["reference"].append(finite(network, torch.from_numpy(ids), rows="rows")[0].numpy())
    truth = np.array([row.label for row in rows.rows])
    for side, values in logits.items():
        said = {
            "classification": lambda x: x.argmax(-1),
            "multi-label classification": lambda x: (1 / (1 + np.exp(-x)) > 0.5).astype(int),
            "regression": lambda x: x[:, 0],
        }[reference.config.task](np.array(values, np.float64))
        for name in metrics:
            assert found[name][side] == pytest.approx(BY_SCIKIT_LEARN[name](truth, said), abs=1e-6)
    for name in metrics:
        low, high = found[name]["loss_interval"]
        assert low <= found[name]["loss"] <= high
    assert [limit["name"] for limit in report.to_json()["limits"]] == list(metrics)
    assert next(iter(found)) == metrics[0]


def test_rows_without_labels_are_checked_on_answers_alone(exported, checkpoint, rows_for):
    case = "cls-standard-padded"
    artifact, reference = exported(case, "onnx-int8-dynamic"), checkpoint(case)
    rows, where = rows_for(reference.config, labelled=False), {"reference": reference.path}
    report = nf_edge.check(artifact, rows, **where, max_changed=50, max_kl=1)
    assert report.passed
    assert [result.name for result in report.limits] == ["changed", "kl"]
    found = report.to_json()
    assert (found["metrics"], found["drop"], found["artifact"]["right"]) == ({}, None, None)
    assert found["questions"] == 120
    assert not nf_edge.check(artifact, rows, **where, max_kl=0).passed
    for limits in ({"max_drop": 1}, {"max_drop": {"f1": 1}, "max_kl": 1}, {}):
        with pytest.raises(nf_edge.BadInput, match="has no labels, but the limit on"):
            nf_edge.check(artifact, rows, **where, **limits)


def test_an_answer_limit_that_a_regression_cannot_have_is_refused(exported, checkpoint, rows_for):
    case = "cls-regression-padded"
    artifact, reference = exported(case, "onnx-fp32"), checkpoint(case)
    where = {"reference": reference.path}
    with pytest.raises(nf_edge.BadInput, match="`max_kl` compare classes or tokens"):
        nf_edge.check(artifact, rows_for(reference.config), **where, max_kl=1)
    with pytest.raises(nf_edge.BadInput, match="a regression predicts neither classes nor tokens"):
        nf_edge.check(artifact, rows_for(reference.config, labelled=False), **where)


@pytest.mark.parametrize("classes", [(), (0, 1), (1, 0)])
def test_f1_is_that_of_the_tasks_label_1_wherever_the_model_has_it(classes, answers):
    truth, before, after = answers
    rows = Rows((), "mrpc.tsv", "", 0, task=TASKS["mrpc"], task_classes=classes)
    report = report_of(predictions(truth, before, after), classifier(), rows, Limits())
    positive = 0 if classes == (1, 0) else 1
    assert report.metrics[0].metric.name == "f1"
    assert report.metrics[0].reference == pytest.approx(sk.f1_score(truth, before, pos_label=positive))
    assert report.metrics[0].artifact == pytest.approx(sk.f1_score(truth, after, pos_label=positive))


def test_a_file_of_several_labels_and_one_without_labels_are_checked(run, exported, tmp_path):
    case, several, none = "cls-multi-label", tmp_path / "several.jsonl", tmp_path / "none.jsonl"
    ids = [[1 + i % 7, 2, 3 + i % 11] for i in range(120)]
    labels = [[i % 2, 1 - i % 2, int(i % 3 == 0), 1] for i in range(120)]
    rows = [{"input_ids": each, "label": label} for each, label in zip(ids, labels, strict=True)]
    several.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    none.write_text("".join(json.dumps({"input_ids": each}) + "\n" for each in ids), encoding="utf-8")
    check = ("check", exported(case, "onnx-fp32").path, "--reference", CASES / case, "--data")
    done = run(*check, several, "--max-drop", 1, "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)["result"]
    assert list(found["metrics"]) == ["f1_micro", "f1_macro"]
    assert [limit["name"] for limit in found["limits"]] == ["f1_micro"]
    done = run(*check, none, "--max-changed", 1, "--max-kl", 0.001)
    assert done.code == 0, done.err
    assert "the rows have no labels" in done.out
    done = run(*check, none, "--max-drop", 1)
    assert done.code == 3
    assert "has no labels, but the limit on f1_micro needs labels" in done.err


def test_a_search_or_a_sweep_whose_rows_cannot_show_a_loss_is_refused_before_the_work(run, case, tmp_path):
    words = ("--limit", 50, "--max-drop", 1, "-o", tmp_path / "mine.yaml")
    done = run("sensitivity", "digits", "--recipe", "onnx-int4", "--data", "digits:test", *words)
    assert (done.code, done.out) == (3, "")
    assert "50 rows are too few to judge a drop of 1 points; give at least 100" in done.err
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"input_ids": [1, 2]}\n', encoding="utf-8")
    recipes = ("--recipe", "onnx-fp32", "--recipe", "onnx-int8-dynamic")
    done = run("sweep", case("cls-standard-padded"), "--data", rows, *recipes)
    assert (done.code, done.out) == (3, "")
    assert "has no labels, but the limit on accuracy needs labels" in done.err
    assert "lowering" not in done.err


@pytest.fixture
def data(tmp_path):
    """Write rows of two classes as JSONL, and give the path."""

    def write(count):
        path = tmp_path / "rows.jsonl"
        rows = ({"input_ids": [1 + i % 7, 2, 3 + i % 11], "label": i % 2} for i in range(count))
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    return write


def test_each_limit_is_a_line_and_a_failed_one_is_exit_5(run, exported, data):
    case = "cls-standard-padded"
    options = ("--data", data(200), "--reference", CASES / case)
    artifact = exported(case, "onnx-fp32").path
    done = run("check", artifact, *options, "--max-drop", "accuracy=1,f1=2", "--max-changed", 1)
    assert done.code == 0
    for text in ("loss of F1 of class 1", "2 points", "changed answers", "1 %", "holds", "p (McNemar)"):
        assert text in done.out
    done = run("check", artifact, *options, "--max-drop", "accuracy=0.1,f1=2", "--json")
    assert done.code == 5
    limits = json.loads(done.out)["result"]["limits"]
    assert [(limit["name"], limit["passed"]) for limit in limits] == [("accuracy", False), ("f1", True)]
    assert "200 rows are too few to judge a loss of 0.1 points of accuracy; give at least 1,000" in done.err
    assert "give more rows (--data, --limit)" in done.err
    assert "quantizes less" not in done.err


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--max-drop", "recall=1"), 2, "'recall' is not a metric; the metrics are accuracy, f1"),
        (("--max-drop", "f1=0.01"), 2, "looks like a share"),
        (("--max-drop", "f1=1,f1=2"), 2, "limits f1 twice"),
        (("--max-drop", "5,f1=5"), 2, "'5' in '5,f1=5' is not METRIC=LOSS, such as f1=1"),
        (("--max-drop", "f1="), 2, "'f1=' in 'f1=' is not METRIC=LOSS"),
        (("--max-drop", "f1=nan"), 2, "nan is not a finite number"),
        (("--max-drop", "mse=-1"), 2, "not a finite number of at least 0"),
        (("--max-changed", "101"), 2, "--max-changed"),
        (("--limits-on", "mean"), 2, "--limits-on"),
        (("--max-drop", "pearson=1"), 3, "pearson is a metric of regression, but the model is a classifier"),
        (("--max-drop", "perplexity=1"), 3, "perplexity is a metric of language modelling"),
    ],
)
def test_a_limit_that_cannot_be_computed_is_refused_before_the_run(
    options, code, message, run, exported, data, monkeypatch
):
    case = "cls-standard-padded"
    artifact = exported(case, "onnx-fp32").path
    monkeypatch.setattr("nf_edge.measure.accuracy.check.predict_file", None)
    done = run("check", artifact, "--data", data(3), "--reference", CASES / case, *options)
    assert (done.code, done.out) == (code, "")
    assert message in done.err


def test_f1_of_more_than_two_classes_names_the_metric_to_use(run, exported, checkpoint, data):
    done = run(
        *("check", exported("wide-cls", "onnx-fp32").path, "--data", data(3)),
        *("--reference", checkpoint("wide-cls").path, "--max-drop", "f1=1"),
    )
    assert done.code == 3
    assert "f1 needs a classifier of 2 labels" in done.err
    assert "use f1_macro" in done.err


RECIPE = """name: mine
description: d
runtime: onnxruntime
backend: onnx_cpu
limits:
  max_drop: {limit}
  max_changed: 2
  on: interval
"""


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ("{f1: 1, mse: 0.001}", ""),
        ("{recall: 1}", "'recall' is not a metric"),
        ("{f1: 0.01}", "looks like a share"),
        ("{f1: .nan}", "not a number of points from 0 to 100"),
        ("{mse: .inf}", "not a finite number"),
        ("{f1: true}", "f1 must be a number"),
        ("{}", "names no metric"),
        ("[1]", "must be a number"),
    ],
)
def test_a_recipe_limits_metrics_by_name(limit, message, run, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(RECIPE.replace("{limit}", limit), encoding="utf-8")
    done = run("recipes", "check", path)
    assert (done.code, message in done.err) == (3 if message else 0, True)
    assert not message or "limits.max_drop" in done.err


@pytest.mark.slow
def test_an_option_replaces_the_recipes_limit_of_its_kind_alone(run, exported, case, data, tmp_path):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(RECIPE.replace("{limit}", "5"), encoding="utf-8")
    export = ("export", case("cls-standard-padded"), "--recipe", recipe, "--data", data(400), "--json")
    for options, limits in (
        ((), [("accuracy", 5, "interval"), ("changed", 2, "interval")]),
        (("--max-changed", 3), [("accuracy", 5, "interval"), ("changed", 3, "interval")]),
        (
            ("--max-drop", "f1=7", "--limits-on", "estimate"),
            [("f1", 7, "estimate"), ("changed", 2, "estimate")],
        ),
    ):
        done = run(*export, *options, "-o", tmp_path / "out", "--overwrite")
        assert done.code == 0
        found = json.loads(done.out)["result"]["reports"]["accuracy"]["limits"]
        assert [(limit["name"], limit["limit"], limit["on"]) for limit in found] == limits
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    for text in ("loss of F1 of class 1", "holds", "p (McNemar)"):
        assert text in page


def cases_of(path):
    """The test cases of a JUnit file: name → the message of its failure, or None."""
    suites = JUnitXml.fromfile(str(path))
    return {case.name: case.result[0].message if case.result else None for suite in suites for case in suite}


def test_ci_gets_a_test_case_for_each_limit_also_when_one_fails(run, exported, data, tmp_path):
    case, junit, summary = "cls-standard-padded", tmp_path / "new" / "gate.xml", tmp_path / "summary.md"
    summary.write_text("before\n", encoding="utf-8")
    artifact = exported(case, "onnx-fp32").path
    words = ("check", artifact, "--data", data(200), "--reference", CASES / case, "--max-changed", 1)
    for limit, failure in (("0.1", "200 rows are too few to judge a loss of 0.1 points of f1"), ("1", None)):
        options = ("--max-drop", f"f1={limit}", "--junit", junit, "--summary", summary)
        assert run(*words, *options).code == (5 if failure else 0)
        found = cases_of(junit)
        assert list(found) == [
            "logits are finite",
            f"loss of F1 of class 1: at most {limit} points",
            "changed answers: at most 1 %",
        ]
        failed = [message for message in found.values() if message]
        assert len(failed) == bool(failure)
        assert not failure or failure in failed[0]
    text = summary.read_text(encoding="utf-8")
    assert text.startswith("before\n## ")
    assert (text.count("FAILS"), text.count("PASSES the accuracy gate")) == (3, 1)
    assert "| F1 of class 1 |" in text


def test_without_a_limit_no_report_says_that_the_artifact_passes(exported, data):
    case = "cls-standard-padded"
    artifact, rows = exported(case, "onnx-fp32").path, data(40)
    for limits, outcome in (({}, "accuracy not judged"), ({"max_changed": 50}, "passes")):
        report = nf_edge.check(artifact, rows, reference=CASES / case, **limits)
        assert summary_markdown(report, "out").startswith(f"## out: {outcome}")
        page = explained_page(Explained(report))
        assert ("the gate passes" in page, "no limit was given" in page) == (bool(limits), not limits)


def test_a_job_of_github_gets_the_summary_unasked(run, case, tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    source = case("cls-standard-padded")
    export = ("export", source, "--recipe", "onnx-fp32", "-o", tmp_path / "out")
    assert run(*export, "--junit", tmp_path / "gate.xml").code == 0
    assert (tmp_path / "summary.md").read_text(encoding="utf-8").startswith("## cls-standard-padded")
    assert cases_of(tmp_path / "gate.xml") == {
        "logits equal PyTorch's within the recipe's limit": None,
        "accuracy": "accuracy not judged: no data",
    }


def test_without_a_limit_ci_gets_a_skipped_test_case(run, exported, data, tmp_path):
    case, junit, summary = "cls-standard-padded", tmp_path / "gate.xml", tmp_path / "summary.md"
    words = ("check", exported(case, "onnx-fp32").path, "--data", data(20), "--reference", CASES / case)
    assert run(*words, "--junit", junit, "--summary", summary).code == 0
    assert cases_of(junit) == {"logits are finite": None, "accuracy": "accuracy not judged: no limit"}
    assert (JUnitXml.fromfile(str(junit)).skipped, JUnitXml.fromfile(str(junit)).failures) == (1, 0)
    text = summary.read_text(encoding="utf-8")
    assert text.splitlines()[0].endswith(": accuracy not judged")
    assert "passes" not in text.replace("| logits are finite | passes |", "")


@pytest.mark.parametrize("place", ["rows.jsonl", "out/gate.xml", "artifact/gate.xml", "file/gate.xml", "."])
@pytest.mark.parametrize("option", ["--junit", "--summary"])
def test_a_file_for_ci_is_never_an_input_or_an_output(place, option, run, exported, case, data, tmp_path):
    """It is refused before the work, and the file stays what it was."""
    rows, source = data(3), case("cls-standard-padded")
    artifact = tmp_path / "artifact"
    artifact.symlink_to(exported("cls-standard-padded", "onnx-fp32").path)
    (tmp_path / "file").write_text("")
    before = rows.read_bytes()
    done = run(
        *("export", source, "--recipe", "onnx-fp32", "--data", rows, "-o", tmp_path / "out"),
        *(option, tmp_path / place),
    )
    assert (done.code, done.out) == (3, "")
    assert rows.read_bytes() == before
    assert not (tmp_path / "out").exists()


def test_one_file_for_both_reports_is_refused(run, case, tmp_path):
    options = ("--junit", tmp_path / "a" / "gate", "--summary", tmp_path / "b" / ".." / "a" / "gate")
    done = run(
        "export", case("cls-standard-padded"), "--recipe", "onnx-fp32", "-o", tmp_path / "out", *options
    )
    assert done.code == 3
    assert "cannot be both the JUnit file and the summary" in done.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["--junit", "--summary"])
def test_a_file_for_ci_that_cannot_be_written_is_one_message_before_the_run(
    option, run, exported, data, monkeypatch
):
    case = "cls-standard-padded"
    words = ("check", exported(case, "onnx-fp32").path, "--data", data(3), "--reference", CASES / case)
    monkeypatch.setattr("nf_edge.measure.accuracy.check.predict_file", None)
    # A folder in /proc cannot be created, even where the permissions allow it.
    done = run(*words, option, "/proc/new/gate.xml")
    assert (done.code, done.out) == (3, "")
    assert (
        done.err == "nf-edge: /proc/new: No such file or directory\n  check this path and its permissions\n"
    )


def test_a_file_that_is_no_junit_file_is_not_replaced(run, case, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    options = ("--recipe", "onnx-fp32", "-o", tmp_path / "out", "--junit", tmp_path / "notes.txt")
    done = run("export", case("cls-standard-padded"), *options)
    assert done.code == 3
    assert "is not a JUnit file" in done.err
    assert (tmp_path / "notes.txt").read_text() == "mine"


def regression(truth, before, after, metrics=("accuracy",), config=None):
    """The comparison of two artifacts' predictions; the checkpoint's are the truth."""
    pairs = [
        predictions(truth, truth if truth.dtype.kind == "f" else np.abs(truth), said)
        for said in (before, after)
    ]
    config, shipped = config or classifier(), Baseline("shipped", None, None)
    return baseline_report(shipped, *pairs, config.task, metrics, Sample.of(config, [1] * len(truth)))


def test_an_artifact_worse_than_the_one_that_shipped_fails_only_beyond_the_noise():
    truth = np.arange(400) % 2
    worse, noise = truth.copy(), truth.copy()
    worse[:12] = 1 - worse[:12]
    noise[:2] = 1 - noise[:2]
    assert regression(truth, truth, noise).passed
    assert regression(truth, worse, truth).passed
    problem = regression(truth, truth, worse).problem
    assert "accuracy is worse than that of shipped by 3 points (95 % interval" in problem
    found = regression(truth, truth, worse, ("f1", "matthews"))
    assert "F1 of class 1 is worse" in found.problem
    assert "Matthews correlation is worse" in found.problem


def test_a_regression_that_cannot_be_judged_fails():
    truth = np.arange(400) % 2
    found = regression(truth, truth, np.ones(400, np.int64), ("matthews",))
    assert "Matthews correlation cannot be compared with shipped" in found.problem
    same = np.zeros(400)
    problem = regression(same, same, same, ("mse",), classifier(1)).problem
    assert "mean squared error cannot be compared with shipped: all rows have" in problem
    with pytest.raises(nf_edge.BadInput, match="not finite"):
        regression(truth, np.full(400, -2), truth)


def test_rows_that_cannot_show_a_regression_never_pass():
    """No interval is above 0, although 40 points are lost on 5 rows."""
    for count, lost, needed in ((5, 2, 381), (10, 3, 347), (10, 0, 107)):
        truth = np.arange(count) % 2
        worse = np.where(np.arange(count) < lost, 1 - truth, truth)
        found = regression(truth, truth, worse)
        text = f"{count} rows are too few to judge the change of accuracy to within ±5 points"
        assert found.problem == f"{text}; give at least about {needed}"
    assert regression(np.arange(40) % 2, *[np.arange(40) % 2] * 2).passed


def test_a_mean_squared_error_is_judged_by_the_variance_of_the_labels():
    """In thousands, a shift of all answers by 100 is no noise, and random errors are much noise."""
    generator = np.random.default_rng(0)
    labels, noise = generator.normal(size=100), generator.normal(size=(2, 100))
    for unit in (1, 1000):
        truth, shifted, far, other = unit * np.array(
            [labels, labels + 0.1, labels + noise[0], labels + noise[1]]
        )
        assert regression(truth, shifted, shifted, ("mse",), classifier(1)).passed
        problem = regression(truth, far, other, ("mse",), classifier(1)).problem
        assert problem.startswith("100 rows are too few to judge the change of mean squared error ")


def language(lost, texts, tokens=100):
    """A language model's predictions: `lost` tokens of the first text are changed."""
    count = texts * tokens
    truth, said = np.zeros(count, np.int64), (np.arange(count) < lost).astype(np.int64)
    loss = np.full(count, 1.0)
    row, sides = np.repeat(np.arange(texts), tokens), (Predictions(truth, loss), Predictions(said, loss))
    return PairedPredictions(row, truth, *sides, np.zeros(count))


LANGUAGE_MODEL = ModelConfig(
    architectures=["NoiseFormerForCausalLM"], vocab_size=8, n_positions=8, n_embd=8, n_layer=1, n_head=1
)


@pytest.mark.parametrize(
    ("texts", "limits", "problem"),
    [
        (1, {"max_drop": 5}, "1 window is too few to judge a loss of 5 points of accuracy; give at least 10"),
        (9, {"max_drop": {"perplexity": 5}}, "9 windows are too few to judge a loss of 5 % of perplexity"),
        (9, {"max_changed": 5}, "9 windows are too few to judge 5 % of changed answers; give at least 10"),
        (9, {"max_kl": 1}, "9 windows are too few to judge a KL divergence of 1 nats; give at least 10"),
        (10, {"max_drop": {"accuracy": 5, "perplexity": 5}, "max_changed": 5, "max_kl": 1}, ""),
        (
            10,
            {"max_drop": 0.05},
            "1,000 tokens are too few to judge a loss of 0.05 points of accuracy; give at least 2,000",
        ),
        (
            30,
            {"max_drop": 5, "on": "interval"},
            "30 windows are too few to judge a loss of 5 points of accuracy; give at",
        ),
        (38, {"max_drop": 5, "on": "interval"}, ""),
    ],
)
def test_the_tokens_of_few_texts_or_windows_never_pass_a_limit(texts, limits, problem):
    """However many tokens they have, because tokens of one text depend on each other."""
    rows = Rows((), "play.txt", "", 0, text=ScoredText(9, 0, 9, 100, 50))
    report = report_of(language(0, texts), LANGUAGE_MODEL, rows, Limits(**limits))
    assert (report.passed, problem in report.problem) == (not problem, True)


@pytest.mark.parametrize(("count", "name"), [(3, "accuracy"), (10, "f1"), (10, "f1_macro")])
def test_the_interval_of_a_loss_in_points_stays_within_what_is_possible(count, name):
    truth = np.arange(count) % 2
    report = judged(classifier(), truth, truth, 1 - truth, max_drop={name: 1})
    (interval,) = (change.interval for change in report.metrics if change.metric.name == name)
    assert 0 < interval[0] < interval[1] == 100


@pytest.mark.parametrize(
    ("before", "after", "limits", "fix"),
    [
        (0, 100, {"max_drop": 1}, "use a recipe that quantizes less, or allow more"),
        (0, 0, {"max_drop": 0.1}, "give more rows (--data, --limit)"),
        (0, 400, {"max_drop": {"matthews": 100}}, "give rows for which the metric is defined"),
        (0, 400, {}, "ship the earlier artifact, or find the step that loses accuracy"),
    ],
)
def test_the_fix_suits_the_failure(before, after, limits, fix):
    """The last is worse than the artifact that shipped; the others have no such artifact."""
    truth = np.arange(400) % 2
    said = [np.where(np.arange(400) < changed, 0, truth) for changed in (before, after)]
    report = judged(classifier(), truth, *said, **limits)
    if not limits:
        report = replace(report, baseline=regression(truth, *said))
    assert report.failure.fix.startswith(fix)
    assert (fix == report.failure.fix) or ";" not in report.failure.fix


def test_a_check_against_the_artifact_that_shipped_is_a_test_case_of_its_own(
    run, exported, data, tmp_path, monkeypatch
):
    case = "cls-standard-padded"
    shipped, new = (exported(case, recipe).path for recipe in ("onnx-fp32", "onnx-int8-dynamic"))
    words = ("check", new, "--data", data(200), "--reference", CASES / case, "--max-drop", 100)
    done = run(*words, "--baseline", shipped, "--junit", tmp_path / "gate.xml", "--json")
    assert done.code == 0
    found = json.loads(done.out)["result"]["baseline"]
    assert (found["artifact"], found["passed"]) == (shipped.name, True)
    assert found["metrics"]["accuracy"]["loss"] == 0
    assert cases_of(tmp_path / "gate.xml")[f"no regression against {shipped.name}"] is None

    def predict(runnable, model, rows, progress, journal, name="artifact"):
        """The shipped artifact is right where the new one is wrong."""
        truth = np.array([row.label for row in rows.reference.rows])
        return predictions(truth, truth, truth if name == "baseline" else 1 - truth)

    monkeypatch.setattr("nf_edge.measure.accuracy.check.predict_file", predict)
    done = run(*words, "--baseline", shipped, "--junit", tmp_path / "gate.xml")
    assert done.code == 5
    assert f"accuracy is worse than that of {shipped.name} by 100 points" in done.err
    assert "worse" in cases_of(tmp_path / "gate.xml")[f"no regression against {shipped.name}"]


def test_a_baseline_of_other_labels_or_on_other_cores_is_refused(run, exported, checkpoint, data):
    case, other = "cls-standard-padded", exported("wide-cls", "onnx-fp32").path
    words = ("check", exported(case, "onnx-fp32").path, "--data", data(3), "--reference", CASES / case)
    done = run(*words, "--baseline", other)
    assert done.code == 3
    assert "so the two cannot be compared" in done.err
    done = run(*words, "--baseline", other, "--on", "rpi-5")
    assert done.code == 2
    assert "leave out --on" in done.err


def test_a_baseline_that_reads_fewer_tokens_than_the_rows_have_is_refused(
    run, changed_recipe, data, tmp_path
):
    """Cut to its length, the rows of both artifacts would be others than those that are shipped."""
    case, short = "cls-standard-padded", tmp_path / "short"
    recipe = changed_recipe("onnx-fp32", {"batch: dynamic": "length: 2"})
    assert run("export", CASES / case, "--recipe", recipe, "-o", short).code == 0
    assert run("export", CASES / case, "--recipe", "onnx-fp32", "-o", tmp_path / "new").code == 0
    words = ("check", tmp_path / "new", "--data", data(100), "--reference", CASES / case)
    done = run(*words, "--baseline", short)
    assert done.code == 3
    assert "reads at most 2 tokens, but the rows have up to 3" in done.err


def test_an_earlier_junit_file_does_not_outlive_a_run_without_a_verdict(run, exported, data, tmp_path):
    case, file = "cls-standard-padded", tmp_path / "gate.xml"
    words = ("check", exported(case, "onnx-fp32").path, "--reference", CASES / case, "--junit", file)
    assert run(*words, "--data", data(100), "--max-drop", 1).code == 0
    assert file.is_file()
    assert run(*words, "--data", tmp_path / "none.jsonl").code == 3
    assert not file.exists()


def test_rows_of_a_model_with_more_classes_are_refused(exported, data):
    case = "cls-standard-padded"
    rows = nf_edge.load_rows(data(100), nf_edge.load_checkpoint(CASES / case))
    strange = replace(rows, rows=(*rows.rows[:-1], replace(rows.rows[-1], label=2)))
    with pytest.raises(nf_edge.BadInput, match="a label that is not a class"):
        nf_edge.check(exported(case, "onnx-fp32"), strange, reference=CASES / case)


def test_the_python_api_writes_the_same_files(exported, data, tmp_path):
    case = "cls-standard-padded"
    artifact = exported(case, "onnx-fp32")
    report = nf_edge.check(
        artifact,
        data(100),
        reference=CASES / case,
        max_drop=1,
        baseline=artifact,
        junit=tmp_path / "gate.xml",
    )
    assert report.passed
    assert len(cases_of(tmp_path / "gate.xml")) == 3
