"""Figures are of the checkpoint that they name: its weights, its config and its tokenizer, not its folder."""

import json
import shutil

import pytest
import yaml
from conftest import CLASSIFIER, save_text_model
from safetensors.torch import load_file, save_file

from nf_edge.core.recipe.recipe import load_recipe
from nf_edge.model import load_checkpoint
from nf_edge.pruning.provenance import needs_compression

CASE = "cls-lowrank-last-padded"
ROWS = "".join(json.dumps({"input_ids": [1 + i, 2, 3], "label": i % 3}) + "\n" for i in range(6))


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(ROWS)
    return path


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


@pytest.mark.parametrize(
    "changes",
    [
        {"pooling": "mean"},
        {"causal": False},
        {"activation_function": "relu"},
        {"layer_norm_epsilon": 1e-3},
        {"id2label": {"0": "c", "1": "b", "2": "a"}},
        {"pad_token_id": 5},
    ],
    ids=str,
)
def test_a_reference_of_another_config_is_another_checkpoint(changes, exported, case, rows, run, tmp_path):
    artifact = exported(CASE, "onnx-fp32").path
    reference = shutil.copytree(case(CASE), tmp_path / "reference")
    edit(reference / "config.json")  # laid out otherwise, which makes no other answers
    same = run("check", artifact, "--data", rows, "--reference", reference)
    assert same.code == 0, same.err
    edit(reference / "config.json", **changes)
    done = run("check", artifact, "--data", rows, "--reference", reference, "--json")
    assert done.code == 3
    assert "is not the checkpoint that" in done.err
    assert "config.json differs" in done.err


@pytest.fixture(scope="module")
def text_model(tmp_path_factory):
    """The folder of a small classifier of text."""
    classifier = {"architectures": CLASSIFIER, "num_labels": 2, "n_positions": 8, "n_head": 4}
    texts = ["the cat sat on the mat"] * 3
    return save_text_model(tmp_path_factory.mktemp("text-model"), texts, 270, **classifier).path


@pytest.fixture(scope="module")
def text_rows(tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "rows.tsv"
    path.write_text("text\tlabel\n" + "".join(f"the cat {i}\t{i % 2}\n" for i in range(99)))
    return path


def swap_tokens(path):
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"a"', '"?"', 1).replace('"b"', '"a"', 1).replace('"?"', '"b"', 1))


QUANTIZE = {
    "weights": "int8",
    "granularity": "per_channel",
    "activations": "int8_dynamic",
    "embeddings": "int8",
}


def recipe_file(folder, **sections):
    document = {"name": "small", "description": "a test", "runtime": "onnxruntime", "backend": "onnx_cpu"}
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(document | sections))
    return path


@pytest.fixture(scope="module")
def smaller(text_model, text_rows, tmp_path_factory):
    """What `compress` made of it, rounding while it learned, and the recipe."""
    from nf_edge.pruning.compress import compress_checkpoint
    from nf_edge.pruning.data import Sources

    folder = tmp_path_factory.mktemp("smaller")
    recover = {"steps": 1, "qat": True}
    recipe = recipe_file(folder, prune={"heads": 0.5}, recover=recover, quantize=QUANTIZE)
    compress_checkpoint(
        load_checkpoint(text_model), load_recipe(str(recipe)), Sources(str(text_rows)), folder / "checkpoint"
    )
    return folder / "checkpoint", recipe


@pytest.fixture
def copy(smaller, tmp_path):
    return shutil.copytree(smaller[0], tmp_path / "checkpoint")


def other_weights(folder):
    tensors = load_file(folder / "model.safetensors")
    save_file({name: tensor + 0.01 for name, tensor in tensors.items()}, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (other_weights, "model.safetensors"),
        (lambda folder: edit(folder / "config.json", causal=False), "config.json"),
        (lambda folder: swap_tokens(folder / "tokenizer.json"), "tokenizer.json"),
        (lambda folder: edit(folder / "compression.json", schema="nf-edge/compression/9"), "update nf-edge"),
    ],
    ids=["weights", "config", "tokenizer", "a schema to come"],
)
def test_the_scores_of_compress_are_of_the_checkpoint_that_it_wrote(
    change, says, copy, smaller, run, tmp_path
):
    change(copy)
    done = run("export", copy, "--recipe", smaller[1], "-o", tmp_path / "out")
    assert done.code == 3
    assert "compression.json" in done.err
    assert says in done.err
    assert not (tmp_path / "out").exists()


def test_what_an_earlier_compress_wrote_is_still_read(copy, smaller):
    document = json.loads((copy / "compression.json").read_text())
    for key in ("original_config", "original_tokenizer_sha256", "rounded_as", "result"):
        del document[key]
    (copy / "compression.json").write_text(json.dumps(document | {"schema": "nf-edge/compression/1"}))
    other_weights(copy)
    assert not needs_compression(load_checkpoint(copy), load_recipe(str(smaller[1])))


def test_a_recipe_that_rounds_otherwise_than_recovery_did_is_another_recipe(copy, smaller, tmp_path):
    checkpoint, recipe = load_checkpoint(copy), load_recipe(str(smaller[1]))
    assert not needs_compression(checkpoint, recipe)
    assert recipe.quantize is not None
    finer = recipe.model_copy(
        update={"quantize": recipe.quantize.model_copy(update={"embeddings": "float32"})}
    )
    assert needs_compression(checkpoint, finer)


@pytest.mark.slow
def test_what_a_compressed_checkpoint_was_made_of_is_known_by_config_and_tokenizer_too(
    text_model, text_rows, smaller, run, tmp_path
):
    artifact = tmp_path / "artifact"
    done = run("export", smaller[0], "--recipe", smaller[1], "-o", artifact, "--keep")
    assert artifact.is_dir(), done.err
    check = ("check", artifact, "--data", text_rows, "--max-drop", "100", "--reference")
    for right in (text_model, smaller[0]):
        done = run(*check, right)
        assert done.code == 0, done.err
    for name, change in (
        ("config.json", lambda folder: edit(folder / "config.json", causal=False)),
        ("tokenizer.json", lambda folder: swap_tokens(folder / "tokenizer.json")),
    ):
        other = shutil.copytree(text_model, tmp_path / name.partition(".")[0])
        change(other)
        done = run(*check, other)
        assert done.code == 3
        assert f"{name} differs" in done.err


def test_a_recovery_of_another_config_or_recipe_is_not_resumed(text_model, text_rows, run, tmp_path):
    from nf_edge.pruning.compress import compress_checkpoint
    from nf_edge.pruning.data import Sources

    def ctrl_c(validation):
        if validation.step == 2:
            raise KeyboardInterrupt

    model = shutil.copytree(text_model, tmp_path / "model")
    recipe = recipe_file(tmp_path, prune={"heads": 0.5}, recover={"steps": 3, "validate_every": 1})
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        compress_checkpoint(
            load_checkpoint(model),
            load_recipe(str(recipe)),
            Sources(str(text_rows)),
            out,
            on_validation=ctrl_c,
        )
    arguments = ("compress", model, "--train", text_rows, "-o", out, "--resume", "--recipe")
    edit(model / "config.json", causal=False)
    done = run(*arguments, recipe)
    assert done.code == 3
    assert "recipe, seed, data or nf-edge version differs" in done.err
    edit(model / "config.json", causal=True)
    assert run(*arguments, recipe).code == 0
