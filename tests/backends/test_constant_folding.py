"""Weights of static recipes are rounded in blocks of rows, to the same values as at once."""

import pytest
import torch
from conftest import backend_missing
from torch import nn

from nf_edge.backends.executorch import constant_folding
from nf_edge.backends.executorch.capture import quantize_captured

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(backend_missing("xnnpack-int8")), reason="needs ExecuTorch"),
]


def quantized(release):
    """A linear layer of 24 outputs as a quantized program: its int8 weights, and its answer to a row."""
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )

    torch.manual_seed(0)
    module, row = nn.Sequential(nn.Linear(16, 24)).eval(), (torch.randn(3, 16),)
    quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
    program = quantize_captured(torch.export.export(module, row), quantizer, [row], release)
    (weight,) = (buffer for buffer in program.buffers() if buffer.dtype == torch.int8)
    return weight, program(*row)


def test_blocks_of_rows_are_rounded_like_the_matrix(monkeypatch):
    whole, answer = quantized(lambda: None)
    # Five rows at once, so the last block has fewer.
    monkeypatch.setattr(constant_folding, "BLOCK", 5 * 16)
    released = []
    weight, same = quantized(lambda: released.append(True))
    assert torch.equal(weight, whole)
    assert torch.equal(same, answer)
    # Before the row, before the weights, and after the large weight.
    assert len(released) == 3


def test_no_weight_is_dequantized_while_it_is_rounded(monkeypatch):
    dequantize, called = torch.ops.quantized_decomposed.dequantize_per_channel.default, []
    run_node = torch.fx.Interpreter.run_node

    def counted(interpreter, node):
        called.append(node.target)
        return run_node(interpreter, node)

    monkeypatch.setattr(torch.fx.Interpreter, "run_node", counted)
    quantized(lambda: None)
    assert torch.ops.quantized_decomposed.quantize_per_channel.default in called
    assert dequantize not in called
