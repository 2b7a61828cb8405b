"""A nanoGPT file becomes a checkpoint that answers as the file's model did, or is refused by name."""

import argparse
import json
import pathlib
import re

import gpt2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, models

from nf_edge.core.errors import BadInput
from nf_edge.model import load_checkpoint
from nf_edge.model.importers import import_checkpoint

HEADS = 3
IDS = np.array([3, 1, 4, 1, 5, 9, 2, 6])
BLOCK = "transformer.h.0."


def nanogpt(weights=None, **arguments):
    """The dictionary that nanoGPT saves, of weights that are [in, out] (None: random ones)."""
    weights = gpt2.random_weights() if weights is None else weights
    linear = (".c_attn.weight", ".c_proj.weight", ".c_fc.weight")
    model = {
        name: torch.from_numpy(weight.T.copy() if name.endswith(linear) else weight)
        for name, weight in weights.items()
    }
    model.setdefault("lm_head.weight", model["transformer.wte.weight"])
    vocabulary, width = model["transformer.wte.weight"].shape
    shape = {"n_layer": 2, "n_head": HEADS, "n_embd": width, "block_size": 9, "vocab_size": vocabulary}
    return {
        "model": model,
        "model_args": {**shape, "bias": True, "dropout": 0.2, **arguments},
        "optimizer": {"state": {}, "param_groups": [{"lr": 1e-3}]},
        "iter_num": 5000,
        "best_val_loss": torch.tensor(1.5),
        "config": {"dataset": "shakespeare_char", "compile": True},
    }


@pytest.fixture
def saved(tmp_path):
    def save(document):
        torch.save(document, tmp_path / "ckpt.pt")
        return tmp_path / "ckpt.pt"

    return save


@pytest.fixture
def imported(saved, tmp_path):
    """Import a nanoGPT dictionary, save it, load it back: (checkpoint, notes)."""

    def do(document, **options):
        result = import_checkpoint(saved(document), **options)
        result.save(tmp_path / "imported")
        return load_checkpoint(tmp_path / "imported"), "\n".join(result.notes)

    return do


def refusal(path, **options):
    with pytest.raises(BadInput) as caught:
        import_checkpoint(path, **options)
    assert str(path) in str(caught.value)
    return str(caught.value)


