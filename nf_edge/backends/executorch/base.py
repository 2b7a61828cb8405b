"""The base class of ExecuTorch backends whose delegate accepts the network's PyTorch operators."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import nn

from nf_edge.backends.base import Backend, Session
from nf_edge.backends.coverage.coverage import Coverage
from nf_edge.backends.eager import eager
from nf_edge.backends.executorch import decoder as executorch_decoder
from nf_edge.backends.executorch.capture import capture
from nf_edge.backends.executorch.constant_methods import constant_methods
from nf_edge.backends.executorch.event_tracer import TracedFile
from nf_edge.backends.executorch.layout.layout import layout_of
from nf_edge.backends.executorch.memory_planning import memory_planning_pass
from nf_edge.backends.executorch.operator_libraries import require_operators
from nf_edge.backends.executorch.program_file import operators_in, operators_of
from nf_edge.backends.executorch.run_text import run_text
from nf_edge.backends.executorch.static_quantizer import quantize_linear
from nf_edge.backends.file_layout import FileLayout
from nf_edge.backends.input_shape import INPUTS, CacheDtype, Inputs, InputShape
from nf_edge.backends.lowering_report import LoweringReport
from nf_edge.backends.precisions import Precisions
from nf_edge.backends.runtime_tokenizer import EXECUTORCH, TokenizerReading
from nf_edge.backends.taps import Lowering, Tapped, called_with, tapped_program
from nf_edge.core.errors import BadInput
from nf_edge.core.process_memory import release_pages
from nf_edge.core.quiet import quiet_libraries, quiet_stderr
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.model import CausalLM, Decoder, ModelConfig, NoiseFormer
from nf_edge.model.checkpoint_outline import TOKENIZER


class ExecutorchBackend(Backend):
    """A backend that writes a `.pte`, with any cache inside it, and runs it with ExecuTorch."""

    model_file = "model.pte"
    runtime_title = "ExecuTorch"
    traces = True
    verifies_graph: ClassVar[bool] = True
    """Whether ExecuTorch checks that the graph has only its core operators; the check takes a tenth of the
    lowering's time.
    """
    namespace: ClassVar[str] = ""
    """The namespace of the backend's operators; "" if there are none.  Reports count these operators as
    delegated, although no delegate runs them.
    """

    @abstractmethod
    def partitioner(self, recipe: Recipe) -> Any:
        """ExecuTorch's partitioner, which selects the operators for the delegate."""

    def inputs(self, config: ModelConfig, input_shape: InputShape) -> tuple[str, ...]:
        return executorch_decoder.INPUTS if input_shape.cached else INPUTS

    def program(self, model: NoiseFormer, input_shape: InputShape, cache: CacheDtype | None) -> nn.Module:
        if cache is None:
            return model
        in_place = executorch_decoder.InPlaceCache(model.config, input_shape.length)
        return executorch_decoder.DecoderProgram(cast(CausalLM, model), in_place)

    def quantize_static(
        self,
        program: nn.Module,
        recipe: Recipe,
        precision_of: Precisions,
        input_shape: InputShape,
        calibration_inputs: Inputs,
    ) -> nn.Module:
        return quantize_linear(program, precision_of, input_shape, calibration_inputs)

    def lower(
        self, program: nn.Module, config: ModelConfig, input_shape: InputShape, recipe: Recipe, path: Path
    ) -> LoweringReport:
        with quiet_libraries():
            return LoweringReport(self._lower(program, config, input_shape, recipe, path))

    def write_companions(
        self, config: ModelConfig, input_shape: InputShape, folder: Path, examples: Sequence[str]
    ) -> TokenizerReading | None:
        return EXECUTORCH.read(folder, examples) if (folder / TOKENIZER).is_file() else None

    def _lower(
        self, program: nn.Module, config: ModelConfig, input_shape: InputShape, recipe: Recipe, path: Path
    ) -> Coverage:
        from executorch.exir import EdgeCompileConfig, ExecutorchBackendConfig, to_edge_transform_and_lower

        exported = capture(program, input_shape)
        constants = constant_methods(config, input_shape.length) if input_shape.cached else None
        edge = to_edge_transform_and_lower(
            exported,
            partitioner=[self.partitioner(recipe)],
            constant_methods=constants,
            compile_config=EdgeCompileConfig(_check_ir_validity=self.verifies_graph),
        )
        self.settle(edge)
        # Without this pass every call would copy the complete cache.
        lowered = edge.to_executorch(
            ExecutorchBackendConfig(
                run_reinplace_pass=input_shape.cached, memory_planning_pass=memory_planning_pass()
            )
        )
        with path.open("wb") as file:
            lowered.write_to_file(file)
        return self.covered(
            operators_in(lowered.exported_program().graph_module, self.namespace), recipe, input_shape
        )

    def graph(self, program: nn.Module, input_shape: InputShape, path: Path) -> Session | Decoder:
        with quiet_libraries():
            return eager(capture(program, input_shape).module(), input_shape)

    def tapped(self, lowering: Lowering, row: tuple[np.ndarray, np.ndarray]) -> Tapped:
        tapped, given = tapped_program(lowering), (torch.from_numpy(row[0]), torch.from_numpy(row[1]))
        self._runtime()
        inputs = called_with(given, lowering.input_shape.cached)
        file = TracedFile(lowering.file, lowering.again, inputs, tapped.runner.free(given))
        return replace(
            tapped, file=file, opened=lambda path: lambda row, _: file.of(path, tapped.called_with(row))
        )

    def settle(self, edge: Any) -> None:
        """Remove data from a program's delegates that would differ between two exports of the same model."""
        return

    def require_operators(self, path: Path) -> None:
        require_operators(path, self.operator_libraries)

    def warm_up(self) -> None:
        self._runtime()

    def session(self, path: Path, threads: int | None = None) -> Session:
        return _ExecutorchSession(self._load_method(path, threads))

    def decoder(self, path: Path, capacity: int, threads: int | None = None) -> Decoder:
        return executorch_decoder.ExecutorchDecoder(self._load_method(path, threads), capacity)

    def run_text(self, cached: bool) -> str:
        return run_text(cached)

    def layout(self, path: Path, config: ModelConfig, input_shape: InputShape, recipe: Recipe) -> FileLayout:
        return layout_of(path, config)

    def operators(self, path: Path) -> dict[str, int]:
        return operators_of(path)

    def _runtime(self) -> Any:
        """ExecuTorch's runtime in this process, with the kernels of all operators that a program may call."""
        with quiet_libraries(), quiet_stderr():
            import executorch.kernels.quantized  # noqa: F401  (registers quantized_decomposed::*)
            from executorch.runtime import Runtime

            return Runtime.get()

    def _load_method(self, path: Path, threads: int | None) -> Any:
        runtime = self._runtime()
        if threads is not None:
            from executorch.extension.pybindings.portable_lib import _unsafe_reset_threadpool

            _unsafe_reset_threadpool(threads)  # safe while no run uses the pool
        with quiet_stderr():
            try:
                program = runtime.load_program(path)
                # The runtime locks all constants into memory, though a run reads only some rows of a table.
                release_pages(path)
                return program.load_method("forward")
            except RuntimeError as error:
                fix = "export it again with the installed executorch"
                raise BadInput(f"ExecuTorch cannot load this file ({error})", where=path, fix=fix) from error


class _ExecutorchSession:
    def __init__(self, method: Any) -> None:
        self._method = method

    def run(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        # The runtime ignores strides: a tensor that is not contiguous gives wrong numbers without an error.
        inputs = [
            torch.from_numpy(np.ascontiguousarray(x, dtype=np.int64)) for x in (input_ids, attention_mask)
        ]
        # The output lives in the method's arena, which the next run overwrites.
        return self._method.execute(inputs)[0].numpy().copy()
