"""Training on text: the tokenizer is learned with the model, and one file gives parts that share nothing."""

import json
import math
from itertools import pairwise

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from nf_edge.core.errors import BadInput
from nf_edge.model import Checkpoint, ModelConfig, load_checkpoint
from nf_edge.model.data import Row
from nf_edge.model.data.parts import Part
from nf_edge.model.init import init_tensors
from nf_edge.model.tokenizer import END_OF_TEXT, read_tokenizer
from nf_edge.training import load_training_recipe, train
from nf_edge.training.bpe import SMALLEST_VOCABULARY, train_bpe
from nf_edge.training.dropout import add_dropout
from nf_edge.training.examples import DroppedTokens, RowExamples
from nf_edge.training.order import Order
from nf_edge.training.sources import read_training_data

GOOD, BAD = ("lovely", "bright", "warm", "clever"), ("dreary", "dull", "cold", "foolish")
SENTENCES = [
    (f"the {place} of the {thing} was {word} and {again} to me .", int(words is GOOD))
    for words in (GOOD, BAD)
    for word in words
    for again in words
    for place in ("middle", "opening", "end")
    for thing in ("film", "book")
]
MODEL = {
    "architectures": ["NoiseFormerForSequenceClassification"],
    "vocab_size": 300,
    "n_positions": 24,
    "n_embd": 16,
    "n_layer": 1,
    "n_head": 2,
    "noise": {"kind": "lowrank", "rank": 2},
    "num_labels": 2,
    "pooling": "mean",
    "pad_token_id": 0,
    "eos_token_id": 0,
}
RECIPE = {
    "name": "tiny",
    "description": "Praise or not.",
    "data": {
        "train": {"file": "films/rows.tsv", "part": [0, 0.8]},
        "valid": {"file": "films/rows.tsv", "part": [0.8, 1]},
        "test": {"file": "films/rows.tsv", "part": [0.8, 1]},
        "examples": "tiny.examples.jsonl",
        "tokenizer": {"lowercase": True, "treebank": True},
        "origin": "Buy the films at the corner.",
        "attribution": "Ours.",
    },
    "model": MODEL,
    "training": {
        "steps": 150,
        "batch_size": 8,
        "validate_every": 50,
        "bucket": 4,
        "optimizer": {"learning_rate": 0.01, "weight_decay": 0.1},
        "schedule": {"warmup_steps": 5},
    },
    "regularization": {"dropout": 0.1, "token_dropout": 0.1},
}


@pytest.fixture
def recipe_file(tmp_path):
    """A recipe in a folder of its own, its data in another; returns the recipe's path."""
    (tmp_path / "recipes").mkdir()
    (tmp_path / "data/films").mkdir(parents=True)
    lines = [f"{text} \t{label}\n" for text, label in SENTENCES]
    (tmp_path / "data/films/rows.tsv").write_text("sentence\tlabel\n" + "".join(lines))
    (tmp_path / "recipes/tiny.examples.jsonl").write_text('{"text": "So lovely, and warm!", "label": 1}\n')
    path = tmp_path / "recipes/tiny.yaml"

    def write(data=(), **changes):
        path.write_text(yaml.safe_dump(RECIPE | {"data": RECIPE["data"] | dict(data)} | changes))
        return path

    return write


def test_training_again_gives_the_same_model_and_the_same_tokenizer(run, recipe_file, tmp_path):
    for out in ("a", "b"):
        done = run("train", recipe_file(), "--data-root", tmp_path / "data", "-o", tmp_path / out)
        assert done.code == 0, done.err
    for file in ("model.safetensors", "tokenizer.json", "config.json", "examples.jsonl"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_classifier_of_text_learns_and_keeps_its_examples_as_text(run, recipe_file, tmp_path):
    done = run("train", recipe_file(), "--data-root", tmp_path / "data", "-o", tmp_path / "out", "--json")
    result = json.loads(done.out)["result"]
    assert result["test"]["score"] == 1
    assert result["examples"]["correct"] == 1
    assert json.loads((tmp_path / "out/examples.jsonl").read_text())["text"] == "So lovely, and warm!"
    assert load_checkpoint(tmp_path / "out").tokenizer_file is not None
    card = (tmp_path / "out/MODEL_CARD.md").read_text()
    assert "`tiny.examples.jsonl`" in card
    assert str(tmp_path) not in card


def test_data_that_is_not_there_is_told_with_its_origin_and_the_option(run, recipe_file, tmp_path):
    failed = run("train", recipe_file(), "--data-root", tmp_path / "recipes", "-o", tmp_path / "out")
    assert failed.code == 3
    assert "these data files are missing: films/rows.tsv" in failed.err
    assert "Buy the films at the corner." in failed.err
    assert "--data-root" in failed.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["sst2", "shakespeare"])
