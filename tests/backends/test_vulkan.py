"""Vulkan: compiled here in float16, with weights of int8 or int4, and answered for by a stand-in."""

import numpy as np
import pytest
import torch

from nf_edge.backends import get_backend
from nf_edge.backends.executorch.program_file import read_program
from nf_edge.core.recipe.recipe import load_recipe
from nf_edge.model.attention_forms import HIDDEN_IN_HALF
from nf_edge.pipeline.export import dry_run
from nf_edge.pipeline.lowering import Job, rounded

# The operator that has a layer's codes and scales among its arguments, and which of them those are.
OPERATORS = {"vulkan-int8": "aten._weight_int8pack_mm.default", "vulkan-int4": "et_vk.linear_q4gsw.default"}
LOOKUP = "et_vk.embedding_q4gsw.default"


class Delegate:
    """What the one delegate of an artifact computes, and with which constants."""

    def __init__(self, artifact):
        from executorch.backends.vulkan.serialization.vulkan_graph_serialize import (
            extract_vk_flatbuffer,
            flatbuffer_to_vk_graph,
        )

        self._file = read_program(artifact.model_file, artifact.model_file.read_bytes())
        (delegate,) = self._file.program.backend_delegate_data
        self._graph = flatbuffer_to_vk_graph(extract_vk_flatbuffer(bytes(delegate.data)))

    def weights(self, operator):
        """Codes and scales of each call of an operator, as its shader reads them."""
        for call in self._graph.chain:
            if call.name == operator:
                # A lookup has them first, a product after its input.
                first = 0 if operator == LOOKUP else 1
                yield [self._constant(value) for value in call.args[first : first + 2]]

    def _constant(self, value):
        tensor = self._graph.values[value].value
        key = self._graph.constants[tensor.constant_id].named_key
        content = self._file.named_data.buffers[self._file.named_data.pte_data[key].buffer_index]
        dtype = {1: np.uint8, 2: np.int8, 4: np.float16}[int(tensor.datatype)]
        return torch.from_numpy(np.frombuffer(content, dtype).copy()).view(tensor.dims)


# Each is lowered once for all tests.
MADE = [("wide-cls", "vulkan-fp16"), ("wide-cls", "vulkan-int8"), ("wide-lm", "vulkan-int4")]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "recipe"), MADE)
def test_the_complete_program_is_one_delegate(name, recipe, exported):
    artifact = exported(name, recipe)
    assert artifact.manifest.coverage["left"] == []
    assert get_backend("vulkan").operators(artifact.model_file) == {"delegate VulkanBackend": 1}


@pytest.mark.slow
def test_its_weights_are_float16_and_its_mask_is_finite_in_it(exported, checkpoint):
    artifact, model = exported("wide-cls", "vulkan-fp16"), checkpoint("wide-cls")
    program = read_program(artifact.model_file, artifact.model_file.read_bytes())
    stored = sum(map(len, program.named_data.buffers))
    # What is equal is stored once.
    assert stored == pytest.approx(2 * model.parameters, rel=0.02)
    assert 2 * abs(HIDDEN_IN_HALF) < np.finfo(np.float16).max


@pytest.mark.slow
@pytest.mark.parametrize(("name", "recipe"), MADE[1:])
def test_the_gpu_multiplies_the_very_codes_that_the_stand_in_is_asked_with(
    name, recipe, exported, checkpoint
):
    """Of every layer that is quantized, and of the token table."""
    delegate = Delegate(exported(name, recipe))
    stored = [dequantized(*parts) for parts in delegate.weights(OPERATORS[recipe])]
    stored += [dequantized(codes, scales.T) for codes, scales in delegate.weights(LOOKUP)]
    weights = rounded(Job.of(checkpoint(name), load_recipe(recipe), None)).weights
    assert len(stored) == len(weights)
    for module, weight in weights.items():
        assert any(torch.equal(weight, other) for other in stored), module


def dequantized(codes, scales):
    """Codes [N, K] with scales [N], or two a byte, [N, K / 2], with scales [groups, N]."""
    if codes.dtype == torch.int8:
        return codes.float() * scales[:, None].float()
    pairs = torch.stack([codes & 15, codes >> 4], dim=2).flatten(1).float() - 8
    return (pairs.view(*scales.T.shape, -1) * scales.T[:, :, None].float()).flatten(1)


@pytest.mark.slow
def test_a_tied_head_and_its_table_of_int4_are_stored_once(exported, checkpoint):
    """But for their scales."""
    config = checkpoint("wide-lm").config
    program = read_program(path := exported("wide-lm", "vulkan-int4").model_file, path.read_bytes())
    packed = config.vocab_size * config.n_embd // 2
    assert sum(len(buffer) == packed for buffer in program.named_data.buffers) == 1


@pytest.mark.slow
def test_what_is_quantized_tells_its_error(exported):
    layer_reports = {
        layer_report["module"]: layer_report
        for layer_report in exported("wide-lm", "vulkan-int4").manifest.quantization
    }
    layer, table = layer_reports["transformer.h.0.mlp.c_fc"], layer_reports["transformer.wte"]
    assert layer["dtype"] == "int4, groups of 32; float16 activations"
    assert table["dtype"] == "int4, groups of 32"
    for layer_report in (layer, table):
        assert 15 < layer_report["weights_snr"]["value"] < 30


def test_what_the_gpu_has_no_kernel_for_stays_float16_and_says_why(checkpoint):
    layer_reports = dry_run(checkpoint("wide-cls"), load_recipe("vulkan-int4")).layer_reports
    told = {layer_report.module: (layer_report.dtype, layer_report.reason) for layer_report in layer_reports}
    assert told["score"] == ("float16", "kernels need multiples of 4 channels, and this layer is 3 by 128")
    assert told["transformer.wpe"] == ("float16", "no kernel looks up int8 rows with one scale per row")
