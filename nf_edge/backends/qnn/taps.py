"""Read the outputs of layers from the quantized model that a context binary was compiled from.

The context binary shows no layers.  The quantized model has the same operators with the same ranges, and ONNX
Runtime runs it on this CPU.
"""

from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import torch
from onnx import ModelProto
from torch import Tensor

from nf_edge.backends.onnx.calls import Calls, Feed, one_call
from nf_edge.backends.onnx.taps import TappedFile, tensor_names
from nf_edge.backends.qnn.cached import ChunkDecoder
from nf_edge.backends.qnn.form import HtpProgram
from nf_edge.backends.qnn.qdq import QUANTIZED, float_model, quantized_file
from nf_edge.backends.qnn.spec import CHUNK
from nf_edge.backends.taps import Lowering, Tapped, points_of, record


class TappedQdq(TappedFile):
    """The quantized model beside a context binary."""

    through = f"{QUANTIZED} in ONNX Runtime on this CPU, with the layers' tensors as more outputs"


def tapped_qdq(lowering: Lowering, row: tuple[np.ndarray, np.ndarray]) -> Tapped:
    """The float32 network and the quantized model of an artifact, with the outputs of their layers.

    Args:
        row: token ids and mask, int64 [1, T].  A tensor of the model belongs to the layer whose output has
            the same values in float32.
    """
    program, input_shape = cast(HtpProgram, lowering.program), lowering.input_shape
    floats = float_model(program.model, input_shape)
    points, inputs = points_of(lowering.before), (torch.from_numpy(row[0]), torch.from_numpy(row[1]))
    of_floats = _calls(floats, input_shape.length if input_shape.cached else None)
    # Unlike the program before quantization, this one has the tables of the quantized model.
    reference = record(program, points, lambda: program(*inputs))
    names = tensor_names(floats, of_floats, inputs, reference)

    def opened(path: Path) -> TappedQdq:
        quantized = quantized_file(path)
        if not input_shape.cached:
            return TappedQdq(quantized, names)
        # In an exact run, the keys and values of earlier chunks are float32 too.
        return TappedQdq(quantized, names, _calls(onnx.load(quantized), input_shape.length), of_floats)

    return Tapped(
        lowering.before.eval(),
        points,
        opened(lowering.file),
        cached=False,
        opened=lambda path: opened(path).exact,
    )


def _calls(model: ModelProto, capacity: int | None) -> Calls:
    """The calls of a model for a row.

    Args:
        capacity: positions of the cache, if the model takes the row in chunks; None if it has no cache.
    """
    if capacity is None:
        return one_call(model)
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return Calls(partial(_feeds, session, capacity), CHUNK)


def _feeds(session: Any, capacity: int, inputs: tuple[Tensor, ...]) -> list[Feed]:
    """The inputs of each chunk of a row; the session computes the keys and values of earlier chunks."""
    ids, mask = (tensor.numpy() for tensor in inputs)
    return list(ChunkDecoder(session, capacity).feeds(ids[0, : int(mask.sum())]))