def assert_answers(checkpoint, expected):
    got = checkpoint.model()(torch.from_numpy(IDS)[None])[0]
    torch.testing.assert_close(got, torch.from_numpy(expected).float(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("activation", [None, "gelu_new", "relu"])
def test_it_answers_as_before(imported, activation):
    weights = gpt2.random_weights()
    checkpoint, notes = imported(nanogpt(weights), activation=activation)
    assert_answers(checkpoint, gpt2.logits(weights, IDS, HEADS, activation or "gelu"))
    assert checkpoint.config.attention == "standard"
    assert checkpoint.config.tie_word_embeddings
    assert ("gelu (exact) is assumed" in notes) == (activation is None)


def test_a_model_without_biases_gets_zeros(imported):
    weights = {name: w for name, w in gpt2.random_weights().items() if not name.endswith(".bias")}
    checkpoint, notes = imported(nanogpt(weights, bias=False))
    assert_answers(checkpoint, gpt2.logits(weights, IDS, HEADS, "gelu"))
    # Four linears and two LayerNorms a layer, and the last LayerNorm.
    assert "13 biases of zeros are added" in notes


def test_a_head_of_its_own_stays_one(imported):
    weights = gpt2.random_weights()
    weights["lm_head.weight"] = weights["transformer.wte.weight"] + 1
    checkpoint, notes = imported(nanogpt(weights))
    assert "lm_head.weight differs from the embedding, so it stays a separate head" in notes
    assert not checkpoint.config.tie_word_embeddings
    assert_answers(checkpoint, gpt2.logits(weights, IDS, HEADS, "gelu"))


def test_masks_are_dropped_and_real_biases_are_not(imported):
    weights = gpt2.random_weights()
    document = nanogpt(weights)
    for i in range(2):
        document["model"][f"transformer.h.{i}.attn.bias"] = torch.ones(9, 9).tril()[None, None]
    assert_answers(imported(document)[0], gpt2.logits(weights, IDS, HEADS, "gelu"))


def renamed(rename, document=None):
    document = document or nanogpt()
    return document | {"model": {rename(name): tensor for name, tensor in document["model"].items()}}


WRAPPED = {
    "before": lambda name: f"module._orig_mod.{name}",
    "before, the other way round": lambda name: f"_orig_mod.module.{name}",
    "FSDP": lambda name: f"_fsdp_wrapped_module.{name}".replace("h.0.", "h.0._fsdp_wrapped_module."),
    "each layer compiled": lambda name: re.sub(r"(h\.\d+)", r"\1._orig_mod", name),
    "activation checkpointing": lambda name: name.replace(".mlp.", ".mlp._checkpoint_wrapped_module."),
    "Fabric": lambda name: f"_forward_module.{name}",
}


@pytest.mark.parametrize("rename", WRAPPED.values(), ids=WRAPPED)
def test_what_wrappers_put_into_names_is_left_out_wherever_it_stands(imported, rename):
    checkpoint, notes = imported(renamed(rename))
    assert_answers(checkpoint, gpt2.logits(gpt2.random_weights(), IDS, HEADS, "gelu"))
    assert "is removed from all tensor names" not in notes


@pytest.mark.parametrize("prefix", ["model.", "net.", "lit.backbone."])
@pytest.mark.parametrize("bare", [False, True])
def test_what_stands_before_all_names_is_left_out_and_told(imported, prefix, bare):
    def rename(name):
        return prefix + (name.removeprefix("transformer.") if bare else name)

    checkpoint, notes = imported(renamed(rename))
    assert_answers(checkpoint, gpt2.logits(gpt2.random_weights(), IDS, HEADS, "gelu"))
    assert f"the prefix {prefix!r} is removed from all tensor names" in notes


def test_weights_of_two_models_are_refused_by_what_stands_before_their_names(saved):
    document = renamed(lambda name: f"model.{name}")
    document["model"] |= renamed(lambda name: f"ema.{name}")["model"]
    message = refusal(saved(document))
    assert "has tensors of several models" in message
    assert "'model.'" in message
    assert "'ema.'" in message


@pytest.mark.parametrize("wrapper", ["_orig_mod.", "module."])
@pytest.mark.parametrize("same", [False, True])
def test_two_keys_of_one_tensor_are_refused_by_name(saved, wrapper, same):
    document = nanogpt()
    name = "transformer.h.1.ln_2.bias"
    document["model"][wrapper + name] = document["model"][name] if same else torch.zeros(12)
    assert f"{name} and {wrapper}{name} are the same tensor, {name}; keep one of them" in refusal(
        saved(document)
    )


def test_of_many_that_are_there_twice_a_few_are_named(saved):
    document = nanogpt()
    document["model"] |= {f"_orig_mod.{name}": torch.zeros(1) for name in document["model"]}
    message = refusal(saved(document))
    assert "transformer.wte.weight and _orig_mod.transformer.wte.weight are the same tensor" in message
    assert "26 more tensors occur under several names" in message


def test_an_adapter_that_is_not_merged_is_refused(saved):
    def rename(name):
        return "base_model.model." + name.replace("c_attn.", "c_attn.base_layer.")

    document = renamed(rename)
    document["model"]["base_model.model.transformer.h.0.attn.c_attn.lora_A.default.weight"] = torch.ones(
        4, 12
    )
    assert "contains an adapter that is not merged" in refusal(saved(document))


def test_names_of_something_else_are_told(saved):
    message = refusal(saved(renamed(lambda name: name.replace("transformer.h", "layers"))))
    assert "layers.0.ln_1.weight" in message


@pytest.mark.parametrize(
    ("name", "noise"),
    [
        ("lm-none", {"kind": "none"}),
        ("lm-lowrank", {"kind": "lowrank", "rank": 2}),
        ("lm-pairwise-relu", {"kind": "pairwise"}),
        ("lm-relative", {"kind": "relative"}),
    ],
)
def test_symmetric_attention_and_its_noise_are_taken_over(imported, case, name, noise):
    theirs = json.loads((case(name) / "config.json").read_text())
    model = load_file(case(name) / "model.safetensors")
    model["transformer.h.1.attn.noise.log_sigma"] = torch.full((3,), -2.0)
    shape = {key: theirs[key] for key in ("n_layer", "n_head", "n_embd", "vocab_size")}
    document = {"model": model, "model_args": {**shape, "block_size": theirs["n_positions"]}}
    checkpoint, _ = imported(document, activation=theirs["activation_function"])
    assert checkpoint.config.attention == "symmetric"
    assert checkpoint.config.noise.model_dump(exclude_none=True) == noise
    expected = np.load(case(name) / "expected.npz")
    got = checkpoint.model()(torch.from_numpy(expected["ids"])[None])[0]
    torch.testing.assert_close(got, torch.from_numpy(expected["logits"]), rtol=0, atol=1e-4)


def test_relative_noise_is_not_a_bias_to_be_made_up(saved, case):
    model = load_file(case("lm-relative") / "model.safetensors")
    del model["transformer.h.1.attn.noise.bias"]
    arguments = {"n_layer": 2, "n_head": 3, "n_embd": 12, "block_size": 10, "vocab_size": 19, "bias": False}
    message = refusal(saved({"model": model, "model_args": arguments}))
    assert "transformer.h.1.attn.noise.bias is missing" in message


@pytest.fixture
def padded():
    return nanogpt(gpt2.random_weights(width=6, vocabulary=50304))


def test_gpt2s_vocabulary_is_known_by_its_padded_size(imported, padded):
    checkpoint, notes = imported(padded)
    assert checkpoint.config.vocab_size == 50257
    assert checkpoint.tensors["transformer.wte.weight"].shape == (50257, 6)
    assert (
        "rows 50257 to 50303 are dropped as padding of the vocabulary (--vocab-size 50304 keeps them)"
        in notes
    )


def test_an_option_keeps_all_rows_of_the_embedding(imported, padded):
    checkpoint, notes = imported(padded, vocab_size=50304)
    assert checkpoint.config.vocab_size == 50304
    assert "dropped" not in notes


def test_an_option_says_how_many_rows_are_real(imported):
    weights = gpt2.random_weights()
    weights["lm_head.weight"] = -weights["transformer.wte.weight"]
    checkpoint, _ = imported(nanogpt(weights), vocab_size=20)
    assert_answers(checkpoint, gpt2.logits(weights, IDS, HEADS, "gelu")[:, :20])


def test_a_tokenizer_says_how_many_rows_are_real(imported, tmp_path):
    tokenizer = Tokenizer(models.WordLevel({str(i): i for i in range(15)}, unk_token="0"))
    tokenizer.add_special_tokens(["<|endoftext|>"])
    tokenizer.save(str(tmp_path / "words.json"))
    checkpoint, _ = imported(nanogpt(), tokenizer_file=tmp_path / "words.json")
    assert (checkpoint.config.vocab_size, checkpoint.config.eos_token_id) == (16, 15)
    assert checkpoint.tokenizer_file.read_bytes() == (tmp_path / "words.json").read_bytes()


def test_more_tokens_than_rows_are_refused(saved):
    message = refusal(saved(nanogpt()), vocab_size=24)
    assert "vocabulary size 24 is more than the model's 23 rows" in message


def test_tensors_that_are_not_the_models_are_all_named(saved):
    document = nanogpt()
    document["model"]["transformer.h.0.ln_1.gain"] = torch.ones(12)
    document["model"]["transformer.h.0.attn.bias"] = torch.ones(12)
    document["model"]["transformer.rotary.inv_freq"] = torch.ones(2)
    del document["model"]["transformer.h.1.mlp.c_fc.bias"]
    message = refusal(saved(document))
    for name in ("h.0.ln_1.gain", "h.0.attn.bias [12]", "rotary.inv_freq", "h.1.mlp.c_fc.bias is missing"):
        assert f"transformer.{name}" in message


def test_a_mix_of_attention_kinds_is_refused(saved):
    document = nanogpt()
    document["model"][BLOCK + "attn.c_kv.weight"] = torch.ones(24, 12)
    assert "layers 0, 1 have attn.c_attn (standard) and layers 0 attn.c_kv" in refusal(saved(document))


def test_a_mix_of_noise_kinds_is_refused(saved, case):
    model = load_file(case("lm-lowrank") / "model.safetensors")
    model[BLOCK + "attn.noise.p"] = torch.ones(3, 4, 4)
    arguments = {"n_layer": 2, "n_head": 3, "n_embd": 12, "block_size": 10, "vocab_size": 19}
    message = refusal(saved({"model": model, "model_args": arguments}))
    assert "must have one kind of noise, but it has lowrank and pairwise" in message


def test_standard_attention_with_noise_is_refused(saved):
    document = nanogpt()
    document["model"][BLOCK + "attn.noise.p"] = torch.ones(3, 4, 4)
    assert "noise.kind must be none with standard attention" in refusal(saved(document))


def test_all_that_is_wrong_is_said_at_once(saved):
    document = nanogpt(n_head=5)
    document["model"]["step"] = 7
    message = refusal(saved(document), vocab_size=99)
    for problem in ("step must be a dense tensor", "n_head (5)", "vocabulary size 99 is more"):
        assert problem in message


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ([1, 2], "contains a list"),
        ({"weights": {}}, "must have a dict 'model' with names as keys"),
        ({"model": {}, "model_args": None}, "must have a dict 'model_args' with names as keys"),
        ({"model": {}, "model_args": {"n_layer": 2}}, "model_args must have a whole number 'block_size'"),
        (nanogpt() | {"model": {}}, "neither attn.c_attn nor attn.c_kv"),
    ],
)
def test_a_file_of_another_kind_is_refused(saved, document, problem):
    assert problem in refusal(saved(document))


