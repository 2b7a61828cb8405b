"""Which examples every step of a training takes."""

import numpy as np
import torch

from nf_edge.training.examples import Examples

# What a random stream is for; each of a training's streams has its own seed.
ORDER, STEP = 0, 1


def seed_of(*parts: int) -> int:
    """The seed of one random stream, told from all others by its parts."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0])


class Order:
    """Each pass goes over the examples in an order of its own, which depends on seed and pass alone.

    The remainder that fills no batch is left out of a pass; fewer examples than a batch are all taken.

    Args:
        bucket: sort the examples of so many batches by length before they are cut into batches, and mix
            those batches; None leaves a pass as it was drawn.
    """

    def __init__(self, examples: Examples, size: int, bucket: int | None, seed: int) -> None:
        self._examples, self._size, self._bucket, self._seed = examples, size, bucket, seed
        self._steps_per_pass = max(1, len(examples) // size)
        self._pass, self._batches = -1, list[list[int]]()

    def __getitem__(self, step: int) -> list[int]:
        """Indices of the examples of a step, the first step being 0."""
        if step // self._steps_per_pass != self._pass:
            self._pass = step // self._steps_per_pass
            self._batches = self._draw()
        return self._batches[step % self._steps_per_pass]

    def _draw(self) -> list[list[int]]:
        generator = torch.Generator().manual_seed(seed_of(self._seed, ORDER, self._pass))
        count = self._steps_per_pass * self._size
        order = torch.randperm(len(self._examples), generator=generator)[:count].tolist()
        if self._bucket is not None:
            pool = self._bucket * self._size
            pools = [order[start : start + pool] for start in range(0, count, pool)]
            order = [index for each in pools for index in sorted(each, key=self._examples.length)]
        batches = [order[start : start + self._size] for start in range(0, count, self._size)]
        if self._bucket is not None:
            batches = [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]
        return batches
