"""Distillation: a model learns from teachers what they learned from labels."""

import json
import math

import pytest
import torch
import yaml

from nf_edge.core.errors import BadInput
from nf_edge.model.data import Row
from nf_edge.training import load_training_recipe, train
from nf_edge.training.convolutions import ConvolutionalClassifier
from nf_edge.training.distill import Teachers
from nf_edge.training.examples import RowExamples
from nf_edge.training.ngrams import NgramClassifier
from nf_edge.training.sources import read_training_data
from nf_edge.training.unlabeled import JoinedRows, ReplacedTokens, SwappedPhrases

# Which of two words a text has, and, for those that only pairs tell apart, in which order it has both.
WORDS = [
    {"input_ids": [3] * n + [word] + [4] * (3 - n), "label": word - 1} for n in range(4) for word in (1, 2)
]
PAIRS = [
    {"input_ids": [3] * n + pair + [4] * (3 - n), "label": pair[0] - 1}
    for n in range(4)
    for pair in ([1, 2], [2, 1])
]
SETTINGS = {
    "steps": 60,
    "batch_size": 8,
    "validate_every": 20,
    "optimizer": {"learning_rate": 0.02, "weight_decay": 0.1},
    "schedule": {"warmup_steps": 5},
}
TEACHERS = [
    {"kind": "ngrams", "longest": 1, "training": SETTINGS},
    {"kind": "ngrams", "longest": 2, "training": SETTINGS},
]
CONVOLUTIONS = {
    "kind": "convolutions",
    "widths": [1, 3],
    "channels": 8,
    "training": SETTINGS,
}
RECIPE = {
    "name": "tiny",
    "description": "Finds a word.",
    "model": {
        "architectures": ["NoiseFormerForSequenceClassification"],
        "vocab_size": 5,
        "n_positions": 8,
        "n_embd": 16,
        "n_layer": 1,
        "n_head": 2,
        "noise": {"kind": "lowrank", "rank": 2},
        "num_labels": 2,
        "pooling": "mean",
        "pad_token_id": 0,
    },
    "training": SETTINGS | {"steps": 150, "validate_every": 50},
    "distill": {
        "teachers": TEACHERS,
        "temperature": 2.0,
        "swap": 0.3,
        "join": 2,
        "replace": 0.1,
    },
}


@pytest.fixture
def recipe_file(tmp_path):
    """Write a recipe, changed in some sections, with data of its own; returns its path."""

    def write(rows=WORDS, **changes):
        source = tmp_path / "rows.jsonl"
        source.write_text("".join(json.dumps(row) + "\n" for row in rows))
        data = dict.fromkeys(("train", "valid", "test"), str(source)) | {"attribution": "Ours."}
        path = tmp_path / "tiny.yaml"
        path.write_text(yaml.safe_dump(RECIPE | {"data": data} | changes))
        return path

    return write


def logits_of(classifier, *texts):
    """One batch of all texts, or a batch each, makes no difference; returns logits [texts, labels]."""
    batch = RowExamples([Row(tuple(text), None) for text in texts], 0).batch(range(len(texts)))
    return classifier(batch.input_ids, batch.attention_mask)


def classifier_of(longest, seed=0):
    classifier = NgramClassifier(longest, 2)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        torch.nn.init.normal_(classifier.weight[:-1])
    return classifier


def test_a_model_learns_from_its_teachers_what_they_learned_from_labels(run, recipe_file, tmp_path):
    done = run("train", recipe_file(), "-o", tmp_path / "out", "--json")
    result = json.loads(done.out)["result"]
    assert result["teachers"]["score"] == 1
    assert result["test"]["score"] == 1
    assert "2-grams, step 60" in done.err
    card = (tmp_path / "out/MODEL_CARD.md").read_text()
    assert (
        "Distilled at temperature 2 from the mean probabilities of teachers trained on the labels: "
        "a linear model of single tokens (weight 1); a linear model of 1- to 2-grams (weight 1); "
        "their validation score: accuracy 100 % (8 of 8)"
    ) in card


@pytest.mark.slow
def test_a_convolutional_network_teaches_what_it_learned_from_labels(run, recipe_file, tmp_path):
    recipe = recipe_file(PAIRS, distill=RECIPE["distill"] | {"teachers": [CONVOLUTIONS | {"weight": 3}]})
    done = run("train", recipe, "-o", tmp_path / "out", "--json")
    assert json.loads(done.out)["result"]["teachers"]["score"] == 1
    assert "convolutions, step 60" in done.err
    card = (tmp_path / "out/MODEL_CARD.md").read_text()
    assert "a convolutional network of 8 filters of each of the widths 1, 3 (weight 3)" in card


