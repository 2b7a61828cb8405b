"""The network gives the specification's logits, and keeps the properties that exporting relies on."""

import numpy as np
import pytest
import torch
from conftest import SHARED, TESTS
from hypothesis import given, settings
from hypothesis import strategies as st

from nf_edge.model import KVCache, ModelConfig, build, load_checkpoint
from nf_edge.model.attention_forms import MatmulForm

TOLERANCE = {"rtol": 0, "atol": 1e-4}
POSITIONS, VOCABULARY = 10, 17


def case_folders():
    """Every case, ours and the specification's; without the latter, one entry that is skipped aloud."""
    ours = [pytest.param(file.parent, id=file.parent.name) for file in found(TESTS / "cases")]
    theirs = [pytest.param(file.parent, id=f"spec-{file.parent.name}") for file in found(SHARED)]
    absent = pytest.mark.skip(reason="the specification's cases, ../shared/conformance, are not there")
    return ours + (theirs or [pytest.param(None, id="spec", marks=absent)])


def found(folder):
    return sorted(folder.glob("**/expected.npz"))


def load_case(folder):
    """(model, ids [1, T], attention mask [1, T], expected logits)"""
    expected = np.load(folder / "expected.npz")
    ids, mask, logits = (torch.from_numpy(expected[key]) for key in ("ids", "attention_mask", "logits"))
    return load_checkpoint(folder).model(), ids[None], mask[None], logits


@pytest.mark.parametrize("folder", case_folders())
def test_logits_are_the_specifications(folder):
    model, ids, mask, expected = load_case(folder)
    torch.testing.assert_close(model(ids, mask)[0], expected, **TOLERANCE)


@pytest.mark.parametrize("chunk", [1, 3, 7])
@pytest.mark.parametrize(
    "folder", [case for case in case_folders() if case.id.removeprefix("spec-")[:2] == "lm"]
)
def test_logits_through_the_cache_are_the_specifications(folder, chunk):
    model, ids, _, expected = load_case(folder)
    cache = KVCache(model.config)
    parts = [model(part, cache=cache) for part in ids.split(chunk, dim=1)]
    torch.testing.assert_close(torch.cat(parts, dim=1)[0], expected, **TOLERANCE)
    assert cache.length == ids.shape[1]


def test_a_full_cache_says_so(case):
    model = load_checkpoint(case("lm-none")).model()
    cache = KVCache(model.config)
    model(torch.zeros(1, model.config.n_positions, dtype=torch.int64), cache=cache)
    with pytest.raises(ValueError, match="the cache has 10 positions, too few"):
        model(torch.zeros(1, 1, dtype=torch.int64), cache=cache)


@st.composite
def configs(draw, classifier=None, causal=None, attention=None):
    """Small models of every kind."""
    classifier = draw(st.booleans()) if classifier is None else classifier
    causal = (draw(st.booleans()) if classifier else True) if causal is None else causal
    attention = (
        draw(st.sampled_from(["symmetric", "symmetric", "standard"])) if attention is None else attention
    )
    noise = (
        draw(st.sampled_from(["none", "lowrank", "pairwise", "relative"]))
        if attention == "symmetric"
        else "none"
    )
    heads, head_size = draw(st.integers(1, 3)), draw(st.integers(1, 5))
    layers = draw(st.integers(1, 2))
    pruned = st.fixed_dictionaries({"n_head": st.integers(1, heads), "n_inner": st.integers(1, 9)})
    return ModelConfig(
        architectures=("NoiseFormerForSequenceClassification" if classifier else "NoiseFormerForCausalLM",),
        vocab_size=VOCABULARY,
        n_positions=POSITIONS,
        n_embd=heads * head_size,
        n_layer=layers,
        n_head=heads,
        n_inner=8,
        activation_function=draw(st.sampled_from(["gelu_new", "gelu", "relu"])),
        causal=causal,
        attention=attention,
        noise={"kind": noise, "rank": draw(st.integers(1, head_size)) if noise == "lowrank" else None},
        tie_word_embeddings=draw(st.booleans()),
        num_labels=3 if classifier else None,
        pooling=draw(st.sampled_from([None, "last", "last_not_pad", "first", "mean"])),
        pad_token_id=draw(st.none() | st.integers(0, VOCABULARY - 1)),
        layers=draw(st.none() | st.lists(pruned, min_size=layers, max_size=layers)),
    )


def random_model(config, seed):
    """A model whose every parameter matters: none is zero, and scores differ by a few units."""
    generator = torch.Generator().manual_seed(seed)
    model = build(config).eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.6)
    return model


def random_ids(seed, length):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, VOCABULARY, (1, length)))


SEEDS = st.integers(0, 2**32 - 1)
LENGTHS = st.integers(2, POSITIONS)
quickly = settings(max_examples=40)


@quickly
@given(config=configs(classifier=False), seed=SEEDS, length=LENGTHS, data=st.data())
def test_a_language_model_never_looks_ahead(config, seed, length, data):
    model, ids = random_model(config, seed), random_ids(seed, length)
    position = data.draw(st.integers(0, length - 2))
    changed = ids.clone()
    changed[:, position + 1 :] = (ids[:, position + 1 :] + 1) % VOCABULARY
    seen = slice(0, position + 1)
    torch.testing.assert_close(model(changed)[:, seen], model(ids)[:, seen])


