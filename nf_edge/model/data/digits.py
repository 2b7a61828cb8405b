"""The `digits` data set: handwritten digits of 8×8 pixels that ship with scikit-learn.

A pixel's intensity, 0 to 16, is its token id.  An image is a sequence of 64 tokens, row by row from the top
left, with a vocabulary of 17.

Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning
Repository, 1998, https://doi.org/10.24432/C50P49 (CC BY 4.0); scikit-learn has its 1,797 test images.
"""

from typing import Any

import numpy as np

SPLITS = ("train", "valid", "test")
SIDE, INTENSITIES = 8, 17


def digits(split: str) -> list[dict[str, Any]]:
    """The rows of a split: {"input_ids": 64 ints of 0…16, "label": 0…9}.

    `test` has a third of the rows (599), and no model or setting is chosen by it.  `valid` has a fifth of the
    remainder.
    The split is by row and stratified by label.  A writer's digits may be in all three splits, so scores do
    not cover new writers.
    """
    from sklearn.datasets import load_digits

    data = load_digits()
    images = data.images.reshape(-1, SIDE * SIDE).astype(int)
    return [
        {"input_ids": images[i].tolist(), "label": int(data.target[i])}
        for i in _split_indices(data.target)[split]
    ]


def _split_indices(labels: np.ndarray) -> dict[str, list[int]]:
    # RandomState gives the same numbers in every NumPy version, so `test` always has the same rows.
    random = np.random.RandomState(0)
    parts: dict[str, list[int]] = {split: [] for split in SPLITS}
    for label in np.unique(labels):
        rows = random.permutation(np.flatnonzero(labels == label))
        test = round(len(rows) / 3)
        valid = test + (len(rows) - test) // 5
        for split, chosen in zip(SPLITS, (rows[valid:], rows[test:valid], rows[:test]), strict=True):
            parts[split] += chosen.tolist()
    return {split: sorted(chosen) for split, chosen in parts.items()}
