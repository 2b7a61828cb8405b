"""Random checkpoints: of the shape that is asked for, the same each time, and alive in every part."""

from math import prod
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models

from nf_edge.core.presets import PRESETS
from nf_edge.model import ModelConfig, build, load_checkpoint
from nf_edge.model.init import init_tensors


def config(**changes):
    shape = {"vocab_size": 300, "n_positions": 16, "n_embd": 64, "n_layer": 2, "n_head": 4}
    return ModelConfig(architectures=("NoiseFormerForCausalLM",), **shape | changes)


LOWRANK = {"kind": "lowrank", "rank": 4}
NOISES = [LOWRANK, {"kind": "pairwise"}, {"kind": "relative"}]


def model_of(config, seed=0):
    network = build(config)
    tensors = init_tensors(config, seed)
    network.load_state_dict({"lm_head.weight": tensors["transformer.wte.weight"], **tensors})
    return network


def test_every_tensor_has_gpt2s_spread():
    tensors = init_tensors(config(noise=LOWRANK, n_layer=8), seed=0)
    for name, tensor in tensors.items():
        assert tensor.dtype == torch.float32
        if ".ln_" in name or name.endswith(".bias"):
            assert torch.equal(tensor, torch.full_like(tensor, float(name.endswith(".weight"))))
        elif ".noise." not in name:
            std = 0.02 / 4 if name.endswith(".c_proj.weight") else 0.02
            assert tensor.std().item() == pytest.approx(std, rel=0.1)


@pytest.mark.parametrize("noise", NOISES[:2])
def test_noise_starts_at_a_tenth_of_the_key(noise):
    attention = model_of(config(noise=noise)).transformer.h[0].attn
    k = torch.randn(1, 4, 1000, 16, generator=torch.Generator().manual_seed(0))
    assert (attention.noise.query(k) - k).std().item() == pytest.approx(0.1, rel=0.3)


@pytest.mark.parametrize("noise", NOISES)
def test_every_parameter_learns_from_the_first_step_on(noise):
    model = model_of(config(noise=noise))
    ids = torch.arange(16)[None]
    model(ids).log_softmax(-1)[0, :-1].gather(1, ids[0, 1:, None]).mean().backward()
    still = [name for name, parameter in model.named_parameters() if not parameter.grad.any()]
    assert still == []


@pytest.mark.parametrize("noise", NOISES)
def test_noise_shows_in_the_logits(noise):
    ids = torch.arange(16)[None]
    with torch.no_grad():
        with_noise, without = model_of(config(noise=noise))(ids), model_of(config())(ids)
    assert (with_noise - without).abs().max() > 1e-4 * without.abs().max()


def test_models_of_one_seed_share_what_they_have_in_common():
    plain, noisy = init_tensors(config(), 7), init_tensors(config(noise=LOWRANK), 7)
    standard = init_tensors(config(attention="standard"), 7)
    assert all(torch.equal(noisy[name], tensor) for name, tensor in plain.items())
    assert torch.equal(standard["transformer.wte.weight"], plain["transformer.wte.weight"])


def test_tensors_differ_from_each_other_and_from_seed_to_seed():
    tensors, others = init_tensors(config(), 0), init_tensors(config(), 1)
    wte = "transformer.wte.weight"
    assert not torch.equal(tensors[wte], others[wte])
    first, second = (tensors[f"transformer.h.{i}.mlp.c_fc.weight"] for i in (0, 1))
    assert not torch.equal(first, second)


