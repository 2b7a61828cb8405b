"""ExecuTorch with Vela: the Ethos-U NPUs of microcontrollers and small boards.

One NPU delegate computes all layers, with int8 weights and int8 or int16 activations.  The host looks up
embeddings, and computes a classifier's pooling and scores.
"""

from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from nf_edge.backends.base import Session
from nf_edge.backends.ethos_u.form import fold, npu_program
from nf_edge.backends.ethos_u.quantizer import npu_quantizer
from nf_edge.backends.ethos_u.simulate import GRAPH, WHAT, SimulatedSession
from nf_edge.backends.ethos_u.spec import ROWS, EthosUSpec
from nf_edge.backends.ethos_u.target import has_matrix_unit
from nf_edge.backends.ethos_u.vela import blocks, compile_program
from nf_edge.backends.input_shape import CacheDtype, Inputs, InputShape
from nf_edge.backends.lowering_report import Estimate
from nf_edge.backends.precisions import Precisions
from nf_edge.backends.static_shape.backend import (
    StaticShapeBackend,
    activation_dtype,
    static_activations,
)
from nf_edge.backends.static_shape.extreme_rows import extreme_rows
from nf_edge.core.errors import BadInput
from nf_edge.core.recipe.precision import POSITIONS
from nf_edge.core.recipe.recipe import Recipe, target_of
from nf_edge.model import NoiseFormer

BORDER = "it converts values between the host's float32 and the NPU's integers"
LOOKUP = "a table lookup: the host only reads the rows it needs, but the NPU would read all of the table"
REASONS = {
    "embedding": LOOKUP,
    "embedding_byte": LOOKUP,
    "quantize_per_tensor": BORDER,
    "dequantize_per_tensor": BORDER,
}
NARROWED = "Ethos-U55 and -U65 multiply two activations only in int8; the rest of attention is int16"


class EthosU(EthosUSpec, StaticShapeBackend):
    companions = (GRAPH,)
    library = "the NPU ({target})"
    attention_form = (
        f"two products, scores transposed; causal queries in blocks of {ROWS}, without the keys after "
        "the block"
    )
    covers = frozenset({"native_layer_norm"})
    leaves = REASONS
    leaves_others = (
        "on the host: it adds embeddings, pools and computes scores in float32, because integers would round"
    )
    operator_libraries: ClassVar[tuple[str, ...]] = (
        "executorch_delegate_ethos_u",
        "portable_ops_lib",
        "quantized_ops_lib",
    )
    reference_executor = WHAT
    run_instructions = (
        "The program is compiled for `{target}` and needs a device that has this NPU, and a C++ "
        "application with the\ndelegate that drives it. On a machine without the NPU, `nf-edge check` runs "
        "it simulated, with the graph in\n`npu.tosa`. A device only needs `{file}`.\n"
    )

    def specialise(self, model: NoiseFormer, recipe: Recipe) -> None:
        fold(model)

    def program(self, model: NoiseFormer, input_shape: InputShape, cache: CacheDtype | None) -> nn.Module:
        return npu_program(model, input_shape.length).eval()

    def quantizer(self, recipe: Recipe) -> Any:
        return npu_quantizer(target_of(recipe), static_activations(recipe), module="body")

    def more_rows(self, recipe: Recipe, calibration_inputs: Inputs, length: int) -> Inputs:
        # With 256 levels, the extreme rows would leave too few levels for all other values.
        if static_activations(recipe) == "int8_static":
            return []
        return extreme_rows(calibration_inputs, length)

    def layer_report(self, module: str, precision_of: Precisions) -> tuple[str, str] | None:
        dtype = activation_dtype(precision_of)
        if module.endswith((".ln_1", ".ln_2")):
            return "folded", f"its scale and bias are folded into the next layer; the rest is {dtype}"
        if module == "transformer.ln_f":
            return (
                "float32",
                f"its scale and bias are on the host, or folded into the head; the rest is {dtype}",
            )
        if module == POSITIONS and precision_of[POSITIONS].bits is not None:
            return "float32", "its rows are rounded to int8 first; the host adds them to the token embeddings"
        return super().layer_report(module, precision_of)

    def attention_report(self, recipe: Recipe) -> tuple[str, str] | None:
        if static_activations(recipe) == "int16_static" and not has_matrix_unit(target_of(recipe)):
            return "int8 products with calibrated ranges", NARROWED
        return super().attention_report(recipe)

    def compiled(
        self, exported: torch.export.ExportedProgram, recipe: Recipe, path: Path
    ) -> tuple[Any, Estimate | None]:
        compiled = compile_program(exported, target_of(recipe))
        path.with_name(GRAPH).write_bytes(compiled.graph)
        return compiled.edge, compiled.estimate

    def warm_up(self) -> None:
        import tosa_reference_model  # noqa: F401

    def session(self, path: Path, threads: int | None = None) -> Session:
        return SimulatedSession(path)

    def delegate_bytes(self, path: Path, program: Any) -> tuple[int, int]:
        parts = blocks(_stream(path, program))
        return len(parts["weight_data"]), int.from_bytes(parts["scratch_size"], "little")


def _stream(path: Path, program: Any) -> bytes:
    """The content of a program's only delegate.

    Args:
        path: the program's file, for error messages.
        program: the program, parsed from its file.

    Raises:
        BadInput: the program has no Ethos-U delegate, or other or more delegates.
    """
    delegates = program.execution_plan[0].delegates
    if [delegate.id for delegate in delegates] != ["EthosUBackend"]:
        raise BadInput("must contain exactly one Ethos-U delegate", where=path, fix="export it again")
    return bytes(program.backend_delegate_data[delegates[0].processed.index].data)
