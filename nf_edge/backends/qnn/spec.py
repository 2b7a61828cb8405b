"""The recipes that the QNN backend accepts, and the memory of its artifacts."""

from dataclasses import dataclass

from nf_edge.backends.input_shape import CacheDtype, InputShape
from nf_edge.backends.memory_plan import MemoryPlan, RuntimeMemory
from nf_edge.backends.onnx.size import float32_bytes, require_size
from nf_edge.backends.precisions import precisions
from nf_edge.backends.spec import BackendSpec
from nf_edge.backends.support import GROUPS, PER_CHANNEL, Kernel, Support
from nf_edge.backends.tensor_sizes import sizes_of
from nf_edge.core.recipe.precision import TOKENS
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.model import ModelConfig

# Tokens per call of a language model with a cache.
CHUNK = 16
# Bytes of a context binary without its constants, fitted to the bundled models.
PROGRAM_BASE, PROGRAM_LAYER = 40_000, 48_000


@dataclass(frozen=True)
class Soc:
    """QNN's numbers for a system on a chip.

    Attributes:
        model: the number of the chip.
        arch: the number of its HTP's architecture.
    """

    model: int
    arch: int


# These numbers are from Qualcomm's file `backends/qualcomm/serialization/qc_schema.py` in executorch 1.5.1:
# the enum QcomChipset and its table HtpInfo.  All these SoCs have 8 MiB of VTCM.
SOCS = {
    "sm8550": Soc(43, 73),
    "sm8650": Soc(57, 75),
    "sm8750": Soc(69, 79),
}


class QnnSpec(BackendSpec):
    support = Support(
        backend="qnn",
        runtime="onnxruntime",
        layers=(
            Kernel(4, (4,), PER_CHANNEL, ("int16_static",)),
            Kernel(8, (8,), PER_CHANNEL, ("int16_static",)),
        ),
        tables=(Kernel(8, (8,), (*PER_CHANNEL, *GROUPS)),),
        targets=tuple(SOCS),
        dynamic_length=False,
        float_layers=False,
        caches=("float32",),
        # Norms are folded into the weights before the weights are rounded.
        methods=("nearest",),
        signed_scales=True,
    )
    runtime_memory = RuntimeMemory()

    def cache_dtype(self, config: ModelConfig, input_shape: InputShape, recipe: Recipe) -> CacheDtype | None:
        if not input_shape.cached:
            return None
        if config.noise.kind == "relative":
            raise self.no_cache(recipe, " for models with relative noise")
        return CacheDtype("float32", "the HTP computes with 16 bits; the application stores float32 values")

    def require_size(self, config: ModelConfig, recipe: Recipe) -> None:
        graph = PROGRAM_BASE + PROGRAM_LAYER * config.n_layer
        require_size(float32_bytes(config, head_twice=True), graph)

    def predict(self, config: ModelConfig, input_shape: InputShape, recipe: Recipe) -> MemoryPlan:
        sizes, precision_of = sizes_of(config, input_shape.length), precisions(recipe, config)
        weights = (
            sizes.linear_bytes(precision_of, channel_bytes=4, group_bytes=4) + 4 * sizes.biases + sizes.others
        )
        rows, columns = sizes.tokens
        tables = rows * (columns + 2 if precision_of[TOKENS].bits else 2 * columns) + 2 * sizes.hidden
        program = PROGRAM_BASE + PROGRAM_LAYER * config.n_layer
        file = program + weights + tables
        return MemoryPlan(
            program=program,
            weights=weights,
            embeddings=tables,
            mapped=0,
            loaded=2 * file,
            cache=4 * sizes.cache if input_shape.cached else 0,
            arenas=passed_bytes(config, input_shape),
            workspace=0,
        )


def passed_bytes(config: ModelConfig, input_shape: InputShape) -> int:
    """Bytes of a call's inputs and outputs, except the cached keys and values among the inputs."""
    if input_shape.cached:
        new = sizes_of(config, CHUNK).cache
        return 8 * (input_shape.length + 2 * CHUNK) + 4 * (CHUNK * config.vocab_size + new)
    return 2 * 8 * input_shape.length + 4 * (config.num_labels or input_shape.length * config.vocab_size)