def test_the_same_seed_writes_the_same_bytes(run, tmp_path):
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        assert run("init", "-o", tmp_path / name, "--seed", seed, "--noise", "pairwise").code == 0
    a, b, c = ((tmp_path / name / "model.safetensors").read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_without_options_it_is_a_tiny_noiseformer(run, tmp_path):
    done = run("init", "-o", tmp_path / "tiny")
    config = load_checkpoint(tmp_path / "tiny").config
    assert (config.attention, config.noise.kind, config.noise.rank) == ("symmetric", "lowrank", 4)
    assert "symmetric, lowrank noise of rank 4" in done.out


@pytest.mark.parametrize(
    ("preset", "parameters"),
    [("distilgpt2", 81_912_576), ("gpt2", 124_439_808), ("gpt2-medium", 354_823_168)],
)
def test_a_preset_has_its_published_size(preset, parameters):
    shapes = config(**PRESETS[preset], attention="standard").tensor_shapes()
    assert sum(map(prod, shapes.values())) == parameters


def test_every_option_is_heeded(run, tmp_path):
    options = (
        "--vocab-size 50 --positions 8 --embd 12 --layers 1 --heads 2 --inner 7 --noise lowrank --rank 3"
    )
    options += " --activation relu --untied --dtype float16"
    assert run("init", "-o", tmp_path / "model", *options.split()).code == 0
    checkpoint = load_checkpoint(tmp_path / "model")
    assert checkpoint.config.model_dump(include=set(config().model_dump()), exclude_none=True) == {
        **config().model_dump(exclude_none=True),
        "vocab_size": 50,
        "n_positions": 8,
        "n_embd": 12,
        "n_layer": 1,
        "n_head": 2,
        "n_inner": 7,
        "noise": {"kind": "lowrank", "rank": 3},
        "activation_function": "relu",
        "tie_word_embeddings": False,
    }
    assert {tensor.dtype for tensor in checkpoint.tensors.values()} == {torch.float16}


def test_a_classifier_is_written_with_its_labels(run, tmp_path):
    options = "--num-labels 3 --bidirectional --pooling mean --noise none"
    assert run("init", "-o", tmp_path / "model", *options.split()).code == 0
    checkpoint = load_checkpoint(tmp_path / "model")
    assert (checkpoint.config.num_labels, checkpoint.config.causal) == (3, False)
    assert (checkpoint.config.pooling, checkpoint.config.noise.kind) == ("mean", "none")
    assert checkpoint.model()(torch.zeros(2, 5, dtype=torch.int64)).shape == (2, 3)


@pytest.fixture
def tokenizer_file(tmp_path) -> Path:
    tokenizer = Tokenizer(models.WordLevel({str(i): i for i in range(40)}, unk_token="0"))
    tokenizer.add_special_tokens(["<|endoftext|>"])
    tokenizer.save(str(tmp_path / "words.json"))
    return tmp_path / "words.json"


def test_a_tokenizer_gives_the_vocabulary_and_goes_with_the_model(run, tmp_path, tokenizer_file):
    assert run("init", "-o", tmp_path / "model", "--tokenizer", tokenizer_file).code == 0
    checkpoint = load_checkpoint(tmp_path / "model")
    assert (checkpoint.config.vocab_size, checkpoint.config.eos_token_id) == (41, 40)
    assert checkpoint.tokenizer_file.read_bytes() == tokenizer_file.read_bytes()


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ("--embd 30 --heads 4", 3, "n_embd (30) must be a multiple of n_head (4)"),
        ("--rank 17", 3, "noise.rank must be from 1 to the head size 16, not 17"),
        ("--tokenizer absent.json", 3, "absent.json: no such file"),
        ("--vocab-size 40 --tokenizer words.json", 3, "the tokenizer has 41 tokens"),
        ("--noise pairwise --rank 2", 2, "--rank needs --noise lowrank"),
        ("--attention standard --noise relative", 2, "Standard attention supports no noise"),
        ("--num-labels 2 --untied", 2, "--untied is for language models"),
        ("--bidirectional", 2, "--bidirectional is for classifiers"),
        ("--pooling mean", 2, "--pooling is for classifiers"),
        ("--layers 0", 2, "0 is not in the range"),
    ],
)
def test_an_impossible_shape_is_refused_and_nothing_is_written(
    run, tmp_path, tokenizer_file, monkeypatch, options, code, message
):
    monkeypatch.chdir(tmp_path)
    done = run("init", "-o", "model", *options.split())
    assert done.code == code
    assert message in done.err
    assert list(tmp_path.iterdir()) == [tokenizer_file]


def test_an_existing_checkpoint_is_replaced_only_when_asked(run, tmp_path):
    assert run("init", "-o", tmp_path / "model").code == 0
    refused = run("init", "-o", tmp_path / "model", "--layers", 1)
    assert refused.code == 3
    assert "give --overwrite" in refused.err
    assert run("init", "-o", tmp_path / "model", "--layers", 1, "--overwrite").code == 0
    assert load_checkpoint(tmp_path / "model").config.n_layer == 1
