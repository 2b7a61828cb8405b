"""Training: it learns, keeps its best, goes on where it was interrupted, and says what it made."""

import contextlib
import json
import math
from itertools import pairwise

import pytest
import torch
import yaml
from tokenizers import Tokenizer, models, pre_tokenizers

from nf_edge.core.errors import BadInput
from nf_edge.core.intervals import wilson
from nf_edge.core.resources import names
from nf_edge.model import Checkpoint, ModelConfig, load_checkpoint, resolve_checkpoint
from nf_edge.model.data import Row, load_rows
from nf_edge.model.init import init_tensors
from nf_edge.training import (
    Evaluation,
    Resumable,
    Settings,
    best_validation,
    evaluate,
    fit,
    load_training_recipe,
    train,
)
from nf_edge.training.evaluate import example_losses, logits_of
from nf_edge.training.examples import JitteredIntensities, RowExamples
from nf_edge.training.optimizer import adamw, learning_rate_share
from nf_edge.training.random_noise import PRIOR_SIGMA, add_random_noise, noise_prior
from nf_edge.training.settings import Optimizer, Schedule

# Which of two tokens a row has more of: what a tiny model learns in a few steps.
ROWS = [
    {"input_ids": [1] * ones + [2] * (5 - ones), "label": int(ones > 2)}
    for ones in range(6)
    for _ in range(4)
]

RECIPE = {
    "name": "tiny",
    "description": "Counts tokens.",
    "data": {"attribution": "Ours."},
    "model": {
        "architectures": ["NoiseFormerForSequenceClassification"],
        "vocab_size": 4,
        "n_positions": 5,
        "n_embd": 8,
        "n_layer": 1,
        "n_head": 2,
        "causal": False,
        "noise": {"kind": "lowrank", "rank": 2},
        "num_labels": 2,
        "pooling": "mean",
    },
    "training": {
        "steps": 60,
        "batch_size": 8,
        "validate_every": 20,
        "optimizer": {"learning_rate": 0.02, "weight_decay": 0.1},
        "schedule": {"warmup_steps": 5},
    },
    "regularization": {"label_smoothing": 0.05, "noise_prior": 0.1},
}


@pytest.fixture
def recipe_file(tmp_path):
    """Write a recipe, changed in some sections, with data of its own; returns its path."""

    def write(rows=ROWS, data=None, **changes):
        source = tmp_path / "rows.jsonl"
        source.write_text("".join(json.dumps(row) + "\n" for row in rows))
        recipe = {key: changes.pop(key, value) for key, value in RECIPE.items()} | changes
        recipe["data"] = data or dict.fromkeys(("train", "valid", "test", "examples"), str(source))
        recipe["data"]["attribution"] = "Ours."
        path = tmp_path / "tiny.yaml"
        path.write_text(yaml.safe_dump(recipe))
        return path

    return write


def model_of(**changes):
    config = ModelConfig(**RECIPE["model"] | changes)
    return Checkpoint(None, config, init_tensors(config, 0)).model().requires_grad_(True)


def settings(**changes):
    return Settings(**RECIPE["training"] | changes)


EXAMPLE_ROWS = [Row(tuple(row["input_ids"]), row["label"]) for row in ROWS]
EXAMPLES = RowExamples(EXAMPLE_ROWS, None)


def loss(model, batch):
    return example_losses(logits_of(model, batch), batch.labels).mean()


def validate(model):
    return evaluate(model, EXAMPLES, 8)


def accuracy(correct, loss=1.0):
    return Evaluation("accuracy", 10, loss, 0.1, correct)


def test_a_model_learns_its_rows():
    model = model_of()
    before = validate(model)
    state = fit(model, EXAMPLES, loss, validate, settings(), seed=0)
    assert state.validations[-1].evaluation.correct == len(ROWS)
    assert state.validations[-1].evaluation.loss < before.loss / 4


def test_the_best_weights_are_kept_not_the_last():
    model, weights = model_of(), []

    def falls_at_the_end(model):
        weights.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return [accuracy(5), accuracy(8), accuracy(7)][len(weights) - 1]

    state = fit(model, EXAMPLES, loss, falls_at_the_end, settings(), seed=0)
    assert [validation.step for validation in state.validations] == [20, 40, 60]
    assert best_validation(state).step == 40
    assert_equal(state.best, weights[1])
    assert not torch.equal(state.best["score.weight"], model.state_dict()["score.weight"])