def test_teachers_have_the_rows_and_the_model_texts_made_of_them(recipe_file, tmp_path):
    made = RECIPE["distill"] | {"join": 3, "replace": 0.5}
    data = read_training_data(load_training_recipe(str(recipe_file(distill=made))), tmp_path, tmp_path)
    every = range(len(WORDS))
    assert data.train.batch(every).labels.tolist() == [row["label"] for row in WORDS]
    assert 0 in data.taught.batch(every).input_ids  # which no row has
    assert {data.taught.batch(every).input_ids.shape[1] for _ in range(50)} == {4, 8}  # 12 are cut to 8
    assert read_training_data(labels_only(recipe_file), tmp_path, tmp_path).taught is None


def labels_only(recipe_file):
    return load_training_recipe(str(recipe_file(distill=None)))


def test_a_model_learns_no_more_than_its_teachers_know(recipe_file, tmp_path):
    words_only = RECIPE["distill"] | {"teachers": TEACHERS[:1]}
    report = train(load_training_recipe(str(recipe_file(PAIRS, distill=words_only))), tmp_path / "out")
    assert report.teachers.score == 0.5
    assert report.model.test.loss == pytest.approx(math.log(2), abs=0.01)


@pytest.mark.slow
def test_an_interrupted_distillation_that_is_resumed_gives_the_same_bytes(run, recipe_file, tmp_path):
    varied = CONVOLUTIONS | {"dropout": 0.2, "swap": 0.3, "token_dropout": 0.1}
    recipe = recipe_file(distill=RECIPE["distill"] | {"teachers": [*TEACHERS, varied]})
    run("train", recipe, "-o", tmp_path / "whole")
    torch.rand(1)  # what else the process draws has no part in it

    def ctrl_c(name, done, total):
        if done == 120:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(load_training_recipe(str(recipe)), tmp_path / "parts", progress=ctrl_c)
    done = run("train", recipe, "-o", tmp_path / "parts", "--resume")
    assert "lowrank, step 150" in done.err
    assert "lowrank, step 100" not in done.err
    whole, parts = (tmp_path / name / "model.safetensors" for name in ("whole", "parts"))
    assert whole.read_bytes() == parts.read_bytes()


@pytest.mark.slow
def test_a_training_with_other_teachers_is_another_training(run, recipe_file, tmp_path):
    def ctrl_c(name, done, total):
        if done == 120:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(load_training_recipe(str(recipe_file())), tmp_path / "out", progress=ctrl_c)
    other = recipe_file(distill=RECIPE["distill"] | {"temperature": 1.0})
    failed = run("train", other, "-o", tmp_path / "out", "--resume")
    assert failed.code == 3
    assert "another training: its recipe, seed, data or nf-edge version differs" in failed.err


@pytest.mark.slow
def test_all_that_are_compared_have_the_same_teachers_trained_once(recipe_file, tmp_path):
    ended = []

    def note(name, done, total):
        if done == total:
            ended.append(name)

    recipe = load_training_recipe(str(recipe_file()))
    report = train(recipe, tmp_path / "out", compare=True, progress=note)
    models = ["train lowrank", "train none", "train pairwise", "train standard"]
    assert ended == ["train 1-grams", "train 2-grams", *models]
    assert all(model.test.score > 0.5 for model in report.comparison)


@pytest.mark.parametrize("longest", [1, 2, 3])
def test_padding_and_rows_shorter_than_an_n_gram_change_nothing(longest):
    classifier = classifier_of(longest)
    texts = [[1], [2, 1], [3, 1, 2, 4, 1, 3]]
    alone = torch.cat([logits_of(classifier, text) for text in texts])
    torch.testing.assert_close(logits_of(classifier, *texts), alone)
    torch.testing.assert_close(classifier(torch.tensor([[2, 1]])), alone[1:2])


def test_longer_n_grams_see_the_order_of_words():
    for longest, differ in ((1, False), (2, True)):
        one, other = logits_of(classifier_of(longest), [1, 2, 3], [2, 1, 3])
        assert torch.allclose(one, other) != differ


def test_a_linear_models_answers_add_up():
    classifier = classifier_of(1)
    one, other, both = logits_of(classifier, [1, 2], [3, 4, 4], [1, 2, 3, 4, 4])
    torch.testing.assert_close(both, one + other - classifier.bias)


def convolutional(**changes):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        shape = {"vocab_size": 5, "channels": 6, "widths": (1, 3, 5), "labels": 2, "dropout": 0.3}
        return ConvolutionalClassifier(**shape | changes)


