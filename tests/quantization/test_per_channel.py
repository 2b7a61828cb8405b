"""nf-edge rounds int8 weights per channel exactly as ONNX Runtime's quantizer does."""

import numpy as np
import onnx
import pytest
import torch

from nf_edge.backends.onnx import per_channel


@pytest.fixture
def matrix():
    """Rows of many magnitudes, one of zeros, and one too small for a scale."""
    weight = torch.randn(40, 300, generator=torch.Generator().manual_seed(0))
    weight *= 10.0 ** torch.linspace(-30, 30, 40)[:, None]
    weight[3], weight[4] = 0, 1e-42
    return weight


def test_codes_and_scales_are_those_of_onnxruntime(matrix, monkeypatch):
    from onnxruntime.quantization.quant_utils import quantize_data

    monkeypatch.setattr(per_channel, "BLOCK", 1000)
    codes, scales = per_channel.rounded(matrix)
    for row, (code, scale) in enumerate(zip(codes.T, scales, strict=True)):
        _, expected_scale, expected = quantize_data(matrix[row].numpy(), onnx.TensorProto.INT8, True)
        assert scale == expected_scale
        assert scale.dtype == expected_scale.dtype
        np.testing.assert_array_equal(code, expected)
