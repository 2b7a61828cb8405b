"""A teacher that begins with word vectors knows words that no row of the recipe's data has."""

import json

import pytest
import torch
import yaml
from test_training_text import MODEL, RECIPE

from nf_edge.core.errors import BadInput
from nf_edge.model import ModelConfig
from nf_edge.training import load_training_recipe
from nf_edge.training.bpe import train_bpe
from nf_edge.training.convolutions import Convolutions
from nf_edge.training.sources import read_training_data
from nf_edge.training.vectors import read_vectors

TEXTS = ["a good film .", "a great film .", "a poor film !", "goodness"] * 4
SETTINGS = RECIPE["training"] | {"steps": 80, "validate_every": 80}
TEACHER = {"kind": "convolutions", "widths": [1], "channels": 8, "training": SETTINGS, "vectors": "words.txt"}


@pytest.fixture(scope="module")
def tokenizer():
    return train_bpe(TEXTS, 300, lowercase=True, treebank=True)


def write(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def id_of(tokenizer, text):
    (index,) = tokenizer.encode(text).ids
    return index


def test_words_and_signs_have_the_vectors_of_the_file_up_to_one_scale(tokenizer, tmp_path):
    path = write(tmp_path / "words.txt", ["good 1 2", "great 2 4", ". -3 0", "zebra 9 9"])
    vectors = read_vectors(path, tokenizer, 300)
    assert vectors.table.shape == (300, 2)
    good, great = (vectors.table[id_of(tokenizer, word)] for word in ("good", "great"))
    torch.testing.assert_close(great, 2 * good)
    (dot,) = tokenizer.encode("film.").ids[1:]
    assert vectors.known.nonzero().flatten().tolist() == sorted(
        [dot, *(id_of(tokenizer, word) for word in ("good", "great"))]
    )
    assert vectors.table[vectors.known].square().mean().item() == pytest.approx(1)
    assert not vectors.table[~vectors.known].any()


def test_a_piece_that_goes_on_a_word_is_not_the_word_it_spells(tokenizer, tmp_path):
    pieces = tokenizer.encode("goodfilm").tokens
    assert pieces[1:] != ["Ġfilm"]
    vectors = read_vectors(write(tmp_path / "words.txt", ["good 1 2", "f 1 1", "film 0 1"]), tokenizer, 300)
    letter = tokenizer.get_vocab()["f"]
    assert not vectors.known[letter]
    assert vectors.known[id_of(tokenizer, "film")]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["good 1 2", "film 1"], "line 2 has 1 numbers instead of 2"),
        (["good"], "line 1 has 0 numbers instead of at least one"),
        (["good 1 two"], "line 1 has a value that is not a number"),
        (["zebra 1 2"], "has no vector for any word of the vocabulary"),
        (["good 1 nan"], "the vector of 'good' has NaN or Inf"),
        ([], "has no vector for any word of the vocabulary"),
    ],
)
def test_a_file_that_has_no_word_vectors_is_refused_with_its_line(tokenizer, tmp_path, lines, message):
    with pytest.raises(BadInput, match=message):
        read_vectors(write(tmp_path / "words.txt", lines), tokenizer, 300)


def test_a_convolutional_network_begins_with_the_vectors_and_makes_up_the_rest(tokenizer, tmp_path):
    vectors = read_vectors(write(tmp_path / "words.txt", ["good 1 2 3", "great 2 4 6"]), tokenizer, 300)
    teacher = Convolutions.model_validate(TEACHER)
    embedding = teacher.build(ModelConfig(**MODEL), vectors).embedding.weight
    assert embedding.shape == (300, 3)
    assert embedding.requires_grad
    torch.testing.assert_close(embedding[vectors.known], vectors.table[vectors.known])
    assert embedding[~vectors.known].std().item() == pytest.approx(0.5, rel=0.1)


# `pleasant` and `tedious` stand in no labelled row of one word; `good` and `poor` do.
LIKE = ["good 2 0", "pleasant 2 0", "poor 0 2", "tedious 0 2", "film .1 .1", "the .1 -.1"]
LEARNED = [("the good film", 1), ("the poor film", 0), ("good", 1), ("poor", 0)]
ASKED = [("the pleasant film", 1), ("the tedious film", 0), ("pleasant", 1), ("tedious", 0)]


@pytest.fixture
def recipe_file(tmp_path):
    """A recipe whose validation rows have words that its training rows lack; returns its path."""

    def write_recipe(**teacher):
        for name, rows in (("learned", LEARNED), ("asked", ASKED)):
            write(
                tmp_path / f"{name}.tsv", ["sentence\tlabel", *(f"{text}\t{label}" for text, label in rows)]
            )
        train_bpe([text for text, _ in LEARNED + ASKED] * 4, 300, lowercase=True, treebank=True).save(
            str(tmp_path / "tokenizer.json")
        )
        write(tmp_path / "words.txt", LIKE)
        data = {
            "train": "learned.tsv",
            "valid": "asked.tsv",
            "test": "asked.tsv",
            "tokenizer": "tokenizer.json",
            "attribution": "Ours.",
        }
        distill = {"teachers": [TEACHER | teacher]}
        recipe = RECIPE | {"data": data, "regularization": {}, "distill": distill, "training": SETTINGS}
        path = tmp_path / "tiny.yaml"
        path.write_text(yaml.safe_dump(recipe))
        return path

    return write_recipe


def test_a_teacher_judges_words_that_it_never_saw_by_their_vectors(run, recipe_file, tmp_path):
    done = run("train", recipe_file(), "--data-root", tmp_path, "-o", tmp_path / "out", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["result"]["teachers"]["score"] == 1
    card = (tmp_path / "out/MODEL_CARD.md").read_text()
    assert "8 filters of each of the widths 1 on the word vectors of `words.txt`" in card
    assert "- `words.txt`: SHA-256 " in card
    unaided = run(
        "train", recipe_file(vectors=None), "--data-root", tmp_path, "-o", tmp_path / "other", "--json"
    )
    assert json.loads(unaided.out)["result"]["teachers"]["score"] < 1


def test_vectors_that_are_not_there_are_told_with_all_that_is_missing(run, recipe_file, tmp_path):
    failed = run("train", recipe_file(vectors="none.txt"), "--data-root", tmp_path, "-o", tmp_path / "out")
    assert failed.code == 3
    assert "these data files are missing: none.txt" in failed.err


def test_a_training_with_other_vectors_is_another_training(run, recipe_file, tmp_path):
    def ctrl_c(name, done, total):
        if name == "train lowrank" and done == total:
            raise KeyboardInterrupt

    from nf_edge.training import train

    recipe = load_training_recipe(str(recipe_file()))
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "out", data_root=tmp_path, compare=True, progress=ctrl_c)
    write(tmp_path / "words.txt", [*LIKE, "else 1 1"])
    failed = run("train", tmp_path / "tiny.yaml", "--data-root", tmp_path, "-o", tmp_path / "out", "--resume")
    assert failed.code == 3


def test_vectors_are_for_text(recipe_file, tmp_path):
    recipe = yaml.safe_load(recipe_file().read_text())
    del recipe["data"]["tokenizer"]
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(recipe))
    with pytest.raises(BadInput, match="a teacher's vectors need text data"):
        load_training_recipe(str(tmp_path / "tiny.yaml"))
    assert read_training_data(load_training_recipe(str(recipe_file())), tmp_path, tmp_path).lessons[0].vectors
