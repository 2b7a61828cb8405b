"""The random order in which training takes the examples, reproducible from a seed."""

import numpy as np
import torch

from nf_edge.training.examples import Examples

# The purposes of random numbers in training; each purpose has its own random stream and seed.
ORDER, STEP = 0, 1


def seed_of(*parts: int) -> int:
    """The seed of a random stream, derived from the numbers that identify the stream."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0])


class Order:
    """The random order of the examples in each pass; it depends only on the seed and the pass.

    A pass leaves out the remainder that does not fill a batch.  If there are fewer examples than `size`, each
    step takes all of them.

    Args:
        size: number of examples per step.
        bucket: number of batches per bucket.  The examples of a bucket are sorted by length, so the examples
            of a batch have similar lengths.  All batches are then shuffled.  None: no sorting.
    """

    def __init__(self, examples: Examples, size: int, bucket: int | None, seed: int) -> None:
        self._examples, self._size, self._bucket, self._seed = examples, size, bucket, seed
        self._steps_per_pass = max(1, len(examples) // size)
        self._pass, self._batches = -1, list[list[int]]()

    def __getitem__(self, step: int) -> list[int]:
        """Indices of the examples of a step; the first step is 0."""
        if step // self._steps_per_pass != self._pass:
            self._pass = step // self._steps_per_pass
            self._batches = self._draw()
        return self._batches[step % self._steps_per_pass]

    def _draw(self) -> list[list[int]]:
        generator = torch.Generator().manual_seed(seed_of(self._seed, ORDER, self._pass))
        count = self._steps_per_pass * self._size
        order = torch.randperm(len(self._examples), generator=generator)[:count].tolist()
        if self._bucket is not None:
            size_of_pool = self._bucket * self._size
            pools = [order[start : start + size_of_pool] for start in range(0, count, size_of_pool)]
            order = [index for each in pools for index in sorted(each, key=self._examples.length)]
        batches = [order[start : start + self._size] for start in range(0, count, self._size)]
        if self._bucket is not None:
            batches = [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]
        return batches
