"""Lower a program with Vela, Arm's compiler for the Ethos-U, and read Vela's report."""

import csv
import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx.passes.operator_support import OperatorSupportBase

from nf_edge.backends.ethos_u.target import compile_spec
from nf_edge.backends.executorch.program_file import delegates_of
from nf_edge.backends.lowering_report import Estimate, Kind
from nf_edge.core.errors import MissingTool
from nf_edge.core.figures import Figure
from nf_edge.core.quiet import quiet_stdout
from nf_edge.core.staging import scratch_folder

KIB = 1024
# Dtypes of token ids and masks, and of comparisons with them, before and after Arm's passes narrow them.  The
# NPU gets no value of these dtypes.
HOSTS = (torch.int64, torch.int32, torch.bool)


@dataclass(frozen=True)
class Compiled:
    """The result of lowering a program.

    Attributes:
        edge: the program manager with the compiled delegate.
        graph: the TOSA graph that Vela compiled.
        estimate: Vela's estimate of cycles and memory.
    """

    edge: Any
    graph: bytes
    estimate: Estimate


class HostsIntegers(OperatorSupportBase):
    """Leaves operators on token ids and masks to the host.

    Otherwise Arm's partitioner would put operators that compare or count tokens into a second NPU delegate.
    """

    def is_node_supported(self, submodules: Mapping[str, nn.Module], node: torch.fx.Node) -> bool:
        if "quantized_decomposed" in str(node.target):  # biases and zero points also have these dtypes
            return True
        values = (each.meta.get("val") for each in (node, *node.all_input_nodes))
        return not any(isinstance(value, Tensor) and value.dtype in HOSTS for value in values)


def compile_program(exported: torch.export.ExportedProgram, target: str) -> Compiled:
    """Lower a quantized program, and compile the NPU's part with Vela.

    Raises:
        MissingTool: Vela cannot work in the folder for temporary files.
    """
    from executorch.backends.arm.ethosu import EthosUPartitioner
    from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower

    with scratch_folder() as folder:
        if " " in str(folder):
            raise MissingTool(
                "the path of the temporary folder contains a space, which Vela does not support",
                where=folder,
                fix="set the environment variable TMPDIR to a folder without spaces in its path",
            )
        spec = compile_spec(target).dump_intermediate_artifacts_to(str(folder))
        # Vela also prints the content of its report files.
        with quiet_stdout():
            edge = to_edge_transform_and_lower(
                exported,
                partitioner=[EthosUPartitioner(spec, [HostsIntegers()])],
                # The quantizer adds operators that are not in ExecuTorch's core set.
                compile_config=EdgeCompileConfig(_check_ir_validity=False),
            )
        _remove_folder_option(edge, str(folder))
        graphs = list(folder.glob("output_*.tosa"))
        if len(graphs) != 1:
            raise RuntimeError(f"the program for the NPU must become one delegate, not {len(graphs)}")
        return Compiled(edge, graphs[0].read_bytes(), _estimate(target, folder / "output"))


def _remove_folder_option(edge: Any, folder: str) -> None:
    """Remove the compile options of the delegates that contain the path of the compiler's temporary folder.

    Without them, the model file contains no path of this machine.
    """
    for delegate in delegates_of(edge):
        specs = delegate.compile_specs
        specs[:] = [spec for spec in specs if folder.encode() not in spec.value]


def _estimate(target: str, folder: Path) -> Estimate:
    (summary,) = _rows(folder, "*_summary_*.csv")
    cycles, counts = Counter[str](), Counter[str]()
    for row in _rows(folder, "*_per-layer.csv"):
        cycles[row["Original Operator"]] += int(row["Op Cycles"])
        counts[row["Original Operator"]] += 1
    total = sum(cycles.values())
    clock = float(summary["core_clock"]) / 1e6
    model = "Vela's own estimate"
    flash = float(summary["on_chip_flash_memory_used"]) + float(summary["off_chip_flash_memory_used"])
    # The count of DRAM includes weights if the target stores them there, and everything that does not fit
    # SRAM.
    dram = float(summary["dram_memory_used"])
    return Estimate(
        source=f"Vela, for {target} as {summary['system_config']} at {clock:g} MHz, {summary['memory_mode']}",
        sram=Figure(round(float(summary["sram_memory_used"]) * KIB), "bytes", "planned"),
        flash=Figure(round((flash + dram) * KIB), "bytes", "planned", "DRAM" if dram else ""),
        cycles=Figure(int(float(summary["cycles_total"])), "count", "simulated", model),
        time=Figure.of(float(summary["inference_time"]) * 1e3, "ms", "simulated", model),
        kinds=tuple(
            Kind(kind, counts[kind], of_kind, of_kind / total if total else 0.0)
            for kind, of_kind in cycles.most_common()
        ),
    )


def _rows(folder: Path, pattern: str) -> list[dict[str, str]]:
    (path,) = folder.glob(pattern)
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def blocks(stream: bytes) -> dict[str, bytes]:
    """The named blocks in a delegate's stream, with the layout of ExecuTorch's `arm_vela.py`.

    Each block has a name of 16 bytes, a length of 4, 12 bytes of flags, and the content, padded to 16 bytes.
    """
    return dict(_blocks(stream))


def _blocks(stream: bytes) -> Iterator[tuple[str, bytes]]:
    at = 0
    while at + 32 <= len(stream):
        name = stream[at : at + 16].rstrip(b"\0").decode("ascii")
        (length,) = struct.unpack_from("<I", stream, at + 16)
        yield name, stream[at + 32 : at + 32 + length]
        at += 32 + -(-length // 16) * 16
