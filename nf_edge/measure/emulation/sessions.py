"""Runner processes with the interface of a session, or of a decoder if the model has a cache."""

import atexit

import numpy as np

from nf_edge.backends.base import Session
from nf_edge.backends.input_shape import InputShape
from nf_edge.backends.runnable import Runnable
from nf_edge.measure.emulation.cores import EmulatedCore
from nf_edge.measure.runner import LogitsSession
from nf_edge.model import Decoder


class ProcessSession:
    """A session whose model runs in a runner process."""

    def __init__(self, process: LogitsSession) -> None:
        self._process = process

    def run(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        """Compute float32 logits from `input_ids` and `attention_mask`, int64 [1, T] each."""
        return self._process.logits((input_ids[0].tolist(), attention_mask[0].tolist()))


class ProcessDecoder(Decoder):
    """A decoder whose model runs in a runner process."""

    def __init__(self, process: LogitsSession, capacity: int) -> None:
        super().__init__(capacity)
        self._process = process

    def _feed(self, tokens: np.ndarray, start: int) -> np.ndarray:
        return self._process.logits((tokens.tolist(), [start])).reshape(-1)


def session_of(process: LogitsSession, input_shape: InputShape) -> Session | Decoder:
    """Wrap a runner process as a session, or as a decoder if the input shape has a cache."""
    return ProcessDecoder(process, input_shape.length) if input_shape.cached else ProcessSession(process)


def load(core: EmulatedCore, runnable: Runnable) -> Session | Decoder:
    """Load a model file on an emulated core; the emulator's process ends with this process.

    Raises:
        BadInput: the runtime cannot load the file, or the file is not for CPUs.
        MissingTool: the emulator, its libraries or the runner are missing.
    """
    process = LogitsSession(core.command(runnable), runnable.file)
    atexit.register(process.end)
    return session_of(process, runnable.input_shape)
