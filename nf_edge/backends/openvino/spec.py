"""The recipes that the OpenVINO backend accepts, and the memory of its artifacts."""

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from nf_edge.backends.executorch.arena.one_delegate import delegate_arena
from nf_edge.backends.input_shape import InputShape
from nf_edge.backends.memory_plan import MemoryPlan, RuntimeMemory
from nf_edge.backends.precisions import HEADS, Precisions, precisions, shares_table
from nf_edge.backends.spec import BackendSpec
from nf_edge.backends.support import GROUPS, PER_CHANNEL, Kernel, Support
from nf_edge.backends.tensor_sizes import Sizes, sizes_of
from nf_edge.core.recipe.precision import TOKENS
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.model import ModelConfig


class Graph(NamedTuple):
    """The memory of the graph without weights and activations, fitted to models of 2 to 8 layers.

    Attributes:
        file: bytes of a layer in the file.
        loaded: bytes that loading allocates: per model, and per layer.
        ran: bytes that the first run allocates for oneDNN primitives: per model, and per layer.
    """

    file: int
    loaded: tuple[int, int]
    ran: tuple[int, int]


# By activations: float32, int8 weights with int8 inputs, and quantized weights with float inputs.
GRAPH = {
    "float32": Graph(78_000, (2_400_000, 2_000_000), (800_000, 150_000)),
    "int8_static": Graph(136_000, (1_000_000, 3_500_000), (800_000, 700_000)),
    "none": Graph(88_000, (2_700_000, 2_200_000), (1_000_000, 150_000)),
}
NOTES = ("embedding tables are in the delegate, and their bytes count as its weights",)


class OpenVinoSpec(BackendSpec):
    support = Support(
        backend="openvino",
        runtime="executorch",
        layers=(
            Kernel(4, (4,), (32, 64, 128)),
            Kernel(8, (8,), PER_CHANNEL, ("none", "int8_static")),
        ),
        tables=(Kernel(8, (8,), (*PER_CHANNEL, *GROUPS)),),
        mixed_static="int8_per_channel",
        caches=("float32",),
        float_logits=False,
    )
    runtime_memory = RuntimeMemory(47_000_000, private=1_900_000)

    def predict(self, config: ModelConfig, input_shape: InputShape, recipe: Recipe) -> MemoryPlan:
        sizes, precision_of = sizes_of(config, input_shape.length), precisions(recipe, config)
        inside = delegate_constants(sizes, precision_of, config)
        kind = recipe.quantize.activations if recipe.quantize else "float32"
        graph, program = GRAPH[kind], GRAPH[kind].file * config.n_layer
        packed = sizes.linear_bytes(precision_of, 4, group_bytes=4)
        late = replace(sizes, linear=packed_late(sizes.linear, kind == "float32")).linear_bytes(
            precision_of, 4, 4
        )
        cache = 4 * sizes.cache if input_shape.cached else 0
        # The first step of one token packs these weights again.
        workspace = (2 if input_shape.cached else 1) * late + of_layers(graph.ran, config)
        workspace += 4 * (12 * sizes.hidden + 3 * sizes.inner)
        if config.noise.kind == "relative":
            # Attention never stores the scores of all tokens, but this noise has their shape.  It is gathered
            # and added to masks.
            workspace += 4 * (2 if input_shape.cached else 3) * sizes.scores
        loaded = inside + packed - late + of_layers(graph.loaded, config)
        arenas = delegate_arena(config, input_shape, cache)
        return MemoryPlan(
            program=program,
            weights=inside,
            embeddings=0,
            mapped=0,
            loaded=loaded,
            cache=cache,
            arenas=arenas,
            workspace=workspace,
            # Loading allocates the buffers first, and then reads the compiled graph into memory.
            load_peak=program + inside + loaded + cache + arenas,
            notes=NOTES,
        )

    def _resized(self, plan: MemoryPlan, config: ModelConfig, run: InputShape, recipe: Recipe) -> MemoryPlan:
        """The plan with the workspace of the shorter input shape `run`; the cache stays complete."""
        if plan.workspace is None:
            return plan
        return replace(plan, workspace=self.predict(config, run, recipe).workspace)


def delegate_constants(sizes: Sizes, precision_of: Precisions, config: ModelConfig) -> int:
    """Bytes of the delegate's constants, including all weights."""
    # Biases, norms and noise stay float32; an int8 channel has a float32 scale.
    inside = sizes.linear_bytes(precision_of, 4, group_bytes=4) + 4 * (sizes.biases + sizes.others)
    inside += sizes.table_bytes(precision_of)
    if shares_table(precision_of, config) and precision_of[TOKENS].bits is None:
        inside -= sizes.token_bytes(precision_of)
    return inside


def packed_late(linear: Mapping[str, tuple[int, int]], floats: bool) -> dict[str, tuple[int, int]]:
    """The linear layers that OpenVINO packs in the first run instead of at load.

    OpenVINO keeps the file's constants, and a copy of each weight matrix in oneDNN's layout with the same
    number of bits.  It copies most float32 matrices at load.  It copies the others at the first run, and
    again at the first step of one token.  OpenVINO does not document which matrices the others are.
    According to measurements, they are `c_proj` of every MLP except the first if weights are float32.  If
    weights are rounded, they are all matrices except the head and attention's `c_kv` or `c_attn`.

    Args:
        linear: maps the name of each linear layer to its weight's shape [out, in].
        floats: whether the weights are float32.
    """
    if not floats:
        early = ("c_kv", "c_attn", *HEADS)
        return {name: shape for name, shape in linear.items() if not name.endswith(early)}
    return dict([entry for entry in linear.items() if entry[0].endswith("mlp.c_proj")][1:])


def of_layers(size: tuple[int, int], config: ModelConfig) -> int:
    """Bytes of a complete model; `size` is the bytes without layers, and the bytes of each layer."""
    return size[0] + size[1] * config.n_layer
