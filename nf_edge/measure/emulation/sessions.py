"""A runner process as what backends give for a model file: a session, or a decoder where it has a cache."""

import atexit
from pathlib import Path

import numpy as np

from nf_edge.backends.base import Backend, Session
from nf_edge.backends.input_shape import InputShape
from nf_edge.measure.emulation.cores import EmulatedCore
from nf_edge.measure.runner import AskedProcess
from nf_edge.model import Decoder


class AskedSession:
    def __init__(self, process: AskedProcess) -> None:
        self._process = process

    def run(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        """int64 [1, T], int64 [1, T] → float32 logits."""
        return self._process.logits((input_ids[0].tolist(), attention_mask[0].tolist()))


class AskedDecoder(Decoder):
    def __init__(self, process: AskedProcess, capacity: int) -> None:
        super().__init__(capacity)
        self._process = process

    def _feed(self, tokens: np.ndarray, start: int) -> np.ndarray:
        return self._process.logits((tokens.tolist(), [start])).reshape(-1)


def asked(process: AskedProcess, input_shape: InputShape) -> Session | Decoder:
    """What asks a process that runs an artifact of this input shape."""
    return AskedDecoder(process, input_shape.length) if input_shape.cached else AskedSession(process)


def load(core: EmulatedCore, backend: Backend, model: Path, input_shape: InputShape) -> Session | Decoder:
    """A model file as a core runs it, in a process that stays as long as this one.

    Raises:
        BadInput: the runtime refuses the file, or it is not for CPUs.
        MissingTool: what emulates the core is not here.
    """
    process = AskedProcess(core.command(backend, model), model)
    atexit.register(process.end)
    return asked(process, input_shape)
