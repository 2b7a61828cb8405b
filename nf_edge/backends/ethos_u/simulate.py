"""Run a `.pte` with an Ethos-U delegate on this machine.

PyTorch computes the host's operators, and Arm's TOSA reference model computes the delegate's integers.  The
reference model runs the graph that Vela compiles, not the NPU's commands.  So it does not show whether the
NPU gives the same numbers.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nf_edge.backends.companion import companion
from nf_edge.backends.executorch.interpreter import Interpreter
from nf_edge.core.quiet import quiet_stdout

GRAPH = "npu.tosa"
WHAT = "Arm's TOSA reference model (simulated, before Vela)"


class SimulatedSession:
    """A session that runs a program on the host, and the NPU's graph in the TOSA reference model.

    The graph is read from a file next to the program.

    Raises:
        BadInput: one of the files cannot be read.
    """

    def __init__(self, path: Path) -> None:
        graph = companion(path, GRAPH, f"this machine needs this graph of the NPU to run {path.name}")
        self._graph = graph.read_bytes()
        self._program = Interpreter(path, self._delegate)

    def run(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        """Compute float32 logits from `input_ids` and `attention_mask`, int64 [1, T] each."""
        return self._program.run(input_ids, attention_mask)

    def _delegate(self, inputs: list[Tensor]) -> Tensor:
        import tosa_reference_model

        # The model prints a warning at each run that the graph's version is old, although it supports that
        # version.
        with quiet_stdout():
            (output,), status = tosa_reference_model.run(
                self._graph, [tensor.numpy() for tensor in inputs], verbosity="NONE"
            )
        if status != tosa_reference_model.GraphStatus.TOSA_VALID:
            raise RuntimeError(f"the TOSA reference model reports that the graph is {status}")
        return torch.from_numpy(output)