def test_of_equal_accuracies_the_one_with_less_loss_is_better():
    assert accuracy(8, loss=0.2).rank > accuracy(8, loss=0.3).rank > accuracy(7, loss=0.1).rank


def test_the_step_after_the_last_whole_interval_is_validated_too():
    state = fit(model_of(), EXAMPLES, loss, validate, settings(steps=25), seed=0)
    assert [validation.step for validation in state.validations] == [20, 25]


def test_every_pass_takes_every_example_once_in_another_order():
    taken = []

    class Recorded(RowExamples):
        def batch(self, indices):
            taken.extend(indices)
            return super().batch(indices)

    fit(model_of(), Recorded(EXAMPLE_ROWS, None), loss, lambda model: accuracy(5), settings(steps=6), seed=0)
    passes = taken[:24], taken[24:]
    assert all(sorted(taken) == list(range(24)) for taken in passes)
    assert passes[0] != passes[1]


def test_gradients_are_clipped():
    model = model_of()
    optimizer = Optimizer(learning_rate=0.02, weight_decay=0, gradient_clip=1e-3)
    fit(model, EXAMPLES, loss, validate, settings(optimizer=optimizer), seed=0)
    norm = torch.cat([parameter.grad.flatten() for parameter in model.parameters()]).norm()
    assert norm <= 1e-3 * 1.001


def test_label_smoothing_keeps_a_model_from_being_sure(recipe_file, tmp_path):
    sure, smooth = (
        train_file(recipe_file(regularization={"label_smoothing": share}), tmp_path / str(share)).model.test
        for share in (0.0, 0.4)
    )
    assert sure.correct == smooth.correct == len(ROWS)
    # The best that smoothing by 0.4 allows is to give the right one of two labels 0.8.
    assert sure.loss < 0.1 < smooth.loss < 0.3


def test_training_leaves_the_callers_random_numbers_alone():
    model, before = model_of(), torch.get_rng_state()
    fit(model, EXAMPLES, loss, validate, settings(), seed=0)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_learning_rate_warms_up_and_falls_as_a_cosine():
    shares = [
        learning_rate_share(step, 110, Schedule(warmup_steps=10, final_share=0.2)) for step in range(110)
    ]
    assert shares[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert shares[10] == 1
    assert shares[60] == pytest.approx(0.6)
    assert shares[-1] == pytest.approx(0.2, abs=1e-3)
    assert all(later <= earlier for earlier, later in pairwise(shares[10:]))


def test_only_matrices_decay():
    model = model_of()
    add_random_noise(model)
    decaying, others = adamw(model, Optimizer(learning_rate=1, weight_decay=0.5)).param_groups
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.5, 0)
    kinds = {id(parameter): name for name, parameter in model.named_parameters()}
    assert {kinds[id(p)].split(".")[-1] for p in decaying["params"]} == {"weight", "a", "b"}
    assert not any(".ln_" in kinds[id(p)] for p in decaying["params"])
    assert {kinds[id(p)].split(".")[-1] for p in others["params"]} == {"weight", "bias", "log_sigma"}
    assert len(decaying["params"]) + len(others["params"]) == len(kinds)


@pytest.mark.parametrize("beta", [0.0, 0.3])
def test_random_noise_decays_unless_the_prior_keeps_it_alive(beta):
    model = model_of()
    add_random_noise(model)

    def with_prior(model, batch):
        # A task that has no use for noise, as any has in the end.
        harm = sum(noise.log_sigma.exp().sum() for noise in noises(model))
        return loss(model, batch) + harm + beta * noise_prior(model)

    fit(model, EXAMPLES, with_prior, validate, settings(steps=200), seed=0)
    sigma = torch.cat([noise.log_sigma.exp() for noise in noises(model)])
    if beta:
        assert sigma.min() > PRIOR_SIGMA / 4
    else:
        assert sigma.max() < PRIOR_SIGMA / 4


def test_the_prior_is_the_divergence_of_the_two_normals():
    model = model_of()
    add_random_noise(model)
    sigma = math.exp(-2)
    normals = torch.distributions.Normal(0.0, sigma), torch.distributions.Normal(0.0, 0.1)
    expected = torch.distributions.kl_divergence(*normals)
    assert noise_prior(model).item() == pytest.approx(expected.item(), rel=1e-5)


