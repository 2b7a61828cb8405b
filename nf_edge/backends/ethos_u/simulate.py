"""A `.pte` with an Ethos-U delegate, run on this machine: the host's operators by PyTorch, the delegate's
integers by Arm's TOSA reference model.

The reference model is given the graph that Vela was given, so its numbers are those before Vela; whether the
NPU gives the same ones is not known here.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nf_edge.backends.executorch.interpreter import Interpreter
from nf_edge.core.errors import BadInput
from nf_edge.core.quiet import quiet_stdout

GRAPH = "npu.tosa"
WHAT = "Arm's TOSA reference model (simulated, before Vela)"


class SimulatedSession:
    """The program of a file, and the graph in the file next to it.

    Raises:
        BadInput: either cannot be read.
    """

    def __init__(self, path: Path) -> None:
        graph = path.with_name(GRAPH)
        if not graph.is_file():
            raise BadInput(
                f"is missing; without the graph of the NPU nothing on this machine can run {path.name}",
                where=graph,
                fix="export it again",
            )
        self._graph = graph.read_bytes()
        self._program = Interpreter(path, self._delegate)

    def run(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        """int64 [1, T], int64 [1, T] → float32 logits."""
        return self._program.run(input_ids, attention_mask)

    def _delegate(self, inputs: list[Tensor]) -> Tensor:
        import tosa_reference_model

        # It warns at every run that the graph is of an older version, which it takes.
        with quiet_stdout():
            (output,), status = tosa_reference_model.run(
                self._graph, [tensor.numpy() for tensor in inputs], verbosity="NONE"
            )
        if status != tosa_reference_model.GraphStatus.TOSA_VALID:
            raise RuntimeError(f"the reference model calls the graph {status}")
        return torch.from_numpy(output)
