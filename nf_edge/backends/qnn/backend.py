"""ONNX Runtime with Qualcomm's QNN: the HTP, the NPU of a Snapdragon.

The HTP runs the complete model, from token ids to logits, with 16-bit activations.  The artifact's model file
is a context binary for one SoC, which a phone loads without compiling.  The artifact also contains the
quantized model, which QNN can compile for other SoCs.
"""

from collections import Counter
from pathlib import Path
from typing import cast

import numpy as np
import onnx
from torch import nn

from nf_edge.backends.base import Backend, Session
from nf_edge.backends.coverage.coverage import Coverage
from nf_edge.backends.input_shape import INPUTS, CacheDtype, Inputs, InputShape
from nf_edge.backends.lowering_report import LoweringReport
from nf_edge.backends.memory_plan import MemoryPlan
from nf_edge.backends.onnx.session import OrtSession
from nf_edge.backends.precisions import Precisions, precisions
from nf_edge.backends.qnn.cached import ChunkDecoder, inputs_of
from nf_edge.backends.qnn.form import HtpProgram, specialise
from nf_edge.backends.qnn.htp import SIMULATOR, SimulatedSession, compile_context, load, spill_fill
from nf_edge.backends.qnn.qdq import QUANTIZED, TABLES, operators_of, quantized_file, weights_of, write_qdq
from nf_edge.backends.qnn.run_text import run_text
from nf_edge.backends.qnn.spec import CHUNK, QnnSpec, passed_bytes
from nf_edge.backends.qnn.taps import tapped_qdq
from nf_edge.backends.static_shape.extreme_rows import extreme_rows
from nf_edge.backends.taps import Lowering, Tapped
from nf_edge.backends.tensor_sizes import sizes_of
from nf_edge.core.errors import EXPORT_AGAIN, BadInput
from nf_edge.core.recipe.precision import POSITIONS, TOKENS
from nf_edge.core.recipe.recipe import Recipe, target_of
from nf_edge.model import Decoder, ModelConfig, NoiseFormer
from nf_edge.model.attention_forms import TWO_PRODUCTS

EXACT = "its weights are 1 and its biases 0: its scale and bias are folded into the next layer"


UNKNOWN_PARTS = (
    "workspace is the spill-fill buffer that the context binary requests; further memory of QNN, the driver "
    "and the DSP's process is unknown, and so is the use of the 8 MiB of VTCM"
)


