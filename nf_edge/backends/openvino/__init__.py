"""ExecuTorch with the OpenVINO delegate: the CPU of PCs and servers.

OpenVINO has operators for tables, norms, attention and the writing of a cache, so that one delegate is the
complete program.
"""

import math
import os
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from torch import nn

from nf_edge.backends.executorch import decoder as executorch_decoder
from nf_edge.backends.executorch.base import ExecutorchBackend
from nf_edge.backends.executorch.program_file import constant_bytes, read_program
from nf_edge.backends.executorch.static_quantizer import quantize_linear
from nf_edge.backends.input_shape import Inputs, InputShape
from nf_edge.backends.memory_plan import MemoryPlan
from nf_edge.backends.precisions import HEADS, Precisions, precisions, shares_table
from nf_edge.backends.support import GROUPS, PER_CHANNEL, Kernel, Support
from nf_edge.backends.tensor_sizes import Sizes, sizes_of
from nf_edge.core import native_build
from nf_edge.core.errors import BadInput, MissingTool
from nf_edge.core.recipe.precision import TOKENS, Precision
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.core.targets import BuildTarget
from nf_edge.model import ModelConfig, NoiseFormer
from nf_edge.model.attention_forms import TorchForm

# From 2026 on OpenVINO numbers its dtypes otherwise, and the delegate of ExecuTorch 1.5 crashes.
OPENVINO, MAJOR = "openvino==2025.4.1", "2025."
ON_LINUX = "use the executorch of PyPI for x86-64 Linux"


class _Graph(NamedTuple):
    """The memory of the graph without weights and activations, fitted to models of 2 to 8 layers.

    Attributes:
        file: bytes of a layer in the file.
        loaded: bytes of a model, and of each of its layers, that loading allocates.
        ran: the same for the first run, which adds primitives of oneDNN.
    """

    file: int
    loaded: tuple[int, int]
    ran: tuple[int, int]


# By activations: float32, int8 weights with int8 inputs, and quantized weights alone.
GRAPH = {
    "float32": _Graph(78_000, (2_400_000, 2_000_000), (800_000, 150_000)),
    "int8_static": _Graph(136_000, (1_000_000, 3_500_000), (800_000, 700_000)),
    "none": _Graph(88_000, (2_700_000, 2_200_000), (1_000_000, 150_000)),
}
NOTES = ("embedding tables lie in the delegate, and are counted with its weights",)


