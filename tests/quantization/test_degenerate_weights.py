"""Weights of every size and magnitude, however odd, become codes and scales that a file can hold."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nf_edge.backends.quantized_weights import as_stored, code_range, nearest, pack, unpack
from nf_edge.core.recipe.precision import Precision
from nf_edge.quantization.awq import awq
from nf_edge.quantization.equalize import equalize
from nf_edge.quantization.gptq import gptq
from nf_edge.quantization.rotate import rotate

# Sizes of 1, of primes, and of what groups divide; no group of a recipe is smaller than 16.
ROWS, COLUMNS, GROUP = (1, 2, 3, 7), (1, 2, 3, 13, 32, 64, 96), 32
# The smallest values are subnormal, the largest some of the last that float32 has.
SIZES = (0.0, 1e-44, 1e-40, 1e-30, 1e-12, 1e-6, 1.0, 1e4, 1e30, 1e38)


@st.composite
def matrices(draw):
    """Random values of one size or of several, a constant, all but one 0, or a row or a group of 0."""
    rows, columns = draw(st.sampled_from(ROWS)), draw(st.sampled_from(COLUMNS))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 999)))
    values = torch.rand(rows, columns, generator=generator) * 2 - 1
    kind = draw(st.sampled_from(["random", "mixed", "constant", "one", "positive", "row", "group"]))
    size = draw(st.sampled_from(SIZES))
    if kind == "mixed":
        picked = torch.randint(len(SIZES), (rows, columns), generator=generator)
        return values * torch.tensor(SIZES)[picked]
    if kind == "constant":
        values = torch.ones(rows, columns)
    elif kind == "one":
        values = torch.zeros(rows, columns)
        values[-1, -1] = draw(st.sampled_from([1.0, -1.0]))
    elif kind == "positive":
        values = values.abs() + 1
    elif kind == "row":
        values[0] = 0
    elif kind == "group":
        values[:, :GROUP] = 0
    return values * size


@st.composite
def precisions_of(draw, columns):
    group = draw(st.sampled_from([None, GROUP])) if columns % GROUP == 0 else None
    return Precision(draw(st.integers(2, 8)), group, draw(st.booleans()))


def require_sound(quantized_weight, weight, precision, stored):
    """Codes in range; scales that the dtype holds, finite and not 0; what they stand for finite, zeros 0."""
    least, most = code_range(precision.bits)
    assert quantized_weight.codes.dtype == torch.int8
    assert least <= int(quantized_weight.codes.min()) <= int(quantized_weight.codes.max()) <= most
    assert torch.equal(quantized_weight.scales.to(stored).float(), quantized_weight.scales)
    assert bool(quantized_weight.scales.isfinite().all())
    assert bool((quantized_weight.scales.abs() > 0).all())
    assert (quantized_weight.zeros is None) == precision.symmetric
    found = quantized_weight.dequantized()
    assert bool(found.isfinite().all())
    empty = (weight == 0).view(*quantized_weight.scales.shape, -1).all(dim=2)
    assert not found.view(*quantized_weight.scales.shape, -1)[empty].any()
    if precision.bits in (2, 4, 8):
        packed = unpack(pack(quantized_weight.codes, precision.bits), precision.bits)
        assert torch.equal(packed[:, : weight.shape[1]], quantized_weight.codes)


@given(st.data(), matrices(), st.booleans(), st.sampled_from([torch.float32, torch.float16]))
@settings(max_examples=100)
def test_the_nearest_is_sound_and_a_step_away_at_most(data, weight, signed, stored):
    precision = data.draw(precisions_of(weight.shape[1]))
    quantized_weight = nearest(weight, precision, signed, stored)
    require_sound(quantized_weight, weight, precision, stored)
    largest = torch.finfo(stored).max / 2 if precision.symmetric else torch.finfo(stored).max / 4
    if float(weight.abs().max()) <= largest:
        step = quantized_weight.scales.abs()[:, :, None]
        off = (weight - quantized_weight.dequantized()).abs().view(*quantized_weight.scales.shape, -1)
        # Half a step where no code is cut, and the rounding of float32 itself.
        assert bool((off <= step * 1.01 + 1e-6 * weight.abs().max()).all())


@given(st.data(), matrices(), st.booleans(), st.sampled_from(["none", "one", "all", "rank 1", "infinite"]))
@settings(max_examples=60)
def test_gptq_is_sound_whatever_its_layer_sees(data, weight, signed, seen):
    precision, columns = data.draw(precisions_of(weight.shape[1])), weight.shape[1]
    hessian = torch.zeros(columns, columns, dtype=torch.float64)
    if seen == "one":
        hessian[0, 0] = 1e-300
    elif seen == "all":
        inputs = torch.randn(5, columns, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        hessian = 1e60 * inputs.T @ inputs
    elif seen == "rank 1":
        hessian += 1.0
    elif seen == "infinite":
        hessian += torch.inf
    quantized_weight = gptq(weight, hessian, precision, signed)
    require_sound(quantized_weight, weight, precision, torch.bfloat16)
    if seen in ("none", "infinite") and (signed or not precision.symmetric):
        # No input counts for more than another, so weights lose no more than by rounding each of them.
        found, plain = (
            (weight - its.dequantized()).double().square().sum()
            for its in (quantized_weight, nearest(weight, precision, signed, torch.bfloat16))
        )
        assert float(found) <= 1.01 * float(plain) + 1e-12 * float(weight.double().square().sum())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_scale_is_stored_as_the_nearest_that_is_usable(dtype):
    asked = torch.tensor([0.0, 1e-45, -1e-45, 1e-9, 0.1, -0.1, 7e4, 3e38, -3e38, torch.inf])
    found = as_stored(asked, 8, dtype)
    assert torch.equal(found.to(dtype).float(), found)
    assert found[0] == 1
    assert bool(((found * 128).isfinite() & (found != 0)).all())
    assert torch.equal(found[1:].sign(), asked[1:].sign())
    assert float(found[4]) == pytest.approx(0.1, rel=torch.finfo(dtype).eps)


@pytest.mark.parametrize("kind", ["zero", "one", "tiny", "subnormal", "large", "mixed"])
@pytest.mark.parametrize("rewrite", ["equalize", "rotate", "awq"])
def test_what_is_rewritten_before_rounding_answers_as_before(rewrite, kind, random_network):
    network = random_network("last token", "lowrank")
    matrices = [
        value for name, value in network.named_parameters() if value.dim() == 2 and "noise" not in name
    ]
    with torch.no_grad():
        for index, weight in enumerate(matrices):
            size = {"tiny": 1e-12, "subnormal": 1e-41, "large": 1e4, "mixed": (1e-20, 1e3)[index % 2]}.get(
                kind
            )
            if size is None:
                weight[:, 1:] = 0  # but for one input
                weight *= kind == "one"
            else:
                weight *= size
    rows = [(torch.arange(1, length + 1)[None].numpy(), torch.ones(1, length).numpy()) for length in (1, 9)]
    asked = torch.arange(3, 30)[None]
    before = network(asked).detach()
    precisions = {name: Precision(4, 32) for name in network.config.matrix_shapes()}
    if rewrite == "awq":
        awq(network, precisions, rows, signed=True)
    else:
        equalize(network, rows) if rewrite == "equalize" else rotate(network)
    assert all(bool(value.isfinite().all()) for value in network.parameters())
    assert torch.allclose(network(asked).detach(), before, rtol=2e-3, atol=2e-3 * float(before.abs().max()))
