"""The memory of an artifact, by its parts."""

from dataclasses import dataclass


@dataclass(frozen=True)
class MemoryPlan:
    """The memory of an artifact, in bytes; None where the runtime decides at run time.

    The file:
      program     graph and metadata
      weights     constants that are not embedding tables
      embeddings  token and position tables
    The process that runs it, at its largest input:
      mapped      pages of the file that stay in use while it runs
      loaded      heap taken at load: the runtime's form of the graph, and packed weights or, where the
                  file is not mapped, all weights
      cache       keys and values of a language model's tokens, all positions taken
      arenas      activations, planned before they are needed
      workspace   what kernels and delegates take for themselves at the first run
      loading     by how much the peak at load stands above all of these: pages of the file that a delegate
                  copies, and gives back
    """

    program: int
    weights: int
    embeddings: int
    mapped: int
    loaded: int
    cache: int | None
    arenas: int | None
    workspace: int | None
    loading: int = 0
    notes: tuple[str, ...] = ()

    @property
    def file(self) -> int:
        return self.program + self.weights + self.embeddings