def test_padding_changes_nothing_that_convolutions_answer():
    classifier = convolutional().eval()
    texts = [[1], [2, 1], [3, 1, 2, 4, 1, 3]]
    alone = torch.cat([logits_of(classifier, text) for text in texts])
    torch.testing.assert_close(logits_of(classifier, *texts), alone)
    torch.testing.assert_close(classifier(torch.tensor([[2, 1]])), alone[1:2])


def test_wider_filters_see_the_order_of_words():
    for widths, differ in (((1,), False), ((3,), True)):
        classifier = convolutional(widths=widths).eval()
        one, other = logits_of(classifier, [1, 2, 3], [2, 1, 3])
        assert torch.allclose(one, other) != differ


def test_convolutions_drop_values_in_training_only():
    classifier = convolutional(channels=64)
    one, other = (logits_of(classifier, [1, 2, 3]) for _ in range(2))
    assert not torch.allclose(one, other)
    classifier.eval()
    torch.testing.assert_close(*(logits_of(classifier, [1, 2, 3]) for _ in range(2)))


def test_a_teacher_learns_from_rows_varied_as_its_own_keys_say(recipe_file, tmp_path):
    rows = [{"input_ids": [1, *[3] * i], "label": 0} for i in range(1, 8)]
    rows += [{"input_ids": [2], "label": 0}, {"input_ids": [1], "label": 0}]
    swapped, dropped = CONVOLUTIONS | {"swap": 1.0}, CONVOLUTIONS | {"token_dropout": 0.5}
    distill = RECIPE["distill"] | {"teachers": [TEACHERS[0], swapped, dropped]}
    data = read_training_data(
        load_training_recipe(str(recipe_file(rows, distill=distill))), tmp_path, tmp_path
    )
    plain, swaps, drops = (
        {tuple(ids) for _ in range(30) for ids in lesson.examples.batch(range(7)).input_ids.tolist()}
        for lesson in data.lessons
    )
    assert len(plain) == 7
    assert (2, 3, 0, 0, 0, 0, 0, 0) in swaps
    assert not any(ids[0] == 0 for ids in swaps)
    assert any(ids[0] == 0 and any(ids) for ids in drops)
    assert all(lesson.examples.batch(range(7)).labels.tolist() == [0] * 7 for lesson in data.lessons)


@pytest.mark.slow
def test_a_teacher_that_learns_smoothed_labels_is_less_sure(recipe_file, tmp_path):
    def loss(smoothing):
        quick = SETTINGS | {"optimizer": {"learning_rate": 0.2, "weight_decay": 0.0}}
        teacher = TEACHERS[0] | {"label_smoothing": smoothing, "training": quick}
        distill = RECIPE["distill"] | {"teachers": [teacher], "temperature": 1.0}
        recipe = load_training_recipe(str(recipe_file(distill=distill)))
        return train(recipe, tmp_path / f"out-{smoothing}").teachers.loss

    sure, smoothed = loss(0.0), loss(0.5)
    assert sure < 0.1
    assert smoothed == pytest.approx(-math.log(0.75), abs=0.05)


def test_padding_has_no_weight_to_learn():
    classifier = NgramClassifier(2, 2)
    logits_of(classifier, [1], [1, 2, 3]).square().sum().backward()
    logits_of(classifier, [1], [1, 2, 3]).sum().backward()
    assert not classifier.weight.grad[-1].any()
    assert classifier.weight.grad[:-1].any()


def test_teachers_answer_with_their_mean_probability_at_the_temperature():
    members = classifier_of(1), classifier_of(2, seed=1)
    texts = [1, 2, 3], [4, 1]
    expected = sum((logits_of(member, *texts) / 2).softmax(-1) for member in members) / 2
    torch.testing.assert_close(logits_of(Teachers(members, [1, 1], 2.0), *texts).exp(), expected)


def test_a_teachers_weight_is_its_share_of_the_mean():
    members, text = (classifier_of(1), classifier_of(2, seed=1)), [1, 2, 3]
    one, other = (logits_of(member, text).softmax(-1) for member in members)
    answers = logits_of(Teachers(members, [0.5, 1.5], 1.0), text).exp()
    torch.testing.assert_close(answers, 0.25 * one + 0.75 * other)


def test_a_model_that_answers_as_its_teacher_has_nothing_more_to_learn():
    teacher, model = classifier_of(1), classifier_of(1)
    batch = RowExamples([Row((1, 2, 3), None), Row((4, 1), None)], 0).batch(range(2))
    Teachers([teacher], [1], 3.0).loss(model, batch).backward()
    assert model.weight.grad.abs().max() < 1e-6
    assert teacher.weight.grad is None


