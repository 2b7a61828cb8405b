"""Load and run a model file in ONNX Runtime on the CPU."""

from pathlib import Path
from typing import Any

import numpy as np

from nf_edge.backends.input_shape import INPUTS, OUTPUT
from nf_edge.core.errors import BadInput


def load(path: Path, threads: int | None = None) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        fix = "export it again with the installed onnxruntime"
        raise BadInput(f"ONNX Runtime cannot load this file ({error})", where=path, fix=fix) from error


class OrtSession:
    def __init__(self, path: Path, threads: int | None) -> None:
        self._session = load(path, threads)

    def run(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        feed = dict(zip(INPUTS, (input_ids, attention_mask), strict=True))
        logits: np.ndarray = self._session.run([OUTPUT], feed)[0]
        return logits
