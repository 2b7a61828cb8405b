"""Qualcomm's plug-in for ONNX Runtime: compile for an HTP, and run in the HTP simulator.

The plug-in's x86-64 library is the simulator.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from nf_edge.backends.input_shape import INPUTS, OUTPUT
from nf_edge.backends.qnn import session
from nf_edge.backends.qnn.spec import SOCS
from nf_edge.core.errors import BadInput
from nf_edge.core.quiet import captured_stderr, quiet_stdout

SIMULATOR = "the HTP simulator of onnxruntime-qnn (simulated)"
ALONE = {"session.disable_cpu_ep_fallback": "1"}
# Patterns of lines in the plug-in's log.
REFUSED = re.compile(r"failed for node `(?P<name>[^`]*)` of type `(?P<kind>[^`]*)`")
SPILL = re.compile(r"Max spill fill buffer size: (?P<bytes>\d+)")
VERBOSE, WARNING, ERROR = 0, 2, 3


def compile_context(model: Path, target: str, path: Path) -> None:
    """Compile a complete quantized model into one context binary, stored in an ONNX model of one operator.

    Args:
        model: the file of the quantized model.
        target: the name of the SoC to compile for, such as `sm8650`.
        path: the file to write.

    Raises:
        BadInput: the HTP does not support some of the model's operators.
    """
    path.unlink(missing_ok=True)
    soc = SOCS[target]
    entries = ALONE | {
        "ep.context_enable": "1",
        "ep.context_file_path": os.path.abspath(path),
        "ep.context_embed_mode": "1",
    }
    options = {
        "soc_model": str(soc.model),
        "htp_arch": str(soc.arch),
        # Level 3 is the longest search for a good order and placement.
        "htp_graph_finalization_optimization_mode": "3",
    }
    # QNN numbers tensors across all models of a process, so a new process makes the bytes reproducible.
    arguments = repr([os.path.abspath(model), WARNING, entries, options])
    done = subprocess.run(
        [sys.executable, "-P", session.__file__, arguments], capture_output=True, text=True, errors="replace"
    )
    if done.returncode or not path.is_file():
        refused = dict.fromkeys(
            f"{refused['kind']} ({refused['name']})" for refused in REFUSED.finditer(done.stderr)
        )
        if refused:
            what = f"the HTP of {target} does not support these operators of the model: {', '.join(refused)}"
            raise BadInput(what, fix="use another recipe (nf-edge recipes list)")
        last = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
        raise BadInput(
            f"QNN failed to compile the model for the HTP of {target} ({last})",
            fix="run it again; if it fails again, use another recipe (nf-edge recipes list)",
        )


def spill_fill(path: Path) -> int | None:
    """Bytes of the DRAM buffer that a context binary requests for data beyond the HTP's memory.

    None if QNN does not report it.
    """
    with quiet_stdout(), captured_stderr() as said:
        session.open_session(os.fspath(path), VERBOSE, ALONE, {"enable_htp_spill_fill_buffer": "1"})
    match = SPILL.search(said.text)
    return int(match["bytes"]) if match else None


def load(path: Path) -> Any:
    """Load a context binary in the simulator, as a session of ONNX Runtime.

    Raises:
        BadInput: QNN cannot load the file.
    """
    try:
        with quiet_stdout(), captured_stderr():
            return session.open_session(os.fspath(path), ERROR, ALONE, {})
    except Exception as error:
        fix = "export it again with the installed packages"
        raise BadInput(f"QNN cannot load this file ({error})", where=path, fix=fix) from error


class SimulatedSession:
    """A session that runs a context binary without a cache in the simulator.

    Raises:
        BadInput: QNN cannot load the file.
    """

    def __init__(self, path: Path) -> None:
        self._session = load(path)

    def run(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        """Compute float32 logits from `input_ids` and `attention_mask`, int64 [1, T] each."""
        feed = dict(zip(INPUTS, (input_ids, attention_mask), strict=True))
        logits: np.ndarray = self._session.run([OUTPUT], feed)[0]
        return logits
