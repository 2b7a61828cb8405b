"""Rounding to the nearest, and the bytes that codes are packed into: as the runtimes have them."""

import numpy as np
import pytest
import torch

from nf_edge.backends.quantized_weights import code_range, nearest, pack, unpack
from nf_edge.core.recipe.precision import Precision


@pytest.fixture
def weight():
    return torch.randn(6, 128, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("group", [16, 32, 128])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_the_nearest_and_its_bytes_are_those_of_onnx_runtimes_own_quantizer(weight, bits, group, symmetric):
    from onnxruntime.quantization import matmul_nbits_quantizer as ort

    config = ort.DefaultWeightOnlyQuantConfig(block_size=group, is_symmetric=symmetric, bits=bits)
    matrix = np.ascontiguousarray(weight.numpy().T)
    packed, scales, zeros = ort.DefaultWeightOnlyQuantizer(config).qbits_block_quant(matrix)
    quantized_weight = nearest(weight, Precision(bits, group, symmetric), signed=True)
    assert np.array_equal(pack(quantized_weight.codes, bits).numpy(), packed.reshape(6, -1))
    assert np.array_equal(quantized_weight.scales.numpy(), scales.reshape(6, -1))
    if not symmetric:
        # What fills up the last byte is read by nobody.
        points = unpack(torch.from_numpy(zeros.reshape(6, -1)), bits)[:, : 128 // group]
        assert torch.equal(quantized_weight.zeros, points)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_unpacking_gives_the_codes_back(bits):
    least, most = code_range(bits)
    # One more than fills the last byte.
    codes = torch.arange(least, most + 1, dtype=torch.int8).repeat(2, 2)
    codes = torch.cat([codes, codes[:, -1:]], dim=1)
    assert torch.equal(unpack(pack(codes, bits), bits)[:, : codes.shape[1]], codes)


@pytest.mark.parametrize(("signed", "symmetric"), [(True, True), (False, True), (True, False)])
@pytest.mark.parametrize("bits", range(2, 9))
def test_no_value_is_off_by_more_than_a_step_and_zeros_stay(weight, bits, signed, symmetric):
    weight[0], weight[1, :32], weight[2] = 0, 0, weight[2].abs() + 5
    quantized_weight = nearest(weight, Precision(bits, 32, symmetric), signed)
    steps = quantized_weight.scales.abs().repeat_interleave(32, dim=1)
    # What is beyond the outermost codes is cut, by less than a step.
    assert bool(((weight - quantized_weight.dequantized()).abs() <= steps).all())
    assert not quantized_weight.dequantized()[0].any()
    assert len(quantized_weight.codes.unique()) <= 2**bits