def test_random_noise_acts_in_training_only():
    model, batch = model_of(), EXAMPLES.batch(range(8))
    quiet = logits_of(model.eval(), batch)
    add_random_noise(model)
    assert torch.equal(logits_of(model.eval(), batch), quiet)
    assert not torch.equal(logits_of(model.train(), batch), quiet)


def test_jitter_moves_intensities_a_little_and_leaves_the_background():
    rows = [Row((0, 1, 8, 16), 0)] * 500
    ids = JitteredIntensities(RowExamples(rows, None), 2, vocab_size=17).batch(range(500)).input_ids
    seen = [set(column.tolist()) for column in ids.T]
    assert seen == [{0}, {0, 1, 2, 3}, {6, 7, 8, 9, 10}, {14, 15, 16}]


def test_a_step_after_resuming_is_the_step_that_would_have_been(tmp_path):
    examples = JitteredIntensities(EXAMPLES, 1, vocab_size=4)

    def weights(*stops):
        for stop in (*stops, None):
            model = model_of()
            add_random_noise(model)
            with contextlib.suppress(KeyboardInterrupt):
                resumable = Resumable(tmp_path / f"{len(stops)}.training", "the same")
                fit(
                    model, examples, loss, validate, settings(), 0, resumable=resumable, progress=ctrl_c(stop)
                )
        return model.state_dict()

    assert_equal(weights(), weights(15, 33, 59))


def test_a_training_that_is_interrupted_and_resumed_gives_the_same_bytes(run, recipe_file, tmp_path):
    recipe = recipe_file()
    assert run("train", recipe, "-o", tmp_path / "whole").code == 0
    interrupt_at(45, recipe, tmp_path / "parts")
    assert not (tmp_path / "parts").exists()
    done = run("train", recipe, "-o", tmp_path / "parts", "--resume")
    assert done.code == 0
    assert "step 60" in done.err
    assert "step 40" not in done.err
    whole, parts = (tmp_path / name / "model.safetensors" for name in ("whole", "parts"))
    assert whole.read_bytes() == parts.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["parts", "rows.jsonl", "tiny.yaml", "whole"]


def test_another_seed_gives_another_model(run, recipe_file, tmp_path):
    recipe = recipe_file()
    run("train", recipe, "-o", tmp_path / "a")
    run("train", recipe, "-o", tmp_path / "b", "--seed", 1)
    assert (tmp_path / "a/model.safetensors").read_bytes() != (tmp_path / "b/model.safetensors").read_bytes()


def test_an_interrupted_training_is_neither_forgotten_nor_mixed_up(run, recipe_file, tmp_path):
    recipe, out = recipe_file(), tmp_path / "out"
    assert "there is no training to resume" in run("train", recipe, "-o", out, "--resume").err
    interrupt_at(45, recipe, out)
    again = run("train", recipe, "-o", out)
    assert again.code == 3
    assert "give --resume to continue it, or --overwrite to start again" in again.err
    other = run("train", recipe, "-o", out, "--resume", "--seed", 5)
    assert other.code == 3
    assert "recipe, seed, data or nf-edge version differs" in other.err
    assert run("train", recipe, "-o", out, "--overwrite").code == 0
    assert "step 20" in run("train", recipe, "-o", out, "--overwrite").err


def test_a_broken_state_file_is_told_as_such(run, recipe_file, tmp_path):
    (tmp_path / "out.lowrank.training").write_bytes(b"\x00" * 100)
    failed = run("train", recipe_file(), "-o", tmp_path / "out", "--resume")
    assert failed.code == 3
    assert "is not the state of a training" in failed.err


def test_a_checkpoint_of_ones_own_is_not_overwritten_unasked(run, recipe_file, tmp_path):
    recipe, out = recipe_file(), tmp_path / "out"
    run("train", recipe, "-o", out)
    before = (out / "model.safetensors").stat().st_mtime_ns
    failed = run("train", recipe, "-o", out)
    assert failed.code == 3
    assert "--overwrite" in failed.err
    assert (out / "model.safetensors").stat().st_mtime_ns == before


