"""Find the first layer that differs between an artifact's file and the file from lowering again."""

from pathlib import Path

import torch

from nf_edge.backends.input_shape import Inputs
from nf_edge.backends.taps import Tapped
from nf_edge.core.progress import Progress, silent
from nf_edge.measure.accuracy.layer_sums import ErrorSums, real_values

# The same instructions on the same values differ by less than this share of the squared output.
ROUNDING = 1e-10


def first_different(
    tapped: Tapped, made: Path, file: Path, inputs: Inputs, progress: Progress = silent
) -> str:
    """Find the first layer, in the order of the run, whose output differs between two files.

    Args:
        tapped: reads the outputs of each layer from a model file.
        made: the file from lowering the checkpoint again.
        file: the artifact's file, known to differ from `made`.
        inputs: token ids and mask of each row.

    Returns:
        The layer's name; "" if no output that can be read differs.
    """
    if tapped.opened is None:
        return ""
    of_made, of_file = tapped.opened(made), tapped.opened(file)
    sums: dict[str, ErrorSums] = {}
    lacking: set[str] = set()
    for index, (ids, mask) in enumerate(inputs):
        row, real = (torch.from_numpy(ids), torch.from_numpy(mask)), int(mask.sum())
        reference = tapped.reference(row)
        expected, actual = of_made(row, reference), of_file(row, reference)
        for name in (name for name in reference if name in expected):
            layer = sums.setdefault(name, ErrorSums())
            if name not in actual or actual[name].shape != expected[name].shape:
                lacking.add(name)
            else:
                layer.add(real_values(expected[name], real), real_values(actual[name], real))
        progress("comparing both files", index + 1, len(inputs))
    # Written so that NaN differs.
    return next((name for name, layer in sums.items() if name in lacking or not layer.ratio <= ROUNDING), "")
