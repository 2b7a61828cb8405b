"""Rows that calibrated ranges have to cover, whatever rows they are taken from."""

import numpy as np

from nf_edge.backends.input_shape import Inputs


def extremes(calibration_inputs: Inputs, length: int) -> Inputs:
    """The longest and the shortest row that there can be, of tokens of those given: what is calibrated on may
    be short, and some values depend on how many tokens there are."""
    tokens = np.concatenate([ids[mask == 1] for ids, mask in calibration_inputs])
    longest, one = np.resize(tokens, (1, length)), np.arange(length)[None] < 1
    return [
        (longest, np.ones_like(longest)),
        (np.where(one, longest, calibration_inputs[0][0][0, -1]), one.astype(np.int64)),
    ]