class OpenVino(ExecutorchBackend):
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
    library = "OpenVINO"
    attention_form = "ScaledDotProductAttention"
    leaves: ClassVar[Mapping[str, str]] = {"copy": "a cache that was written is copied over the old one"}
    leaves_others = "OpenVINO's frontend does not know it"
    operator_libraries: ClassVar[tuple[str, ...]] = ("openvino_backend", "portable_ops_lib")
    process_bytes = 47_000_000
    # A CPU with units for bfloat16 multiplies float32 in it otherwise, and a .pte has no way to ask for more.
    environment: ClassVar[Mapping[str, str]] = {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI"}
    other_requirements = (
        f"It needs OpenVINO (`pip install {OPENVINO}`), which a program in C++ finds by `OPENVINO_LIB_PATH`, "
        "the path of `libopenvino_c.so.2541`. It takes a thread for each CPU that the process may use."
    )

    def specialise(self, model: NoiseFormer, recipe: Recipe) -> None:
        model.transformer.form = TorchForm()
        for block in model.transformer.blocks:
            block.attn.fold_scale()

    def quantize_static(
        self,
        program: nn.Module,
        recipe: Recipe,
        precision_of: Precisions,
        input_shape: InputShape,
        calibration_inputs: Inputs,
    ) -> nn.Module:
        return quantize_linear(program, precision_of, input_shape, calibration_inputs)

    def partitioner(self, recipe: Recipe) -> Any:
        self._prepare()
        from nf_edge.backends.openvino.delegate import OpenVinoPartitioner

        return OpenVinoPartitioner("CPU")

    def operators_file(self, target: BuildTarget | None = None) -> Path:
        if target is not None:
            raise BadInput("backend openvino is for Intel's CPUs and NPUs, and that core is none")
        folder = native_build.package_folder("executorch") / "lib"
        library = folder / "libexecutorch_backend_openvino.so"
        if not library.is_file():
            raise MissingTool("this executorch has no OpenVINO delegate", where=folder, fix=ON_LINUX)
        return library

    def launcher(self, threads: int | None) -> tuple[str, ...]:
        self._prepare()
        (library,) = (native_build.package_folder("openvino") / "libs").glob("libopenvino_c.so*")
        environment = {"OPENVINO_LIB_PATH": str(library), **self.environment}
        command = ("env", *(f"{name}={value}" for name, value in environment.items()))
        if threads is None:
            return command
        return (*command, "taskset", "-c", ",".join(map(str, _cpus(threads))))

    def _runtime(self) -> Any:
        self._prepare()
        return super()._runtime()

    def _load_method(self, path: Path, threads: int | None) -> Any:
        if threads is None:
            return super()._load_method(path, None)
        allowed = os.sched_getaffinity(0)
        os.sched_setaffinity(0, _cpus(threads))
        try:
            return super()._load_method(path, None)
        finally:
            os.sched_setaffinity(0, allowed)

    def _prepare(self) -> None:
        """This process, for OpenVINO; where the environment says otherwise already, that stays.

        Raises:
            MissingTool: the delegate cannot work with the OpenVINO that is installed.
        """
        if not (installed := version("openvino")).startswith(MAJOR):
            raise MissingTool(
                f"the delegate of ExecuTorch crashes with OpenVINO {installed}", fix=f"pip install {OPENVINO}"
            )
        for name, value in self.environment.items():
            os.environ.setdefault(name, value)

    def plan(self, path: Path, config: ModelConfig, input_shape: InputShape) -> MemoryPlan:
        content = path.read_bytes()
        file = read_program(path, content)
        method = file.program.execution_plan[0]
        sizes = sizes_of(config, input_shape.length)
        outside, _ = constant_bytes(file, config)
        blobs = [bytes(entry.data) for entry in file.program.backend_delegate_data]
        inside = sum(map(_constants, blobs))
        weights = outside + inside
        cache = executorch_decoder.cache_bytes(method)
        arenas = sum(method.non_const_buffer_sizes)
        # The graph is scrambled: the size of its constants shows whether they are float32.
        floats = inside > 0.9 * _inside(sizes, dict.fromkeys(config.matrix_shapes(), Precision()), config)
        graph = GRAPH["float32" if floats else "none"]
        # A byte for each rounded weight: int4 takes half of it.
        early = sizes.linear.keys() - _late(sizes.linear, floats).keys()
        packed = (4 if floats else 1) * sum(math.prod(sizes.linear[name]) for name in early)
        return MemoryPlan(
            program=len(content) - weights,
            weights=weights,
            embeddings=0,
            # OpenVINO's part is given back when the method is loaded.
            mapped=len(content) - sum(map(len, blobs)),
            loaded=inside + packed + _of_layers(graph.loaded, config),
            cache=cache,
            # The cache lies among the activations.
            arenas=arenas - cache,
            workspace=None,
            # Running takes its place; only the arenas of a run are known.
            loading=max(0, sum(map(len, blobs)) - arenas),
            notes=NOTES,
        )

    def predict(self, config: ModelConfig, input_shape: InputShape, recipe: Recipe) -> MemoryPlan:
        sizes, precision_of = sizes_of(config, input_shape.length), precisions(recipe, config)
        inside = _inside(sizes, precision_of, config)
        kind = recipe.quantize.activations if recipe.quantize else "float32"
        graph, program = GRAPH[kind], GRAPH[kind].file * config.n_layer
        packed = sizes.linear_bytes(precision_of, 4, group_bytes=4)
        late = replace(sizes, linear=_late(sizes.linear, kind == "float32")).linear_bytes(precision_of, 4, 4)
        cache = 4 * sizes.cache if input_shape.cached else 0
        # The first step packs them once more, for one token.
        workspace = (2 if input_shape.cached else 1) * late + _of_layers(graph.ran, config)
        workspace += 4 * (12 * sizes.hidden + 3 * sizes.inner)
        if config.noise.kind == "relative":
            # Attention never has the scores of all tokens at once, but this noise is laid out as they are:
            # gathered, and added to masks.
            workspace += 4 * (2 if input_shape.cached else 3) * sizes.scores
        return MemoryPlan(
            program=program,
            weights=inside,
            embeddings=0,
            mapped=0,
            loaded=inside + packed - late + _of_layers(graph.loaded, config),
            cache=cache,
            # The cache that comes out of the delegate exists next to the one that goes in.
            arenas=cache,
            workspace=workspace,
            loading=max(0, program + inside - 2 * cache - workspace),
            notes=NOTES,
        )


def _inside(sizes: Sizes, precision_of: Precisions, config: ModelConfig) -> int:
    """Bytes of the constants in the delegate, all weights among them."""
    # Biases, norms and noise stay float32; a channel of int8 has a float32 scale.
    inside = sizes.linear_bytes(precision_of, 4, group_bytes=4) + 4 * (sizes.biases + sizes.others)
    inside += sizes.table_bytes(precision_of)
    if shares_table(precision_of, config) and precision_of[TOKENS].bits is None:
        inside -= sizes.token_bytes(precision_of)
    return inside


def _late(linear: Mapping[str, tuple[int, int]], floats: bool) -> dict[str, tuple[int, int]]:
    """The linear layers that are packed at a run.

    OpenVINO keeps the file's constants, and a copy of each weight matrix in oneDNN's order,
    of as many bits.  Most of float32 are copied at load.  The others are at the first run, and once more at
    the first of another kind, a step of one token.  Which ones is measured, not documented: of float32 one in
    each MLP but one; of rounded weights most but those that attention begins with, and the head's.
    """
    if not floats:
        early = ("c_kv", "c_attn", *HEADS)
        return {name: shape for name, shape in linear.items() if not name.endswith(early)}
    return dict([entry for entry in linear.items() if entry[0].endswith("mlp.c_proj")][1:])


def _of_layers(size: tuple[int, int], config: ModelConfig) -> int:
    """Bytes of a model that takes so many for itself, and for each layer."""
    return size[0] + size[1] * config.n_layer


def _cpus(count: int) -> list[int]:
    """So many of those that this process may use: OpenVINO takes a thread for each."""
    return sorted(os.sched_getaffinity(0))[:count]


def _constants(blob: bytes) -> int:
    """Bytes of the constants in OpenVINO's file of a compiled model: it begins with offset and size of notes,
    constants and graph, 64 bits each."""
    return int.from_bytes(blob[24:32], "little")
