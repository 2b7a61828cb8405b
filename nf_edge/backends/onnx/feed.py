"""The inputs of a lowered ONNX model for a row of token ids."""

import numpy as np
from onnx import ModelProto
from onnx.helper import tensor_dtype_to_np_dtype

from nf_edge.backends.input_shape import INPUTS


def feed(model: ModelProto, input_ids: np.ndarray, attention_mask: np.ndarray) -> dict[str, np.ndarray]:
    """The model's inputs for a row.  A decoder reads the row as one prompt, with an empty cache."""
    feed = dict(zip(INPUTS, (input_ids, attention_mask), strict=True))
    for entry in model.graph.input:
        if entry.name not in INPUTS:
            shape = [dim.dim_value for dim in entry.type.tensor_type.shape.dim]
            past = len(shape) == 4
            dtype = tensor_dtype_to_np_dtype(entry.type.tensor_type.elem_type)
            feed[entry.name] = np.zeros(shape, dtype) if past else np.arange(input_ids.shape[1])[None]
    return feed
