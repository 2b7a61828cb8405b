"""Each rewrite of the NPU form by itself: the same numbers as the plain network has."""

import copy

import pytest
import torch
import torch.nn.functional as F
from conftest import NOISES, RANDOM_LENGTH

from nf_edge.backends.ethos_u import form
from nf_edge.backends.static_shape.fold_norms import fold_norms
from nf_edge.backends.static_shape.form import Hints, SelectToken
from nf_edge.model.attention import Pass
from nf_edge.model.attention_forms import HIDDEN_QUANTIZED

NOTHING = Hints(hidden=None, pick=None)
WIDTH = 32
IDS = torch.arange(RANDOM_LENGTH)[None]


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.no_grad():
        yield


def tokens(seed=3):
    return torch.randn(1, RANDOM_LENGTH, WIDTH, generator=torch.Generator().manual_seed(seed))


def assert_same(found, wanted):
    assert found.shape == wanted.shape
    assert (found - wanted).abs().max() <= 1e-5 * wanted.abs().max()


def streams(model):
    """What each layer of a network gives to the next."""
    found = []
    hooks = [
        block.register_forward_hook(lambda block, given, made: found.append(made))
        for block in model.transformer.blocks
    ]
    model(IDS)
    for hook in hooks:
        hook.remove()
    return found


def plain_attention(model, x, causal):
    """The first layer's attention, as the network has it, for all tokens."""
    attention, plain = next(model.transformer.blocks).attn, model.transformer.form
    positions = torch.arange(x.shape[1])
    mask = plain.mask(None, positions, x.shape[1], causal)
    return attention(x, Pass(plain, positions, x.shape[1], mask, None))


def npu_attention(model, causal, output_tokens="all"):
    """The same in the NPU form; the model's scale is folded."""
    attention = next(model.transformer.blocks).attn
    attention.fold_scale()
    return form.NpuAttention(attention, RANDOM_LENGTH, causal, output_tokens)


def test_centring_takes_the_mean_from_the_residual_stream_and_nothing_else(random_network):
    plain, centred = random_network("language model", "lowrank"), random_network("language model", "lowrank")
    form.fold(centred)
    for wanted, found in zip(streams(plain), streams(centred), strict=True):
        assert found.mean(dim=-1).abs().max() <= 1e-5 * found.abs().max()
        assert_same(found, wanted - wanted.mean(dim=-1, keepdim=True))


@pytest.mark.parametrize("attention", ["lowrank", "standard"])
def test_a_folded_norm_leaves_the_stream_as_it_was(attention, random_network):
    plain, folded = random_network("mean", attention), random_network("mean", attention)
    for block in folded.transformer.blocks:
        fold_norms(block)
        for norm in (block.ln_1, block.ln_2):
            assert torch.equal(norm.weight, torch.ones(WIDTH))
            assert torch.equal(norm.bias, torch.zeros(WIDTH))
    for wanted, found in zip(streams(plain), streams(folded), strict=True):
        assert_same(found, wanted)


def test_a_norm_of_what_has_no_mean_is_layer_norm(random_network):
    norm = next(random_network("mean", "none").transformer.blocks).ln_1
    x = tokens()
    x = x - x.mean(dim=-1, keepdim=True)
    assert_same(form.Norm(norm)(x), F.layer_norm(x, (WIDTH,), eps=norm.eps))


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("causal", [True, False])
def test_transposed_scores_give_the_same_attention(causal, noise, random_network):
    task = "mean, causal" if causal else "mean"
    model, x = random_network(task, noise), tokens()
    wanted = plain_attention(model, x, causal)
    assert_same(npu_attention(model, causal)(x, NOTHING), wanted)


@pytest.mark.parametrize("rows", [7, 16, RANDOM_LENGTH])
def test_blocks_of_rows_of_any_size_give_the_same_attention(rows, random_network, monkeypatch):
    """Also the last one, which may be shorter."""
    monkeypatch.setattr(form, "ROWS", rows)
    model, x = random_network("mean, causal", "relative"), tokens()
    wanted = plain_attention(model, x, causal=True)
    attention = npu_attention(model, causal=True)
    assert len(attention.blocks) == -(-RANDOM_LENGTH // rows)
    assert_same(attention(x, NOTHING), wanted)


def test_shares_normalised_after_the_product_with_values_are_those_of_softmax(random_network):
    """Whatever the scores are: 400 would overflow without the maximum taken off."""
    attention = npu_attention(random_network("mean", "none"), causal=False)
    heads, size = attention.heads, attention.head_size
    generator = torch.Generator().manual_seed(4)
    keys = torch.randn(heads, RANDOM_LENGTH, size, generator=generator)
    queries = 100 * torch.randn(heads, size, RANDOM_LENGTH, generator=generator)
    values = torch.randn(heads, size, RANDOM_LENGTH, generator=generator)
    assert (keys @ queries).max() > 400
    wanted = values @ torch.softmax(keys @ queries, dim=1)
    assert_same(attention._attend(keys, queries, values, NOTHING, 0, RANDOM_LENGTH), wanted)


@pytest.mark.parametrize("noise", ["lowrank", "pairwise"])
def test_noise_as_linear_layers_over_all_heads_is_the_noise_of_each(noise, random_network):
    attention = next(random_network("mean", noise).transformer.blocks).attn
    k = torch.randn(1, RANDOM_LENGTH, WIDTH, generator=torch.Generator().manual_seed(5))
    by_head = k.view(1, RANDOM_LENGTH, attention.heads, -1).transpose(1, 2)
    wanted = attention.noise.query(by_head).transpose(1, 2).reshape(k.shape)
    assert_same(k + form.NpuAttention(attention, RANDOM_LENGTH, False, "all").noise(k), wanted)


@pytest.mark.parametrize("real", [1, 17, RANDOM_LENGTH])
def test_a_token_picked_by_a_sum_is_that_token(real):
    x, pick = tokens(), torch.zeros(1, 1, RANDOM_LENGTH)
    pick[0, 0, real - 1] = 1
    hints = Hints(hidden=None, pick=pick)
    assert torch.equal(form.SelectTokenBySum("last")(x, hints), x[:, real - 1 : real])
    assert torch.equal(form.SelectTokenBySum("last")(x, hints), SelectToken("last")(x, hints))
    assert torch.equal(form.SelectTokenBySum("first")(x, NOTHING), x[:, :1])


@pytest.mark.parametrize("noise", ["lowrank", "standard"])
def test_a_last_layer_that_asks_for_the_last_token_alone_answers_as_for_all(noise, random_network):
    model, x = random_network("last token", noise), tokens()
    everything = npu_attention(copy.deepcopy(model), causal=True)(x, NOTHING)
    pick = F.one_hot(torch.tensor([[RANDOM_LENGTH - 1]]), RANDOM_LENGTH).float()
    hints = Hints(hidden=torch.zeros(1, RANDOM_LENGTH, 1), pick=pick)
    assert_same(npu_attention(model, causal=True, output_tokens="last")(x, hints), everything[:, -1:])


def test_a_hidden_key_is_one_that_is_not_there(random_network):
    """To float32: exp(-30) of it is left."""
    model, x, real = random_network("mean", "lowrank"), tokens(), 17
    wanted = plain_attention(model, x[:, :real], causal=False)
    hidden = torch.where(torch.arange(RANDOM_LENGTH) < real, 0.0, HIDDEN_QUANTIZED)[None, :, None]
    found = npu_attention(model, causal=False)(x, Hints(hidden=hidden, pick=None))
    assert_same(found[:, :real], wanted)
