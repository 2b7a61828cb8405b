"""ONNX Runtime on the CPU."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import torch
from torch import nn

from nf_edge.backends.base import (
    INPUTS,
    OUTPUT,
    Backend,
    CacheDtype,
    InputShape,
    LoweringReport,
    MemoryPlan,
    Session,
)
from nf_edge.backends.coverage.coverage import Coverage
from nf_edge.backends.coverage.macs import macs_of
from nf_edge.backends.executorch.capture import example_inputs
from nf_edge.backends.onnx import decoder as onnx_decoder
from nf_edge.backends.onnx.attention import MultiHeadAttentionForm, takes_group_query
from nf_edge.backends.onnx.genai import write_genai_files
from nf_edge.backends.onnx.run_text import run_text
from nf_edge.backends.onnx.size import float32_bytes, require_size
from nf_edge.backends.precisions import HEAD, precisions, shares_table
from nf_edge.backends.runtime_tokenizer import TokenizerReading
from nf_edge.backends.support import GROUPS, PER_CHANNEL, Kernel, Support
from nf_edge.backends.tensor_sizes import sizes_of
from nf_edge.core.errors import BadInput
from nf_edge.core.quiet import quiet_libraries
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.model import CausalLM, Decoder, ModelConfig, NoiseFormer

# The first with Gelu as one operator.
OPSET = 20
# Bytes of the graph in the file, and of a session's own structures, fitted to models of 2 to 4 layers
# with 64 to 512 tokens; so are the factors of the arena below, which ONNX Runtime plans as it runs.
PROGRAM_BASE, PROGRAM_LAYER = 3_000, 5_000
SESSION_BASE, SESSION_LAYER = 1_600_000, 150_000
LAYERS = (
    Kernel(2, (2,), GROUPS, ("none", "int8_dynamic")),
    Kernel(4, (3, 4), GROUPS, ("none", "int8_dynamic")),
    Kernel(8, (5, 6, 7, 8), GROUPS, ("none", "int8_dynamic")),
    Kernel(8, (2, 3, 4, 5, 6, 7, 8), PER_CHANNEL, ("int8_dynamic",)),
    Kernel(8, (8,), PER_CHANNEL, ("int8_static",)),
)
# Operators that read rows of a table; those that read a tied head's, or make its matrix of them.
LOOKUPS = {"Gather", "Slice", "GatherBlockQuantized"}
PRODUCTS = {"Gemm", "MatMul", "MatMulNBits", "Transpose"}


class OnnxCpu(Backend):
    support = Support(
        backend="onnx_cpu",
        runtime="onnxruntime",
        layers=LAYERS,
        any_batch=True,
        zero_points=True,
        caches=("float32", "int8"),
        static_cache=True,
        signed_scales=True,
        row_scales=True,
    )
    model_file = "model.onnx"
    runtime_title = "ONNX Runtime"
    library = "ONNX Runtime"
    attention_form = "MultiHeadAttention; with a cache GroupQueryAttention, where it takes the head size"
    operator_libraries = ()
    process_bytes = 29_000_000
    quantizes = "file"

    def specialise(self, model: NoiseFormer, recipe: Recipe) -> None:
        model.transformer.form = MultiHeadAttentionForm()
        for block in model.transformer.blocks:
            block.attn.fold_scale()

    def cache_dtype(self, config: ModelConfig, input_shape: InputShape, recipe: Recipe) -> CacheDtype | None:
        if not input_shape.cached or recipe.quantize is None or recipe.quantize.kv_cache == "float32":
            return super().cache_dtype(config, input_shape, recipe)
        if takes_group_query(config.head_size):
            return CacheDtype("int8", static=True)
        return CacheDtype(
            "float32",
            "ONNX Runtime has an int8 cache for head sizes that are multiples of 8 only, and "
            f"{config.head_size} is none",
        )

    def require_size(self, config: ModelConfig, recipe: Recipe) -> None:
        # A head that is quantized is a matrix of its own before it becomes the table again.
        head = config.is_language_model and precisions(recipe, config)[HEAD].stored is not None
        graph = PROGRAM_BASE + PROGRAM_LAYER * config.n_layer
        require_size(float32_bytes(config, head_twice=head), graph)

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
        # Not its `save`, which puts weights of over 1.5 GiB into a file beside this one.
        lowered = exported.model_proto
        _strip(lowered)
        onnx.save(lowered, path)
        return LoweringReport(
            Coverage(self.library, len(lowered.graph.node), _macs(exported, input_shape), input_shape.length)
        )

    def write_companions(
        self, config: ModelConfig, input_shape: InputShape, folder: Path, examples: Sequence[str]
    ) -> TokenizerReading | None:
        if not input_shape.cached:
            return None
        return write_genai_files(config, input_shape.length, self.model_file, folder, examples)

    def warm_up(self) -> None:
        import onnxruntime  # noqa: F401

    def session(self, path: Path, threads: int | None = None) -> Session:
        return _OrtSession(path, threads)

    def decoder(self, path: Path, capacity: int, threads: int | None = None) -> Decoder:
        return onnx_decoder.OrtDecoder(_load(path, threads), capacity)

    def plan(self, path: Path, config: ModelConfig, input_shape: InputShape) -> MemoryPlan:
        try:
            model = onnx.load(path)
        except Exception as error:
            raise BadInput(f"is not an ONNX model: {error}", where=path) from error
        looked_up = _looked_up(model)
        tables = {
            tensor.name: _bytes(tensor)
            for tensor in model.graph.initializer
            if tensor.name in looked_up and tensor.dims[0] in (config.vocab_size, config.n_positions)
        }
        embeddings = sum(tables.values())
        weights = sum(_bytes(tensor) for tensor in model.graph.initializer) - embeddings
        # A table that is multiplied with too is the tied head; loading packs a copy for that.
        multiplied = {name for node in model.graph.node if node.op_type in PRODUCTS for name in node.input}
        copied = sum(size for name, size in tables.items() if name in multiplied)
        return MemoryPlan(
            program=path.stat().st_size - weights - embeddings,
            weights=weights,
            embeddings=embeddings,
            mapped=0,
            loaded=weights + embeddings + copied + SESSION_BASE + SESSION_LAYER * config.n_layer,
            cache=_cache_bytes(model, input_shape),
            arenas=None,
            workspace=None,
            notes=tuple(_tied_head(config, in_file=not copied)),
        )

    def run_text(self, cached: bool) -> str:
        return run_text(cached)

    def operators(self, path: Path) -> dict[str, int]:
        graph = onnx.load(path, load_external_data=False).graph
        names = (f"{node.domain or 'ai.onnx'}::{node.op_type}" for node in graph.node)
        return dict(Counter(names).most_common())

    def predict(self, config: ModelConfig, input_shape: InputShape, recipe: Recipe) -> MemoryPlan:
        sizes, wanted = sizes_of(config, input_shape.length), precisions(recipe, config)
        # A channel has a float32 scale and an int8 zero point, a group a float32 scale.
        weights = sizes.linear_bytes(wanted, channel_bytes=5, group_bytes=4)
        constants = weights + 4 * (sizes.biases + sizes.others)
        tables = sizes.table_bytes(wanted)
        arenas = 4 * (sizes.scores // 4 + 3 * sizes.inner // 2 + 40 * sizes.hidden)
        if config.noise.kind == "relative":
            # A bias keeps the operator from its blocked form, so whole scores are there with it.
            arenas += 4 * 4 * sizes.scores
        kept = self.cache_dtype(config, input_shape, recipe)
        cache = sizes.cache * (1 if kept and kept.dtype == "int8" else 4) if input_shape.cached else 0
        # While a step runs, the past is there beside the present.
        arenas += cache
        # A tied head is the table itself in the file, where they have one dtype; loading packs a copy.
        shared = shares_table(wanted, config)
        return MemoryPlan(
            program=PROGRAM_BASE + PROGRAM_LAYER * config.n_layer,
            weights=constants - (sizes.token_bytes(wanted) if shared else 0),
            embeddings=tables,
            mapped=0,
            loaded=constants + tables + SESSION_BASE + SESSION_LAYER * config.n_layer,
            cache=cache,
            arenas=arenas,
            workspace=0,
            notes=tuple(_tied_head(config, in_file=not shared)),
        )


def _tied_head(config: ModelConfig, in_file: bool) -> list[str]:
    if not (config.is_language_model and config.tie_word_embeddings):
        return []
    size = config.vocab_size * config.n_embd
    if in_file:
        return [
            f"the tied embedding ({size:,} values) is stored twice: as table and, in another dtype, as head"
        ]
    return [
        f"the tied embedding ({size:,} values) is stored once, but ONNX Runtime packs a copy for the head "
        "when it loads"
    ]


def _looked_up(model: onnx.ModelProto) -> set[str]:
    """What rows are read of: tables, and the scales and zero points of those that are quantized by groups,
    which are made blocks of before."""
    arrays = {tensor.name for tensor in model.graph.initializer}
    made_of = {node.output[0]: node.input[0] for node in model.graph.node if node.input}
    found = set()
    for node in model.graph.node:
        if node.op_type in LOOKUPS:
            found.add(node.input[0])
        if node.op_type == "GatherBlockQuantized":
            for name in node.input[2:]:
                while name not in arrays:
                    name = made_of[name]
                found.add(name)
    return found


def _cache_bytes(model: onnx.ModelProto, input_shape: InputShape) -> int:
    """Keys and values of all positions, by the dtypes and the shapes [1, H, past, d] of the inputs."""
    past = [
        entry.type.tensor_type for entry in model.graph.input if entry.name.startswith("past_key_values.")
    ]
    return input_shape.length * sum(
        tensor.shape.dim[1].dim_value * tensor.shape.dim[3].dim_value * _item(tensor.elem_type)
        for tensor in past
    )


def _strip(model: onnx.ModelProto) -> None:
    """Drop what the exporter notes of its own: stack traces, and with them paths of this machine."""
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


def _bytes(tensor: onnx.TensorProto) -> int:
    return int(np.prod(tensor.dims, dtype=np.int64)) * _item(tensor.data_type)


def _item(data_type: int) -> int:
    """Bytes of a value of an ONNX dtype."""
    return onnx.helper.tensor_dtype_to_np_dtype(data_type).itemsize


def _example(input_shape: InputShape) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    dynamic = {}
    if input_shape.any_batch:
        dynamic[0] = torch.export.Dim("batch", min=1, max=2**15)
    if input_shape.dynamic_length and input_shape.length > 1:
        dynamic[1] = torch.export.Dim("length", min=1, max=input_shape.length)
    return example_inputs(input_shape, batch=2 if input_shape.any_batch else 1), (dynamic, dynamic)


def _macs(exported: torch.onnx.ONNXProgram, input_shape: InputShape) -> int:
    """Multiply-accumulates of what was exported, on one row of the largest length, and without a past."""
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


def _load(path: Path, threads: int | None = None) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise BadInput(f"ONNX Runtime does not load it: {error}", where=path) from error


class _OrtSession:
    def __init__(self, path: Path, threads: int | None) -> None:
        self._session = _load(path, threads)

    def run(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        feed = dict(zip(INPUTS, (input_ids, attention_mask), strict=True))
        logits: np.ndarray = self._session.run([OUTPUT], feed)[0]
        return logits
