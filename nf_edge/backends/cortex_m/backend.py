"""ExecuTorch with CMSIS-NN: the Cortex-M cores of microcontrollers.

CMSIS-NN kernels compute all layers in int8, except the norms.  Embeddings and the final scores are float32.
There is no delegate: the program calls ExecuTorch's Cortex-M operators.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from nf_edge.backends.base import Session
from nf_edge.backends.cortex_m.costs import COSTS
from nf_edge.backends.cortex_m.form import cortex_m_program
from nf_edge.backends.cortex_m.lowering import cmsis_quantizer, lower_program
from nf_edge.backends.cortex_m.softmax import softmax_int8
from nf_edge.backends.cortex_m.spec import ROWS, CortexMSpec
from nf_edge.backends.coverage.coverage import Operator
from nf_edge.backends.coverage.work import Work
from nf_edge.backends.executorch.interpreter import Interpreter
from nf_edge.backends.input_shape import CacheDtype, InputShape
from nf_edge.backends.lowering_report import Estimate
from nf_edge.backends.static_shape.backend import StaticShapeBackend
from nf_edge.core.quiet import quiet_libraries
from nf_edge.core.recipe.recipe import Recipe, target_of
from nf_edge.model import NoiseFormer
from nf_edge.model.attention_forms import TWO_PRODUCTS

MOVES = "it only moves int8 values, and CMSIS-NN has no kernel for that; it costs little"
REASONS = {
    "native_layer_norm": "CMSIS-NN has no layer norm, so the core's FPU computes it in float32",
    "embedding": "CMSIS-NN has no table lookup; the lookup only reads the rows of the input's tokens",
    "embedding_byte": "CMSIS-NN has no table lookup; the lookup only reads the rows of the input's tokens",
    "slice_copy": MOVES,
    "cat": MOVES,
}


class CortexM(CortexMSpec, StaticShapeBackend):
    namespace = "cortex_m"
    library = "ExecuTorch's Cortex-M kernels (CMSIS-NN)"
    attention_form = f"{TWO_PRODUCTS}; causal queries in blocks of {ROWS}, without the keys after the block"
    leaves = REASONS
    leaves_others = "outside the layers: float32 operators add embeddings, pool tokens and compute the scores"
    operator_libraries: ClassVar[tuple[str, ...]] = (
        "cortex_m_ops_lib",
        "portable_ops_lib",
        "quantized_ops_lib",
    )
    run_instructions = (
        "The program calls CMSIS-NN kernels for `{target}`. It needs an ExecuTorch built for the core "
        "with its\nCortex-M operators. On this machine `nf-edge check` runs it simulated.\n"
    )
    reference_executor = "Python models of the kernels' integer arithmetic (simulated)"

    def specialise(self, model: NoiseFormer, recipe: Recipe) -> None:
        for block in model.transformer.blocks:
            block.attn.fold_scale()

    def program(self, model: NoiseFormer, input_shape: InputShape, cache: CacheDtype | None) -> nn.Module:
        return cortex_m_program(model, input_shape.length).eval()

    def quantizer(self, recipe: Recipe) -> Any:
        return cmsis_quantizer(module="body")

    def compiled(
        self, exported: torch.export.ExportedProgram, recipe: Recipe, path: Path
    ) -> tuple[Any, Estimate | None]:
        return lower_program(exported, target_of(recipe)), None

    def work(self, operators: Iterable[Operator], recipe: Recipe) -> Work:
        return COSTS[target_of(recipe)].work(operators)

    def warm_up(self) -> None:
        # Importing the operators alone would cause a circular import.
        with quiet_libraries():
            import executorch.backends.cortex_m.passes  # noqa: F401  (registers cortex_m::*)

    def session(self, path: Path, threads: int | None = None) -> Session:
        self.warm_up()
        return Interpreter(path, kernels={"cortex_m::softmax": softmax_int8})