def test_joined_rows_are_texts_one_after_another_without_a_label_and_cut_to_the_positions():
    rows = [Row((i,) * i, 1) for i in range(1, 5)]
    joined = joined_batch(rows, most=2, longest=6)
    seconds = []
    for row, ids, mask in zip(rows, joined.input_ids.tolist(), joined.attention_mask.tolist(), strict=True):
        text = ids[: sum(mask)]
        second = text[len(row.input_ids)]
        assert text == [*row.input_ids, *[second] * second][:6]
        seconds.append(second)
    assert sorted(seconds) == [1, 2, 3, 4]


def joined_batch(rows, most, longest):
    """A batch of joined rows, which are not those of every batch."""
    examples = JoinedRows(RowExamples(rows, 0), most, longest, 0)
    return next(batch for _ in range(99) if (batch := examples.batch(range(len(rows)))).labels is None)


def test_one_to_so_many_rows_are_joined_equally_often_and_one_keeps_its_label():
    examples = JoinedRows(RowExamples([Row((1,), 1)] * 4, 0), 3, 6, 0)
    batches = [examples.batch(range(4)) for _ in range(900)]
    for count in (1, 2, 3):
        of_count = [batch for batch in batches if batch.input_ids.shape == (4, count)]
        assert len(of_count) == pytest.approx(300, abs=75)
        assert all((batch.labels is not None) == (count == 1) for batch in of_count)


def test_a_swapped_phrase_is_a_row_of_the_same_label_and_length():
    sentence = Row((1, 5, 6, 2), 1)
    phrases = [Row((5, 6), 0), Row((7, 8), 0), Row((7, 9), 1), Row((9,), 0)]
    examples = SwappedPhrases([sentence, *phrases], 1.0, 0)
    texts = [tuple(ids) for _ in range(50) for ids in examples.batch([0]).input_ids.tolist()]
    assert set(texts) == {(1, 5, 6, 2), (1, 7, 8, 2)}
    assert examples.batch([0, 3]).labels.tolist() == [1, 1]


def test_the_share_of_swapped_rows_is_the_recipes_and_rows_without_phrases_stay():
    rows = [Row((1, i), 1) for i in range(2, 50)] + [Row((i,), 1) for i in range(2, 50)]
    count = 48
    batches = [SwappedPhrases(rows, 0.25, 0).batch(range(96)).input_ids for _ in range(30)]
    changed = sum(ids[i].tolist() != list(rows[i].input_ids) for ids in batches for i in range(count))
    assert changed / (30 * count) == pytest.approx(0.25 * 47 / 48, abs=0.05)
    assert all(ids[i, 0] == rows[i].input_ids[0] for ids in batches for i in range(count, 96))


def test_replaced_tokens_are_of_the_whole_vocabulary_and_leave_padding_alone():
    rows = RowExamples([Row((7,) * 20, 1), Row((7,) * 10, 1)] * 200, 0)
    batch = ReplacedTokens(rows, 0.25, 50).batch(range(400))
    real = batch.attention_mask.bool()
    assert not batch.input_ids[~real].any()
    assert batch.input_ids[real].ne(7).float().mean().item() == pytest.approx(0.25 * 49 / 50, abs=0.03)
    assert set(batch.input_ids[real].tolist()) == set(range(50))
    assert batch.labels is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": RECIPE["model"] | {"num_labels": 1}}, "distill needs a classifier"),
        (
            {"regularization": {"label_smoothing": 0.1}},
            "with distill, because labels train only the teachers",
        ),
        ({"distill": RECIPE["distill"] | {"teachers": []}}, "distill.teachers"),
        ({"distill": RECIPE["distill"] | {"teachers": [{"kind": "oracle"}]}}, "'ngrams', 'convolutions'"),
        (
            {
                "model": {key: value for key, value in RECIPE["model"].items() if key != "pad_token_id"},
                "distill": RECIPE["distill"] | {"teachers": [TEACHERS[0] | {"token_dropout": 0.1}]},
            },
            "a teacher's token_dropout needs a model with a pad_token_id",
        ),
        (
            {"distill": RECIPE["distill"] | {"teachers": [CONVOLUTIONS | {"widths": [2]}]}},
            "distill.teachers.0.convolutions.widths.0: must be an odd number",
        ),
        ({"distill": RECIPE["distill"] | {"temperature": 0}}, "distill.temperature"),
    ],
)
def test_what_cannot_be_distilled_is_refused(recipe_file, changes, message):
    with pytest.raises(BadInput, match=message):
        load_training_recipe(str(recipe_file(**changes)))