def test_arguments_that_may_change_the_mathematics_are_pointed_out(imported):
    assert "these model_args are ignored: use_softermax=True" in imported(nanogpt(use_softermax=True))[1]


class Attack:
    """What runs a command when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


def test_pickle_is_never_run(saved, tmp_path):
    assert "Only pickle can load" in refusal(saved(nanogpt() | {"config": Attack(tmp_path / "run")}))
    assert not (tmp_path / "run").exists()
    message = refusal(saved(nanogpt() | {"config": argparse.Namespace(lr=1)}))
    assert "contains a Python object (argparse.Namespace)" in message
    assert "save only its tensors" in message


@pytest.mark.parametrize("keep", [0, 10, 1000, -10])
def test_a_file_that_was_cut_short_is_refused(saved, keep):
    path = saved(nanogpt())
    path.write_bytes(path.read_bytes()[:keep])
    assert "is not a complete PyTorch file" in refusal(path)


def test_a_missing_file_is_named(tmp_path):
    assert "no such file" in refusal(tmp_path / "none.pt")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_one_dtype_is_kept(imported, dtype):
    document = nanogpt()
    document["model"] = {name: tensor.to(dtype) for name, tensor in document["model"].items()}
    assert {tensor.dtype for tensor in imported(document)[0].tensors.values()} == {dtype}


def test_several_dtypes_become_float32(imported):
    document = nanogpt()
    document["model"] = {name: tensor.half() for name, tensor in document["model"].items()}
    document["model"][BLOCK + "ln_1.weight"] = document["model"][BLOCK + "ln_1.weight"].bfloat16()
    assert {tensor.dtype for tensor in imported(document)[0].tensors.values()} == {torch.float32}


def test_the_command_says_what_it_wrote_and_what_to_do_next(run, saved, tmp_path):
    done = run("import", saved(nanogpt()), "-o", tmp_path / "out", "--dtype", "float16")
    assert done.code == 0
    parameters = load_checkpoint(tmp_path / "out").parameters
    for fact in (
        f"{parameters:,} in float16",
        "standard, no noise",
        "23, no tokenizer",
        "next: nf-edge",
    ):
        assert fact in done.out
    assert "gelu (exact) is assumed" in done.out


def test_json_has_the_same_facts(run, saved, tmp_path):
    done = run("import", saved(nanogpt()), "-o", tmp_path / "out", "--activation", "relu", "--json")
    result = json.loads(done.out)["result"]
    assert result["config"]["activation_function"] == "relu"
    assert result["dtype"] == "float32"
    assert result["parameters"] == load_checkpoint(tmp_path / "out").parameters


def test_the_command_takes_a_tokenizer_and_a_vocabulary(run, saved, tmp_path):
    Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a")).save(str(tmp_path / "words.json"))
    options = ("--tokenizer", tmp_path / "words.json", "--vocab-size", 20)
    assert run("import", saved(nanogpt()), "-o", tmp_path / "out", *options).code == 0
    checkpoint = load_checkpoint(tmp_path / "out")
    assert checkpoint.config.vocab_size == 20
    assert checkpoint.tokenizer_file is not None


def test_a_place_that_is_taken_is_refused_before_the_source_is_read(run, case, tmp_path):
    done = run("import", tmp_path / "absent.pt", "-o", case("lm-none"))
    assert done.code == 3
    assert "lm-none: already exists" in done.err


def test_a_refused_file_leaves_nothing_behind(run, saved, tmp_path):
    done = run("import", saved({"model": {}}), "-o", tmp_path / "out")
    assert done.code == 3
    assert "must have a dict 'model_args'" in done.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ckpt.pt"]


def test_what_is_there_stays_unless_it_may_be_replaced(run, saved, tmp_path):
    path = saved(nanogpt())
    assert run("import", path, "-o", tmp_path / "out").code == 0
    assert run("import", path, "-o", tmp_path / "out", "--activation", "relu").code == 3
    assert load_checkpoint(tmp_path / "out").config.activation_function == "gelu"
    assert run("import", path, "-o", tmp_path / "out", "--activation", "relu", "--overwrite").code == 0
    assert load_checkpoint(tmp_path / "out").config.activation_function == "relu"
