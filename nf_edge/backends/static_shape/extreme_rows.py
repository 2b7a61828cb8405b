"""The longest and the shortest row, which calibrated ranges must cover."""

import numpy as np

from nf_edge.backends.input_shape import Inputs


def extreme_rows(calibration_inputs: Inputs, length: int) -> Inputs:
    """Make the longest and the shortest possible row from tokens of the calibration inputs.

    All calibration inputs may be short, and some values depend on the number of tokens.
    """
    tokens = np.concatenate([ids[mask == 1] for ids, mask in calibration_inputs])
    longest, one = np.resize(tokens, (1, length)), np.arange(length)[None] < 1
    return [
        (longest, np.ones_like(longest)),
        (np.where(one, longest, calibration_inputs[0][0][0, -1]), one.astype(np.int64)),
    ]