class Qnn(QnnSpec, Backend):
    library = "the HTP ({target})"
    attention_form = TWO_PRODUCTS
    model_file = "model.onnx"
    runtime_title = "ONNX Runtime"
    companions = (QUANTIZED,)
    operator_libraries = ("onnxruntime_providers_qnn", "QnnHtp", "QnnSystem")
    chunk = CHUNK
    reference_executor = SIMULATOR
    graph_library = f"ONNX Runtime on this CPU ({QUANTIZED})"
    quantizes = "lowering"

    def specialise(self, model: NoiseFormer, recipe: Recipe) -> None:
        specialise(model)

    def inputs(self, config: ModelConfig, input_shape: InputShape) -> tuple[str, ...]:
        return inputs_of(config) if input_shape.cached else INPUTS

    def program(self, model: NoiseFormer, input_shape: InputShape, cache: CacheDtype | None) -> nn.Module:
        return HtpProgram(model)

    def quantize_static(
        self,
        program: nn.Module,
        recipe: Recipe,
        precision_of: Precisions,
        input_shape: InputShape,
        calibration_inputs: Inputs,
    ) -> nn.Module:
        """Return the program unquantized, with the calibration rows attached.

        `lower` quantizes all layers after the conversion to ONNX.
        """
        return HtpProgram(
            cast(HtpProgram, program).model,
            [*calibration_inputs, *extreme_rows(calibration_inputs, input_shape.length)],
        )

    def layer_report(self, module: str, precision_of: Precisions) -> tuple[str, str] | None:
        if module.endswith((".ln_1", ".ln_2")):
            return "folded", EXACT
        if module == "transformer.ln_f":
            return "int16", "its scale and bias are a separate product and sum"
        if module.endswith(".noise"):
            return "uint8, one scale; int16 static activations", ""
        if module == TOKENS and precision_of[TOKENS].bits is None:
            return "int16, one scale", "the HTP has no float32"
        if module == POSITIONS:
            if precision_of[POSITIONS].bits is None:
                return "int16, one scale", "the HTP has no float32"
            return "int8, per row", "its few rows are rounded to int8, but stored with 16 bits"
        return None

    def lower(
        self, program: nn.Module, config: ModelConfig, input_shape: InputShape, recipe: Recipe, path: Path
    ) -> LoweringReport:
        quantized, precision_of = path.with_name(QUANTIZED), precisions(recipe, config)
        macs = write_qdq(cast(HtpProgram, program), precision_of, input_shape, quantized)
        target = target_of(recipe)
        compile_context(quantized, target, path)
        library, length = (
            self.library.format(target=target),
            CHUNK if input_shape.cached else input_shape.length,
        )
        coverage = Coverage(library, len(operators_of(quantized)), macs, length)
        return LoweringReport(coverage, weights=weights_of(quantized, precision_of))

    def warm_up(self) -> None:
        import onnxruntime_qnn  # noqa: F401

    def session(self, path: Path, threads: int | None = None) -> Session:
        return SimulatedSession(path)

    def decoder(self, path: Path, capacity: int, threads: int | None = None) -> Decoder:
        return ChunkDecoder(load(path), capacity)

    def plan(self, path: Path, config: ModelConfig, input_shape: InputShape) -> MemoryPlan:
        binary = _context(path)
        embeddings, weights = _constants(quantized_file(path))
        size = path.stat().st_size
        return MemoryPlan(
            program=size - weights - embeddings,
            weights=weights,
            embeddings=embeddings,
            mapped=0,
            # Both ONNX Runtime and the NPU hold a copy of the context binary.
            loaded=size + binary,
            cache=4 * sizes_of(config, input_shape.length).cache if input_shape.cached else 0,
            arenas=passed_bytes(config, input_shape),
            workspace=spill_fill(path),
            notes=(*_tied_head(config), UNKNOWN_PARTS),
        )

    def graph(self, program: nn.Module, input_shape: InputShape, path: Path) -> Session | None:
        return None if input_shape.cached else OrtSession(quantized_file(path), None)

    def tapped(self, lowering: Lowering, row: tuple[np.ndarray, np.ndarray]) -> Tapped:
        return tapped_qdq(lowering, row)

    def run_text(self, cached: bool) -> str:
        return run_text(cached)

    def operators(self, path: Path) -> dict[str, int]:
        names = (f"HTP::{name}" for name in operators_of(quantized_file(path)))
        return {"com.microsoft::EPContext": 1} | dict(Counter(names).most_common())


def _tied_head(config: ModelConfig) -> list[str]:
    if not (config.is_language_model and config.tie_word_embeddings):
        return []
    size = config.vocab_size * config.n_embd
    return [
        f"the tied embedding ({size:,} values) is stored twice: as table, with a scale per row, and as head"
    ]


def _context(path: Path) -> int:
    """Bytes of the context binary in a model file."""
    try:
        nodes = onnx.load(path).graph.node
    except Exception as error:
        raise BadInput(f"is not an ONNX model ({error})", where=path, fix=EXPORT_AGAIN) from error
    binaries = [
        len(attribute.s)
        for node in nodes
        for attribute in node.attribute
        if attribute.name == "ep_cache_context"
    ]
    if len(binaries) != 1:
        raise BadInput("must contain exactly one context binary", where=path, fix=EXPORT_AGAIN)
    return binaries[0]


def _constants(quantized: Path) -> tuple[int, int]:
    """Bytes of the tables, and bytes of all other constants.

    Args:
        quantized: the file of the quantized model.
    """
    sizes = {tensor.name: len(tensor.raw_data) for tensor in onnx.load(quantized).graph.initializer}
    embeddings = sum(size for name, size in sizes.items() if name.startswith(TABLES))
    return embeddings, sum(sizes.values()) - embeddings
