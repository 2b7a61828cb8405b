"""The base of compile-only backends: this machine cannot run their files.

A stand-in computes the predictions instead: ExecuTorch's kernels run the lowered graph with its rounded
weights in float32.  The stand-in shows errors from rewriting and rounding, and overflow of float16.  It does
not show other effects of the device's arithmetic.
"""

from abc import abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nf_edge.backends.base import Session
from nf_edge.backends.companion import companion
from nf_edge.backends.executorch.base import ExecutorchBackend
from nf_edge.backends.executorch.capture import capture
from nf_edge.backends.executorch.compile_only_spec import CompileOnlySpec
from nf_edge.backends.executorch.interpreter import Interpreter
from nf_edge.backends.executorch.program_file import constant_bytes, read_program
from nf_edge.backends.executorch.run_text import cpp_text
from nf_edge.backends.input_shape import InputShape
from nf_edge.backends.lowering_report import LoweringReport
from nf_edge.backends.memory_plan import MemoryPlan
from nf_edge.backends.taps import Lowering, Tapped, tapped_program
from nf_edge.core.quiet import quiet_libraries
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.model import Decoder, ModelConfig

STAND_IN = "stand-in.pte"
LARGEST_HALF = torch.finfo(torch.float16).max


ELSEWHERE = (
    "No software on the machine that exported `{file}` can run it; it needs the target device.\n"
    "`nf-edge check` uses {simulated}. A device only needs `{file}`.\n"
)


class CompileOnlyBackend(CompileOnlySpec, ExecutorchBackend):
    """The base class of backends that compile for a device with float16 arithmetic.

    Its files have no cache, so a language model returns the logits of all tokens.
    """

    companions = (STAND_IN,)
    floats = "float16"

    def lower(
        self, program: nn.Module, config: ModelConfig, input_shape: InputShape, recipe: Recipe, path: Path
    ) -> LoweringReport:
        report = super().lower(program, config, input_shape, recipe, path)
        with quiet_libraries():
            from executorch.exir import to_edge_transform_and_lower
            from executorch.exir.passes.constant_prop_pass import constant_prop_pass

            # Dequantize weights before lowering: ExecuTorch has no kernel for weights with groups.
            captured = constant_prop_pass(capture(program, input_shape))
            stand_in = to_edge_transform_and_lower(captured).to_executorch()
            with path.with_name(STAND_IN).open("wb") as file:
                stand_in.write_to_file(file)
        return report

    def session(self, path: Path, threads: int | None = None) -> Session:
        purpose = f"this machine runs it instead of {path.name}, which needs the target device"
        stand_in = companion(path, STAND_IN, purpose)
        return _InHalf(super().session(stand_in, threads), stand_in)

    def tapped(self, lowering: Lowering, row: tuple[np.ndarray, np.ndarray]) -> Tapped:
        return tapped_program(lowering)  # this machine cannot run the file

    def run_text(self, cached: bool) -> str:
        return ELSEWHERE + cpp_text(cached)

    @abstractmethod
    def weight_bytes(self, file: Any) -> int:
        """Bytes of the weights in the delegates of a parsed `.pte` file."""

    def plan(self, path: Path, config: ModelConfig, input_shape: InputShape) -> MemoryPlan:
        content = path.read_bytes()
        file = read_program(path, content)
        outside, _ = constant_bytes(file, config)
        weights = outside + self.weight_bytes(file)
        arenas = sum(file.program.execution_plan[0].non_const_buffer_sizes)
        return self._account(len(content) - weights, weights, arenas, None)

    def decoder(self, path: Path, capacity: int, threads: int | None = None) -> Decoder:
        raise TypeError("this backend has no cache")


class _InHalf:
    """A session that computes in float32 for a device with float16.

    Its logits are NaN if an intermediate value would overflow float16.
    """

    def __init__(self, session: Session, path: Path) -> None:
        self._session, self._fits = session, True
        self._interpreter = Interpreter(path, watch=self._watch)

    def run(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        logits = self._session.run(input_ids, attention_mask)
        self._fits = True
        self._interpreter.run(input_ids, attention_mask)
        return logits if self._fits else np.full_like(logits, np.nan)

    def _watch(self, values: Tensor) -> None:
        if values.is_floating_point():  # the other values are token ids and masks
            self._fits &= bool((values.abs() <= LARGEST_HALF).all())  # also False for NaN


def reference_executor_for(library: str) -> str:
    """For reports: the program that computes predictions here in place of `library`, and its arithmetic.

    Args:
        library: the name of the device's library, such as "Core ML".
    """
    return (
        f"a stand-in for {library}: the same graph and rounded weights in float32 on this CPU, and no answer "
        "if float16 would overflow"
    )