def test_a_training_that_diverges_says_so_and_leaves_nothing(run, recipe_file, tmp_path):
    optimizer = {"learning_rate": 1e20, "weight_decay": 0.0, "gradient_clip": 1e30}
    recipe = recipe_file(training=RECIPE["training"] | {"optimizer": optimizer})
    failed = run("train", recipe, "-o", tmp_path / "out")
    assert failed.code == 3
    assert "training diverged" in failed.err
    assert "learning_rate" in failed.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.jsonl", "tiny.yaml"]


def test_the_checkpoint_has_its_card_and_its_examples(run, recipe_file, tmp_path):
    recipe, out = recipe_file(dtype="float16"), tmp_path / "out"
    done = run("train", recipe, "-o", out, "--json")
    result = json.loads(done.out)["result"]
    checkpoint = load_checkpoint(out)
    assert {tensor.dtype for tensor in checkpoint.tensors.values()} == {torch.float16}
    assert result["parameters"] == checkpoint.parameters
    assert len(result["sigma"][0]) == checkpoint.config.n_head
    rows = load_rows(str(checkpoint.examples_file), checkpoint)
    assert [list(row.input_ids) for row in rows.rows] == [row["input_ids"] for row in ROWS]
    scored = evaluate(checkpoint.model(), RowExamples(rows.rows, None), 8)
    assert result["test"]["correct"] == result["examples"]["correct"] == scored.correct
    assert result["test"]["interval_95"] == pytest.approx(wilson(scored.correct, len(ROWS)))
    card = (out / "MODEL_CARD.md").read_text()
    assert f"accuracy {100 * scored.score:.4g} % ({scored.correct} of {len(ROWS)}), 95 % interval" in card
    assert "the formula here is nf-edge's" in card
    assert "Ours." in card
    assert rows.sha256 == load_rows(str(checkpoint.examples_file), checkpoint).sha256


@pytest.mark.parametrize(
    ("validate_every", "chose"),
    [
        (20, "it chose the step and the recipe\n"),
        (60, "it chose the recipe, not the step\n"),
        (99, "it chose the recipe, not the step\n"),
    ],
)
def test_the_card_says_that_validation_chose_the_step_only_where_it_did(
    run, recipe_file, tmp_path, validate_every, chose
):
    training = RECIPE["training"] | {"validate_every": validate_every}
    run("train", recipe_file(training=training), "-o", tmp_path / "out")
    assert chose in (tmp_path / "out/MODEL_CARD.md").read_text()


def test_compare_trains_the_recipe_with_other_attention_for_the_card(run, recipe_file, tmp_path):
    done = run("train", recipe_file(), "-o", tmp_path / "out", "--compare", "--json")
    models = [json.loads(done.out)["result"], *json.loads(done.out)["result"]["comparison"]]
    assert [model["attention"] for model in models] == ["lowrank", "none", "pairwise", "standard"]
    # Width 8, two heads of 4: A and B are 2·2·4·2, P is 2·4², and a query projection 8·8 + 8.
    base = models[1]["parameters"]
    assert [model["parameters"] - base for model in models] == [32, 0, 32, 72]
    assert [model["sigma"] is not None for model in models] == [True, False, True, False]
    card = (tmp_path / "out/MODEL_CARD.md").read_text()
    assert "One seed cannot rank models whose intervals overlap" in card
    assert card.count("| accuracy ") == 4


def test_regression_is_trained_on_numbers(recipe_file, tmp_path):
    rows = [row | {"label": row["input_ids"].count(1) / 5} for row in ROWS]
    model = {**RECIPE["model"], "num_labels": 1}
    training = RECIPE["training"] | {"steps": 150}
    report = train_file(recipe_file(rows, model=model, training=training, regularization={}), tmp_path)
    assert report.model.test.metric == "mean squared error"
    assert report.model.test.score < 0.01
    low, high = report.model.test.interval
    assert 0 <= low < report.model.test.score < high


def test_a_language_model_is_trained_on_packed_text(recipe_file, tmp_path):
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "b": 1, "c": 2, "d": 3}, unk_token="d"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    text = tmp_path / "book.txt"
    text.write_text("abc" * 100)
    data = {"train": str(text), "valid": str(text), "test": str(text)}
    model = {key: value for key, value in RECIPE["model"].items() if key not in ("num_labels", "pooling")}
    model |= {"architectures": ["NoiseFormerForCausalLM"], "causal": True}
    data["tokenizer"] = str(tmp_path / "tokenizer.json")
    report = train_file(recipe_file(data=data, model=model, regularization={"noise_prior": 0.1}), tmp_path)
    assert report.model.test.metric == "perplexity"
    assert 1 <= report.model.test.score < 2  # 3 is as good as knowing only how often each letter comes
    assert load_checkpoint(report.path).tokenizer_file is not None


