"""The backend for ONNX Runtime on the CPU."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import torch
from torch import nn

from nf_edge.backends.base import Backend, Session
from nf_edge.backends.coverage.coverage import Coverage
from nf_edge.backends.coverage.macs import macs_of
from nf_edge.backends.executorch.capture import example_inputs
from nf_edge.backends.file_layout import FileLayout
from nf_edge.backends.input_shape import INPUTS, OUTPUT, CacheDtype, InputShape
from nf_edge.backends.lowering_report import LoweringReport
from nf_edge.backends.memory_plan import MemoryPlan
from nf_edge.backends.onnx import decoder as onnx_decoder
from nf_edge.backends.onnx.attention import MultiHeadAttentionForm
from nf_edge.backends.onnx.file import LARGE, read, save
from nf_edge.backends.onnx.file_memory import planned
from nf_edge.backends.onnx.genai import write_genai_files
from nf_edge.backends.onnx.layout import layout_of
from nf_edge.backends.onnx.run_text import run_text
from nf_edge.backends.onnx.session import OrtSession, load
from nf_edge.backends.onnx.spec import OnnxCpuSpec
from nf_edge.backends.onnx.taps import tapped_file
from nf_edge.backends.program_caches import collectable
from nf_edge.backends.runtime_tokenizer import TokenizerReading
from nf_edge.backends.taps import Lowering, Tapped
from nf_edge.core.quiet import quiet_libraries
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.model import CausalLM, Decoder, ModelConfig, NoiseFormer

# The first opset with Gelu as one operator.
OPSET = 20


class OnnxCpu(OnnxCpuSpec, Backend):
    model_file = "model.onnx"
    runtime_title = "ONNX Runtime"
    library = "ONNX Runtime"
    attention_form = "MultiHeadAttention; with a cache GroupQueryAttention, if it supports the head size"
    operator_libraries = ()
    graph_library = "ONNX Runtime, in float32"
    quantizes = "file"

    def specialise(self, model: NoiseFormer, recipe: Recipe) -> None:
        model.transformer.form = MultiHeadAttentionForm()
        for block in model.transformer.blocks:
            block.attn.fold_scale()

    def inputs(self, config: ModelConfig, input_shape: InputShape) -> tuple[str, ...]:
        if not input_shape.cached:
            return INPUTS
        return (*onnx_decoder.TOKEN_INPUTS, *onnx_decoder.past_names(config.n_layer))

    def program(self, model: NoiseFormer, input_shape: InputShape, cache: CacheDtype | None) -> nn.Module:
        return model if cache is None else onnx_decoder.DecoderProgram(cast(CausalLM, model))

    def lower(
        self, program: nn.Module, config: ModelConfig, input_shape: InputShape, recipe: Recipe, path: Path
    ) -> LoweringReport:
        outputs = [OUTPUT]
        if input_shape.cached:
            outputs += onnx_decoder.present_names(config.n_layer)
            example, shapes = onnx_decoder.example(config)
        else:
            example, shapes = _example(input_shape)
        with quiet_libraries():
            exported = torch.onnx.export(
                program,
                example,
                dynamo=True,
                opset_version=OPSET,
                input_names=list(self.inputs(config, input_shape)),
                output_names=outputs,
                dynamic_shapes=shapes,
                verbose=False,
            )
        assert exported is not None
        assert exported.exported_program is not None
        collectable(exported.exported_program)
        macs = _macs(exported, input_shape)
        # `exported.save` would write weights above 1.5 GiB to a second file, and copy all of them before.
        lowered, values = _without_values(exported)
        _strip(lowered)
        save(lowered, path, values)
        return LoweringReport(Coverage(self.library, len(lowered.graph.node), macs, input_shape.length))

    def write_companions(
        self, config: ModelConfig, input_shape: InputShape, folder: Path, examples: Sequence[str]
    ) -> TokenizerReading | None:
        if not input_shape.cached:
            return None
        return write_genai_files(config, input_shape.length, self.model_file, folder, examples)

    def warm_up(self) -> None:
        import onnxruntime  # noqa: F401

    def session(self, path: Path, threads: int | None = None) -> Session:
        return OrtSession(path, threads)

    def decoder(self, path: Path, capacity: int, threads: int | None = None) -> Decoder:
        return onnx_decoder.OrtDecoder(load(path, threads), capacity)

    def plan(self, path: Path, config: ModelConfig, input_shape: InputShape) -> MemoryPlan:
        return planned(path, config, input_shape)

    def layout(self, path: Path, config: ModelConfig, input_shape: InputShape, recipe: Recipe) -> FileLayout:
        cache = self.cache_dtype(config, input_shape, recipe)
        return layout_of(path, config, input_shape, recipe, cache)

    def graph(self, program: nn.Module, input_shape: InputShape, path: Path) -> Session | Decoder:
        return self.load(path, input_shape)

    def tapped(self, lowering: Lowering, row: tuple[np.ndarray, np.ndarray]) -> Tapped:
        return tapped_file(lowering, row)

    def run_text(self, cached: bool) -> str:
        return run_text(cached)

    def operators(self, path: Path) -> dict[str, int]:
        graph = read(path).graph
        names = (f"{node.domain or 'ai.onnx'}::{node.op_type}" for node in graph.node)
        return dict(Counter(names).most_common())


def _without_values(exported: torch.onnx.ONNXProgram) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """An exported program as a model without the values of its large tensors, and these values by name."""
    import onnx_ir

    values = {}
    for name, value in exported.model.graph.initializers.items():
        tensor = value.const_value
        if tensor is not None and tensor.nbytes >= LARGE:
            values[name] = tensor.numpy()
            value.const_value = onnx_ir.ExternalTensor(
                "", None, None, tensor.dtype, shape=onnx_ir.Shape(tensor.shape.numpy()), name=name
            )
    return exported.model_proto, values


def _strip(model: onnx.ModelProto) -> None:
    """Remove the exporter's stack traces, because they contain paths of this machine."""
    graph = model.graph
    for message in (
        model,
        graph,
        *graph.node,
        *graph.value_info,
        *graph.initializer,
        *graph.input,
        *graph.output,
    ):
        message.ClearField("metadata_props")
        message.ClearField("doc_string")


def _example(input_shape: InputShape) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    dynamic = {}
    if input_shape.any_batch:
        dynamic[0] = torch.export.Dim("batch", min=1, max=2**15)
    if input_shape.dynamic_length and input_shape.length > 1:
        dynamic[1] = torch.export.Dim("length", min=1, max=input_shape.length)
    return example_inputs(input_shape, batch=2 if input_shape.any_batch else 1), (dynamic, dynamic)


def _macs(exported: torch.onnx.ONNXProgram, input_shape: InputShape) -> int:
    """Multiply-accumulates of an exported program for one row of the largest length, without past tokens."""
    program = exported.exported_program
    assert program is not None
    lengths = {}
    for node in program.graph.nodes:
        if node.name in program.graph_signature.user_inputs:
            for axis, length in enumerate(node.meta["val"].shape):
                if isinstance(length, torch.SymInt):
                    past = node.name.startswith("past")
                    lengths[length.node.expr] = 0 if past else input_shape.length if axis else 1

    def size(length: int | torch.SymInt) -> int:
        return length if isinstance(length, int) else int(length.node.expr.subs(lengths))

    return sum(macs_of(node, size) for node in program.graph.nodes if node.op == "call_function")