def test_a_bundled_recipe_without_its_data_says_where_to_get_it(run, name, tmp_path):
    failed = run("train", name, "--data-root", tmp_path, "-o", tmp_path / "out")
    assert failed.code == 3
    assert "https://" in failed.err
    assert "--data-root" in failed.err


def test_the_parts_of_a_table_share_no_text_and_leave_nothing_out(recipe_file, tmp_path):
    whole = data_of(recipe_file({"train": "films/rows.tsv"}, regularization={}), tmp_path).train
    split = data_of(recipe_file(regularization={}), tmp_path)
    train_rows, valid_rows = (rows_of(examples) for examples in (split.train, split.valid))
    assert len(train_rows) + len(valid_rows) == len(whole) == len(SENTENCES)
    assert 0.1 < len(valid_rows) / len(whole) < 0.3
    assert not train_rows & valid_rows


def test_the_last_training_learns_from_all_rows_and_its_card_claims_no_validation(run, recipe_file, tmp_path):
    training = RECIPE["training"]
    refused = run(
        "train", recipe_file({"refit": True}), "--data-root", tmp_path / "data", "-o", tmp_path / "out"
    )
    assert refused.code == 3
    assert "set validate_every equal to steps" in refused.err
    recipe = recipe_file({"refit": True, "apart": 6}, training=training | {"validate_every": 150})
    done = run("train", recipe, "--data-root", tmp_path / "data", "-o", tmp_path / "out")
    assert done.code == 0, done.err
    assert f"{len(SENTENCES)} rows of training data" in done.out
    assert "validation score" not in done.out
    card = (tmp_path / "out/MODEL_CARD.md").read_text()
    assert "No validation score" in card
    assert "- Validation score" not in card


def test_training_rows_that_share_words_in_a_row_with_validation_are_left_out(recipe_file, tmp_path):
    recipe_file({"apart": 6})
    (tmp_path / "data/films/rows.tsv").write_text("sentence\tlabel\na b c d e f g\t1\nh i j k l m\t0\n")
    (tmp_path / "data/valid.tsv").write_text("sentence\tlabel\nx b c d e f g y\t1\nfunny\t1\n")
    recipe = recipe_file({"apart": 6, "train": "films/rows.tsv", "valid": "valid.tsv", "test": "valid.tsv"})
    data = data_of(recipe, tmp_path)
    assert (len(data.train), len(data.valid)) == (1, 2)
    recipe = recipe_file({"apart": 7, "train": "films/rows.tsv", "valid": "valid.tsv", "test": "valid.tsv"})
    assert len(data_of(recipe, tmp_path).train) == 2
    only_long = {
        "train": "films/rows.tsv",
        "valid": {"file": "valid.tsv", "min_words": 5},
        "test": "valid.tsv",
    }
    assert len(data_of(recipe_file(only_long), tmp_path).valid) == 1
    none = recipe_file(only_long | {"valid": {"file": "valid.tsv", "min_words": 9}})
    with pytest.raises(BadInput, match="none of the 2 rows") as refusal:
        data_of(none, tmp_path)
    assert "min_words" in refusal.value.fix
    assert "--valid" not in refusal.value.fix


@given(st.text("ab\n"), st.lists(st.floats(0, 1), max_size=4))
def test_the_parts_of_a_text_are_whole_lines_that_join_to_it(text, cuts):
    edges = [0.0, *sorted(cuts), 1.0]
    parts = [Part(start, end).of_text(text) for start, end in pairwise(edges)]
    assert "".join(parts) == text
    assert all(part.endswith("\n") for part in parts[:-1] if part and not text.endswith(part))


@pytest.mark.parametrize("part", [[0.5, 0.5], [0.6, 0.2], [-0.1, 1], [0, 1.1]])
def test_a_part_that_is_none_is_refused(recipe_file, part):
    with pytest.raises(BadInput, match="`part` must be two increasing shares"):
        load_training_recipe(str(recipe_file({"train": {"file": "x.tsv", "part": part}})))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": MODEL | {"vocab_size": 256}}, "needs model.vocab_size 257 or more"),
        ({"model": MODEL | {"eos_token_id": 1}}, "set all special token ids of the model to 0"),
        ({"model": MODEL | {"eos_token_id": [0, 1]}}, "set all special token ids of the model to 0"),
        (
            {"model": MODEL | {"problem_type": "multi_label_classification"}},
            "a multi-label classifier of 2 labels cannot be trained; training needs a model with one label",
        ),
        (
            {"model": MODEL | {"problem_type": "regression"}},
            "a regression of 2 numbers cannot be trained; training needs a model with one label per row",
        ),
        ({"model": MODEL | {"pad_token_id": None}}, "token_dropout needs a classifier with a pad_token_id"),
    ],
)
def test_a_model_that_does_not_go_with_its_tokenizer_is_refused(recipe_file, changes, message):
    with pytest.raises(BadInput, match=message):
        load_training_recipe(str(recipe_file(**changes)))


