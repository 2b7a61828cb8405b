"""The base class of backends that write a static-shape `.pte`.

The program takes one row of a fixed length.  It computes its layers in int8 or int16, with calibrated scales.
"""

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from nf_edge.backends.base import Backend, Session
from nf_edge.backends.coverage.coverage import Operator
from nf_edge.backends.coverage.work import Work
from nf_edge.backends.eager import eager
from nf_edge.backends.executorch.capture import capture, quantize_captured
from nf_edge.backends.executorch.layout.layout import layout_of
from nf_edge.backends.executorch.method_allocator import argument_counts, method_bytes, temporary_bytes
from nf_edge.backends.executorch.operator_libraries import require_operators
from nf_edge.backends.executorch.program_file import (
    called_by,
    constant_bytes,
    operators_in,
    operators_of,
    read_program,
)
from nf_edge.backends.file_layout import FileLayout
from nf_edge.backends.firmware import Firmware
from nf_edge.backends.input_shape import INPUTS, Inputs, InputShape
from nf_edge.backends.lowering_report import Estimate, LoweringReport
from nf_edge.backends.memory_plan import MemoryPlan
from nf_edge.backends.precisions import HEAD, Precisions
from nf_edge.backends.static_shape.form import network_weights
from nf_edge.backends.static_shape.run_text import BARE_METAL, bare_metal_fields
from nf_edge.backends.static_shape.spec import FIRMWARE_NOTE, Pools, account, static_activations
from nf_edge.core.quiet import quiet_libraries
from nf_edge.core.recipe.precision import Activations
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.model import Decoder, ModelConfig
from nf_edge.model.checkpoint import release_weights


class StaticShapeBackend(Backend):
    """The base class of backends that write a static-shape `.pte`.

    Only the program's module `body` is quantized.
    """

    model_file = "model.pte"
    runtime_title = "ExecuTorch"
    namespace: ClassVar[str] = ""
    """The namespace of the library's operators; "" if there are none.  Reports count these operators as
    delegated, although no delegate runs them.
    """
    run_instructions: ClassVar[str]
    """The devices that run the file and their requirements, for `RUN.md`; names in braces are
    placeholders.
    """

    def inputs(self, config: ModelConfig, input_shape: InputShape) -> tuple[str, ...]:
        return INPUTS

    @abstractmethod
    def quantizer(self, recipe: Recipe) -> Any:
        """ExecuTorch's quantizer for the program's module `body`."""

    def more_rows(self, recipe: Recipe, calibration_inputs: Inputs, length: int) -> Inputs:
        """Further rows to calibrate on, made from `calibration_inputs`."""
        return []

    def quantize_static(
        self,
        program: nn.Module,
        recipe: Recipe,
        precision_of: Precisions,
        input_shape: InputShape,
        calibration_inputs: Inputs,
    ) -> nn.Module:
        with quiet_libraries():
            inputs = [*calibration_inputs, *self.more_rows(recipe, calibration_inputs, input_shape.length)]
            rows = ((torch.from_numpy(ids), torch.from_numpy(mask)) for ids, mask in inputs)
            release = partial(release_weights, program)
            return quantize_captured(capture(program, input_shape), self.quantizer(recipe), rows, release)

    def network_weights(self, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return network_weights(weights)

    def layer_report(self, module: str, precision_of: Precisions) -> tuple[str, str] | None:
        if module == HEAD or module.endswith(".noise"):
            return f"int8, per channel; {activation_dtype(precision_of)} static activations", ""
        if module == "score":
            return (
                "float32",
                "its scores are float32: integers would round logits, and int8 would create ties",
            )
        return None

    def attention_report(self, recipe: Recipe) -> tuple[str, str] | None:
        return f"{dtype_of(static_activations(recipe))} products with calibrated ranges", ""

    @abstractmethod
    def firmware(self, operators: Iterable[str], length: int) -> Firmware:
        """The code, stack and inputs of a microcontroller's firmware.

        Args:
            operators: names of the operators that the program calls.
            length: tokens of a row.
        """

    @abstractmethod
    def compiled(
        self, exported: torch.export.ExportedProgram, recipe: Recipe, path: Path
    ) -> tuple[Any, Estimate | None]:
        """Compile a quantized program, and write the companions of the file at `path`.

        Returns:
            ExecuTorch's program manager, and the compiler's estimate; None if the compiler gives no estimate.
        """

    def lower(
        self, program: nn.Module, config: ModelConfig, input_shape: InputShape, recipe: Recipe, path: Path
    ) -> LoweringReport:
        with quiet_libraries():
            edge, estimate = self.compiled(capture(program, input_shape), recipe, path)
            lowered = edge.to_executorch()
        with path.open("wb") as file:
            lowered.write_to_file(file)
        operators = list(operators_in(lowered.exported_program().graph_module, self.namespace))
        coverage = self.covered(operators, recipe, input_shape)
        return LoweringReport(coverage, estimate, self.work(operators, recipe))

    def work(self, operators: Iterable[Operator], recipe: Recipe) -> Work | None:
        """The estimated instructions by operator; None if no costs were measured for the recipe's target."""
        return None

    def graph(self, program: nn.Module, input_shape: InputShape, path: Path) -> Session | Decoder:
        with quiet_libraries():
            return eager(capture(program, input_shape).module(), input_shape)

    def run_text(self, cached: bool) -> str:
        return self.run_instructions + BARE_METAL

    def run_fields(self, operators: Sequence[str]) -> Mapping[str, str]:
        return bare_metal_fields(self.operator_libraries, operators)

    def require_operators(self, path: Path) -> None:
        require_operators(path, self.operator_libraries)

    def decoder(self, path: Path, capacity: int, threads: int | None = None) -> Decoder:
        raise TypeError("this backend has no cache")

    def layout(self, path: Path, config: ModelConfig, input_shape: InputShape, recipe: Recipe) -> FileLayout:
        return layout_of(path, config)

    def operators(self, path: Path) -> dict[str, int]:
        return operators_of(path)

    def delegate_bytes(self, path: Path, program: Any) -> tuple[int, int]:
        """Bytes of the weights in a program's delegate, and bytes of the delegate's working memory."""
        return 0, 0

    def plan(self, path: Path, config: ModelConfig, input_shape: InputShape) -> MemoryPlan:
        content = path.read_bytes()
        file = read_program(path, content)
        constants, embeddings = constant_bytes(file, config)
        delegated, workspace = self.delegate_bytes(path, file.program)
        weights = constants - embeddings + delegated
        # The arenas also contain the working memory of ExecuTorch's kernels.
        method = file.program.execution_plan[0]
        pools = Pools(
            arenas=sum(method.non_const_buffer_sizes),
            method=method_bytes(method),
            temporary=max(workspace, temporary_bytes(argument_counts(method))),
        )
        firmware = self.firmware(called_by(method)[0], input_shape.length)
        program = len(content) - weights - embeddings
        return account(program, weights, embeddings, pools, firmware, (FIRMWARE_NOTE + firmware.note,))


def dtype_of(activations: Activations) -> str:
    """The dtype of activations: `int8` for `int8_static`."""
    return activations.partition("_")[0]


def activation_dtype(precision_of: Precisions) -> str:
    """The dtype of all linear layers' activations, `int8` or `int16`."""
    first = next(name for name in precision_of if name.startswith("transformer.h."))
    return dtype_of(precision_of[first].activations)
