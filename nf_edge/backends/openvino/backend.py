"""ExecuTorch with the OpenVINO delegate: the CPU of PCs and servers.

OpenVINO has operators for tables, norms, attention and cache updates.  One delegate therefore runs the
complete program.
"""

import math
import os
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

from nf_edge.backends.executorch import decoder as executorch_decoder
from nf_edge.backends.executorch.base import ExecutorchBackend
from nf_edge.backends.executorch.program_file import constant_bytes, read_program
from nf_edge.backends.input_shape import InputShape
from nf_edge.backends.memory_plan import MemoryPlan
from nf_edge.backends.openvino.spec import (
    GRAPH,
    NOTES,
    OpenVinoSpec,
    delegate_constants,
    of_layers,
    packed_late,
)
from nf_edge.backends.tensor_sizes import sizes_of
from nf_edge.core import native_build
from nf_edge.core.errors import BadInput, MissingTool
from nf_edge.core.recipe.precision import Precision
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.core.targets import BuildTarget
from nf_edge.model import ModelConfig, NoiseFormer
from nf_edge.model.attention_forms import TorchForm

# OpenVINO 2026 renumbered its dtypes, which makes the delegate of ExecuTorch 1.5 crash.
OPENVINO, MAJOR = "openvino==2025.4.1", "2025."
ON_LINUX = "use the executorch of PyPI for x86-64 Linux"


class OpenVino(OpenVinoSpec, ExecutorchBackend):
    library = "OpenVINO"
    attention_form = "ScaledDotProductAttention"
    leaves: ClassVar[Mapping[str, str]] = {"copy": "it copies the updated cache over the old one"}
    leaves_others = "OpenVINO's PyTorch frontend does not support it"
    operator_libraries: ClassVar[tuple[str, ...]] = ("openvino_backend", "portable_ops_lib")
    # A CPU with bfloat16 units would compute float32 products in bfloat16, and a .pte cannot prevent that.
    environment: ClassVar[Mapping[str, str]] = {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI"}
    other_requirements = (
        f"It needs OpenVINO (`pip install {OPENVINO}`). A C++ application sets `OPENVINO_LIB_PATH` to the "
        "path of `libopenvino_c.so.2541`. OpenVINO starts one thread for each CPU that the process may use."
    )

    def specialise(self, model: NoiseFormer, recipe: Recipe) -> None:
        model.transformer.form = TorchForm()
        for block in model.transformer.blocks:
            block.attn.fold_scale()

    def partitioner(self, recipe: Recipe) -> Any:
        self._prepare()
        from nf_edge.backends.openvino.delegate import OpenVinoPartitioner

        return OpenVinoPartitioner("CPU")

    def operators_file(self, target: BuildTarget | None = None) -> Path:
        if target is not None:
            raise BadInput("backend openvino does not run on Arm cores", fix="leave out --on")
        folder = native_build.package_folder("executorch") / "lib"
        library = folder / "libexecutorch_backend_openvino.so"
        if not library.is_file():
            raise MissingTool("the installed executorch has no OpenVINO delegate", where=folder, fix=ON_LINUX)
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
        """Set OpenVINO's environment variables in this process, unless they are already set.

        Raises:
            MissingTool: the delegate crashes with the installed OpenVINO.
        """
        if not (installed := version("openvino")).startswith(MAJOR):
            raise MissingTool(
                f"ExecuTorch's OpenVINO delegate crashes with the installed OpenVINO {installed}",
                fix=f"pip install {OPENVINO}",
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
        # The compiled graph cannot be parsed, but the size of its constants shows whether they are float32.
        floats = inside > 0.9 * delegate_constants(
            sizes, dict.fromkeys(config.matrix_shapes(), Precision()), config
        )
        graph = GRAPH["float32" if floats else "none"]
        # One byte per rounded weight; int4 uses half of it.
        early = sizes.linear.keys() - packed_late(sizes.linear, floats).keys()
        packed = (4 if floats else 1) * sum(math.prod(sizes.linear[name]) for name in early)
        loaded = inside + packed + of_layers(graph.loaded, config)
        return MemoryPlan(
            program=len(content) - weights,
            weights=weights,
            embeddings=0,
            # The pages of OpenVINO's part are freed after the load.
            mapped=len(content) - sum(map(len, blobs)),
            loaded=loaded,
            cache=cache,
            # The cache is in the arenas.
            arenas=arenas - cache,
            workspace=None,
            # Loading allocates the buffers first, and then reads the compiled graph into memory.
            load_peak=len(content) + loaded + arenas,
            notes=NOTES,
        )


def _cpus(count: int) -> list[int]:
    """The first `count` CPUs that this process may use; OpenVINO starts one thread for each."""
    return sorted(os.sched_getaffinity(0))[:count]


def _constants(blob: bytes) -> int:
    """Bytes of the constants in OpenVINO's compiled model.

    The file starts with offset and size of notes, constants and graph, 64 bits each.
    """
    return int.from_bytes(blob[24:32], "little")
