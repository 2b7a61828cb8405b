"""Lowering through Vela, Arm's compiler for the Ethos-U, and reading what it tells."""

import csv
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from nf_edge.backends.base import Estimate, Kind
from nf_edge.backends.ethos_u.target import compile_spec
from nf_edge.quiet import quiet_stdout
from nf_edge.report import Figure
from nf_edge.staging import scratch_folder

KIB = 1024


@dataclass(frozen=True)
class Compiled:
    """What came of lowering a program.

    Attributes:
        edge: the program manager, its delegate compiled.
        graph: the TOSA graph that Vela was given, as it was given.
    """

    edge: Any
    graph: bytes
    estimate: Estimate


def compile_program(exported: torch.export.ExportedProgram, target: str) -> Compiled:
    """Lower a quantized program, what the NPU takes of it through Vela."""
    from executorch.backends.arm.ethosu import EthosUPartitioner
    from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower

    with scratch_folder() as folder:
        spec = compile_spec(target).dump_intermediate_artifacts_to(str(folder))
        # Vela prints what it also writes to files.
        with quiet_stdout():
            edge = to_edge_transform_and_lower(
                exported,
                partitioner=[EthosUPartitioner(spec)],
                # The quantizer leaves operators that are not in the core set.
                compile_config=EdgeCompileConfig(_check_ir_validity=False),
            )
        graphs = list(folder.glob("output_*.tosa"))
        if len(graphs) != 1:
            raise RuntimeError(f"the NPU form became {len(graphs)} delegates, not one")
        return Compiled(edge, graphs[0].read_bytes(), _estimate(target, folder / "output"))


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
    # Where the target keeps its weights in DRAM, they are counted there, and so is what does not fit SRAM.
    dram = float(summary["dram_memory_used"])
    return Estimate(
        source=f"Vela, for {target} as {summary['system_config']} at {clock:g} MHz, {summary['memory_mode']}",
        sram=Figure(round(float(summary["sram_memory_used"]) * KIB), "bytes", "planned"),
        flash=Figure(round((flash + dram) * KIB), "bytes", "planned", "DRAM" if dram else ""),
        cycles=Figure(int(float(summary["cycles_total"])), "count", "simulated", model),
        time=Figure.of(float(summary["inference_time"]) * 1e3, "ms", "simulated", model),
        kinds=tuple(
            Kind(kind, counts[kind], found, found / total if total else 0.0)
            for kind, found in cycles.most_common()
        ),
    )


def _rows(folder: Path, pattern: str) -> list[dict[str, str]]:
    (path,) = folder.glob(pattern)
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def blocks(stream: bytes) -> dict[str, bytes]:
    """The named blocks of the stream that a delegate holds, by the layout of ExecuTorch's `arm_vela.py`: a
    name of 16 bytes, a length of 4 and 12 of flags, then the content, padded to 16."""
    return dict(_blocks(stream))


def _blocks(stream: bytes) -> Iterator[tuple[str, bytes]]:
    at = 0
    while at + 32 <= len(stream):
        name = stream[at : at + 16].rstrip(b"\0").decode("ascii")
        (length,) = struct.unpack_from("<I", stream, at + 16)
        yield name, stream[at + 32 : at + 32 + length]
        at += 32 + -(-length // 16) * 16