def test_a_recipe_is_told_all_that_is_wrong_with_it(run, recipe_file, tmp_path):
    model = RECIPE["model"] | {"n_embed": 8, "noise": {"kind": "lowrank", "rank": 2, "size": 1}}
    recipe = recipe_file(model=model, seed=-1)
    failed = run("train", recipe, "-o", tmp_path / "out")
    assert failed.code == 3
    assert "model.n_embed: unknown key" in failed.err
    assert "model.noise.size: unknown key" in failed.err
    assert "seed: Input should be greater than or equal to 0" in failed.err
    assert all(line.split(": ")[0].split()[-1].isdigit() for line in failed.err.splitlines()[1:])


@pytest.mark.parametrize(
    ("section", "value", "message"),
    [
        ("regularization", {"jitter": 0}, "jitter: Input should be greater than or equal to 1"),
        ("training", RECIPE["training"] | {"steps": 5}, "warmup_steps must be less than steps 5"),
        ("model", RECIPE["model"] | {"noise": {"kind": "none"}}, "noise_prior needs a model with noise"),
        ("model", RECIPE["model"] | {"num_labels": 1}, "label_smoothing must be 0 for regression"),
    ],
)
def test_what_cannot_be_combined_is_refused(recipe_file, section, value, message):
    with pytest.raises(BadInput, match=message):
        load_training_recipe(str(recipe_file(**{section: value})))


def test_truncated_rows_are_counted_in_the_report(recipe_file, tmp_path):
    rows = [*ROWS, {"input_ids": [1] * 9, "label": 1}]
    report = train_file(recipe_file(rows), tmp_path)
    assert any("rows cut to 5 tokens: 1" in note for note in report.notes)


@pytest.mark.parametrize("name", names("recipes/training"))
def test_a_bundled_training_recipe_is_valid_and_made_the_checkpoint_of_its_name(name):
    recipe = load_training_recipe(name)
    assert recipe.name == name
    if name in names("checkpoints", suffix=""):
        assert resolve_checkpoint(name).config.to_json() == recipe.model.to_json()


def test_the_bundled_digits_are_small_and_right_97_times_of_100():
    checkpoint = resolve_checkpoint("digits")
    assert checkpoint.parameters <= 120_000
    rows = load_rows("digits:test", checkpoint)
    assert len(rows.rows) == 599
    test = evaluate(checkpoint.model(), RowExamples(rows.rows, checkpoint.config.pad_token_id), 64)
    assert test.score >= 0.97
    assert f"Held-out score: {test}" in (checkpoint.path / "MODEL_CARD.md").read_text()


def test_the_bundled_digits_read_our_own_drawings():
    checkpoint = resolve_checkpoint("digits")
    rows = load_rows(str(checkpoint.examples_file), checkpoint).rows
    assert len(rows) >= 64
    assert rows == load_rows("digits:drawn", checkpoint).rows
    score = evaluate(checkpoint.model(), RowExamples(rows, checkpoint.config.pad_token_id), 64)
    assert score.score > 0.8
    assert f"{score}." in (checkpoint.path / "MODEL_CARD.md").read_text()


def interrupt_at(step, recipe, out):
    """Train as the command does until Ctrl-C comes after `step` steps."""

    with pytest.raises(KeyboardInterrupt):
        train(load_training_recipe(str(recipe)), out, progress=ctrl_c(step))


def ctrl_c(step):
    """A progress callback that is interrupted after `step` steps (None: never)."""

    def press(name, done, total):
        if done == step:
            raise KeyboardInterrupt

    return press


def train_file(recipe, tmp_path):
    return train(load_training_recipe(str(recipe)), tmp_path / "out")


def noises(model):
    return [block.attn.noise for block in model.transformer.h]


def assert_equal(tensors, others):
    assert tensors.keys() == others.keys()
    assert all(torch.equal(tensors[name], others[name]) for name in tensors)
