"""ExecuTorch with CMSIS-NN: the Cortex-M cores of microcontrollers."""

from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from nf_edge.backends.base import INPUTS, Backend, Bounds, CacheDtype, Inputs, LoweringReport, Plan, Session
from nf_edge.backends.capture import capture, quantize_captured
from nf_edge.backends.cortex_m.form import cortex_m_program
from nf_edge.backends.cortex_m.lowering import cmsis_quantizer, coverage, lower_program
from nf_edge.backends.executorch_file import constant_bytes, operators_of, read_program
from nf_edge.backends.executorch_interpreter import Interpreter
from nf_edge.backends.fixed_form import network_weights, query_blocks
from nf_edge.backends.sizes import sizes_of
from nf_edge.errors import BadInput
from nf_edge.model import Decoder, ModelConfig, NoiseFormer
from nf_edge.precision import POSITIONS, TOKENS, Precision
from nf_edge.quiet import quiet_libraries
from nf_edge.recipe import Recipe
from nf_edge.rules import HEAD, Precisions, precisions


class CortexM(Backend):
    name = "cortex_m"
    runtime = "executorch"
    model_file = "model.pte"
    operator_libraries: ClassVar[tuple[str, ...]] = (
        "cortex_m_ops_lib",
        "portable_ops_lib",
        "quantized_ops_lib",
    )
    process_bytes = None
    targets: ClassVar[tuple[str, ...]] = ("cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55", "cortex-m85")
    mixes = False
    simulated = "ExecuTorch's Python models of its kernels (simulated)"

    def specialise(self, model: NoiseFormer, recipe: Recipe) -> None:
        for block in model.transformer.blocks:
            block.attn.fold_scale()

    def problems(self, recipe: Recipe) -> list[str]:
        return []

    def inputs(self, config: ModelConfig, bounds: Bounds) -> tuple[str, ...]:
        return INPUTS

    def program(self, model: NoiseFormer, bounds: Bounds, cache: CacheDtype | None) -> nn.Module:
        return cortex_m_program(model, bounds.length).eval()

    def quantize_static(
        self, program: nn.Module, recipe: Recipe, wanted: Precisions, bounds: Bounds, seen: Inputs
    ) -> nn.Module:
        """All of the body that CMSIS-NN has kernels for; what is before and after it stays as it is."""
        with quiet_libraries():
            quantizer = cmsis_quantizer(module="body")
            rows = ((torch.from_numpy(ids), torch.from_numpy(mask)) for ids, mask in seen)
            return quantize_captured(capture(program, bounds), quantizer, rows)

    def network_weights(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        return network_weights(weights)

    def lower(
        self, program: nn.Module, config: ModelConfig, bounds: Bounds, recipe: Recipe, path: Path
    ) -> LoweringReport:
        with quiet_libraries():
            edge = lower_program(capture(program, bounds), _target(recipe))
            report = LoweringReport(coverage(edge))
            with path.open("wb") as file:
                edge.to_executorch().write_to_file(file)
        return report

    def warm_up(self) -> None:
        # The operators by themselves would be imported in a circle.
        with quiet_libraries():
            import executorch.backends.cortex_m.passes  # noqa: F401  (registers cortex_m::*)

    def session(self, path: Path, threads: int | None = None) -> Session:
        self.warm_up()
        return Interpreter(path)

    def decoder(self, path: Path, capacity: int, threads: int | None = None) -> Decoder:
        raise TypeError("no file of this backend has a cache")

    def plan(self, path: Path, config: ModelConfig, bounds: Bounds) -> Plan:
        content = path.read_bytes()
        file = read_program(path, content)
        method = file.program.execution_plan[0]
        constants, embeddings = constant_bytes(file, config)
        weights = constants - embeddings
        return Plan(
            program=len(content) - embeddings - weights,
            weights=weights,
            embeddings=embeddings,
            mapped=len(content),
            loaded=0,
            cache=0,
            arenas=sum(method.non_const_buffer_sizes),
            workspace=0,
            notes=("what ExecuTorch takes for the graph itself, some kB, is not counted",),
        )

    def operators(self, path: Path) -> dict[str, int]:
        return operators_of(path)

    def predict(self, config: ModelConfig, bounds: Bounds, recipe: Recipe) -> Plan:
        raise NotImplementedError


def _target(recipe: Recipe) -> str:
    # A recipe without one was refused before.
    assert recipe.target is not None
    return recipe.target