@quickly
@given(config=configs(), seed=SEEDS, lengths=st.lists(st.integers(1, POSITIONS), min_size=2, max_size=3))
def test_rows_of_a_padded_batch_are_answered_as_if_alone(config, seed, lengths):
    model = random_model(config, seed)
    batch = torch.cat([random_ids(seed + i, max(lengths)) for i in range(len(lengths))])
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    logits = model(batch, mask)
    assert logits.isfinite().all()
    for i, length in enumerate(lengths):
        alone = model(batch[i : i + 1, :length])[0]
        answer = logits[i, :length] if config.is_language_model else logits[i]
        torch.testing.assert_close(answer, alone, **TOLERANCE)


@quickly
@given(config=configs(classifier=True), seed=SEEDS, length=LENGTHS, data=st.data())
def test_the_right_most_token_that_is_no_pad_token_is_pooled_or_else_the_first(config, seed, length, data):
    """By the same network, asked for the token at that place."""
    pad = 3
    config = config.model_copy(update={"pooling": "last_not_pad", "pad_token_id": pad})
    ids = random_ids(seed, length)
    real, pads = data.draw(st.integers(1, length)), data.draw(st.integers(0, length))
    ids[:, max(real - pads, 0) : real] = pad
    mask = (torch.arange(length) < real).long()[None]
    model = random_model(config, seed)
    others = [i for i in range(real) if ids[0, i] != pad]
    hidden = model.transformer(ids, mask)[0, max(others, default=0)]
    torch.testing.assert_close(model(ids, mask)[0], hidden @ model.score.weight.T, **TOLERANCE)


@quickly
@given(config=configs(), seed=SEEDS, length=LENGTHS)
def test_folding_the_scale_into_the_weights_changes_no_logit(config, seed, length):
    model, ids = random_model(config, seed), random_ids(seed, length)
    expected = model(ids)
    for block in model.transformer.h:
        block.attn.fold_scale()
        assert block.attn.scale == 1
    torch.testing.assert_close(model(ids), expected, **TOLERANCE)


@quickly
@given(config=configs(attention="symmetric"), seed=SEEDS, length=LENGTHS)
def test_rotating_every_head_of_k_changes_no_logit(config, seed, length):
    model, ids = random_model(config, seed), random_ids(seed, length)
    expected = model(ids)
    generator = torch.Generator().manual_seed(seed)
    for block in model.transformer.h:
        attn = block.attn
        square = torch.randn(attn.heads, attn.head_size, attn.head_size, generator=generator)
        rotation, _ = torch.linalg.qr(square)
        width = attn.heads * attn.head_size
        for parameter in (attn.c_kv.weight, attn.c_kv.bias):
            rows = parameter[:width].view(attn.heads, attn.head_size, -1)
            rows.copy_(rotation.mT @ rows)
        if config.noise.kind == "lowrank":
            attn.noise.a.copy_(rotation.mT @ attn.noise.a)
            attn.noise.b.copy_(rotation.mT @ attn.noise.b)
        elif config.noise.kind == "pairwise":
            attn.noise.p.copy_(rotation.mT @ attn.noise.p @ rotation)
    torch.testing.assert_close(model(ids), expected, **TOLERANCE)


@quickly
@given(config=configs(), seed=SEEDS, length=LENGTHS, data=st.data())
def test_matrix_products_give_what_pytorchs_attention_gives(config, seed, length, data):
    model, ids = random_model(config, seed), random_ids(seed, length)
    real = data.draw(st.integers(1, length))
    mask = (torch.arange(length) < real).long()[None]
    expected = model(ids, mask)
    model.transformer.form = MatmulForm()
    got = model(ids, mask)
    if config.is_language_model:
        expected, got = expected[:, :real], got[:, :real]
    torch.testing.assert_close(got, expected, **TOLERANCE)


def test_random_noise_on_the_scores_is_for_training_only(case):
    model = load_checkpoint(case("lm-lowrank")).model()
    ids = torch.arange(8)[None]
    expected = model(ids)
    for block in model.transformer.h:
        block.attn.noise.log_sigma = torch.nn.Parameter(torch.full((block.attn.heads,), -2.0))
    torch.testing.assert_close(model(ids), expected)
    model.train()
    assert (model(ids) - expected).abs().max() > 1e-2


@pytest.mark.parametrize(
    "mask", [[0, 1, 1], [1, 0, 1], [0, 0, 0]], ids=["left-padded", "with a hole", "without a token"]
)
@pytest.mark.parametrize("name", ["cls-causal-first", "cls-last-not-pad"])
def test_a_mask_that_is_not_padding_on_the_right_is_refused(name, mask, case):
    model = load_checkpoint(case(name)).model()
    with pytest.raises(ValueError, match="padding on the right"):
        model(torch.tensor([[1, 2, 3]]), torch.tensor([mask]))


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("cls-relative-bidirectional-last-padded", 1),
        ("cls-pairwise-bidirectional-padded", 1),
        ("cls-standard-bidirectional-mean", 6),
        ("cls-last-not-pad", 1),
    ],
    ids=["last", "first", "mean", "last but pad tokens"],
)
def test_the_last_layer_answers_only_for_the_tokens_that_are_pooled(name, tokens, case):
    model = load_checkpoint(case(name)).model()
    seen = []
    for block in model.transformer.blocks:
        for module in (block.attn.c_proj, block.ln_2, block.mlp):
            module.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].shape[1]))
    model(torch.zeros(2, 6, dtype=torch.int64), torch.tensor([[1] * 6, [1] * 4 + [0] * 2]))
    assert seen == [6, 6, 6, tokens, tokens, tokens]