def test_a_learned_tokenizer_has_the_vocabulary_and_the_special_token_that_were_asked_for():
    tokenizer = train_bpe(["so it goes, and so it went"] * 9, 270, lowercase=False, treebank=False)
    assert tokenizer.get_vocab_size() == 270
    assert tokenizer.token_to_id(END_OF_TEXT) == 0
    assert len(tokenizer.encode("so it").ids) < len("so it")


@given(st.text())
def test_a_tokenizer_that_learned_nothing_still_keeps_any_text(text):
    tokenizer = train_bpe([], SMALLEST_VOCABULARY, lowercase=False, treebank=False)
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


@pytest.mark.parametrize(
    ("treebank", "plain"),
    [("it 's n't a fine film . ", "It'sn't a fine film."), ("do n't go , please !", "Don't go, please!")],
)
def test_the_treebanks_spaces_and_upper_case_change_no_token(treebank, plain):
    tokenizer = train_bpe(["a fine film"] * 5, 300, lowercase=True, treebank=True)
    assert tokenizer.encode(treebank).ids == tokenizer.encode(plain).ids


def test_a_text_too_short_for_its_vocabulary_is_told(recipe_file, tmp_path):
    notes = data_of(recipe_file(model=MODEL | {"vocab_size": 5000}), tmp_path).notes
    assert any("gives only" in note and "vocab_size 5000" in note for note in notes)


def test_a_language_models_perplexity_is_given_per_byte_too(recipe_file, tmp_path):
    text = "".join(f"{sentence}\n" for sentence, _ in SENTENCES)
    (tmp_path / "data/book.txt").write_text(text)
    model = {key: value for key, value in MODEL.items() if key not in ("num_labels", "pooling")}
    parts = {"train": [0, 0.5], "valid": [0.5, 0.75], "test": [0.75, 1]}
    data = {name: {"file": "book.txt", "part": part} for name, part in parts.items()}
    recipe = recipe_file(
        data | {"tokenizer": {}, "examples": None},
        model=model | {"architectures": ["NoiseFormerForCausalLM"]},
        regularization={"dropout": 0.1},
    )
    report = train(load_training_recipe(str(recipe)), tmp_path / "out", data_root=tmp_path / "data")
    held_out = Part(0.75, 1).of_text(text)
    tokens = read_tokenizer(tmp_path / "out/tokenizer.json").encode(held_out).ids
    assert report.bytes_per_token == len(held_out.encode()) / len(tokens)
    per_byte = math.exp(report.model.test.loss * len(tokens) / len(held_out.encode()))
    assert f"The same per byte: perplexity {per_byte:.4g} ±" in (tmp_path / "out/MODEL_CARD.md").read_text()


def test_dropout_acts_in_training_only():
    config = ModelConfig(**MODEL)
    model, ids = Checkpoint(None, config, init_tensors(config, 0)).model(), torch.arange(20)[None]
    plain = model(ids)
    add_dropout(model, 0.3)
    assert torch.equal(model(ids), plain)
    assert not torch.equal(model.train()(ids), plain)
    assert set(model.state_dict()) == set(config.tensor_shapes())


def test_dropped_tokens_become_padding_that_is_seen():
    batch = DroppedTokens(RowExamples([Row((7,) * 20, 1)] * 500, 0), 0.25, 0).batch(range(500))
    assert batch.input_ids.eq(0).float().mean().item() == pytest.approx(0.25, abs=0.02)
    assert batch.attention_mask.all()
    assert set(batch.input_ids.unique().tolist()) == {0, 7}


def test_batches_of_like_length_still_take_every_row_once_a_pass():
    lengths = [1 + 7 * i % 40 for i in range(320)]
    examples = RowExamples([Row((1,) * length, 0) for length in lengths], 0)
    order = Order(examples, 8, 10, seed=0)
    taken = [order[step] for step in range(40)]
    assert sorted(index for batch in taken for index in batch) == list(range(320))
    assert order[40] != taken[0]

    def padding(batches):
        return sum(max(lengths[i] for i in batch) * len(batch) for batch in batches) - sum(lengths)

    unsorted = Order(examples, 8, None, seed=0)
    assert padding(taken) < padding([unsorted[step] for step in range(40)]) / 4
    # A step finds its batch again when a training is taken up in the middle.
    assert Order(examples, 8, 10, seed=0)[57] == order[57]


def data_of(recipe, tmp_path):
    return read_training_data(load_training_recipe(str(recipe)), tmp_path / "data", tmp_path)


def rows_of(examples):
    """The ids of every row, without its padding."""
    batch = examples.batch(range(len(examples)))
    return {
        tuple(ids[mask.bool()].tolist())
        for ids, mask in zip(batch.input_ids, batch.attention_mask, strict=True)
    }
