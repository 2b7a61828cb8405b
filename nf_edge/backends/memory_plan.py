"""The memory of an artifact, by its parts."""

from dataclasses import dataclass

from nf_edge.backends.firmware import Firmware


@dataclass(frozen=True)
class RuntimeMemory:
    """Resident bytes of a process for the runtime's libraries and start-up, measured on x86-64 Linux.

    Attributes:
        total: all bytes, once a model has run; None if unknown.
        private: the part that processes cannot share; 0 if it is small or unknown.
        at_load: the part that is resident while a model loads, before its first run; None: all of it.
    """

    total: int | None = None
    private: int = 0
    at_load: int | None = None


FILE = frozenset({"program", "weights", "embeddings"})
"""The parts of a file."""


@dataclass(frozen=True)
class MemoryPlan:
    """The memory of an artifact, in bytes; None if the runtime decides it at run time.

    Attributes:
        program: graph and metadata in the file.
        weights: constants in the file that are not embedding tables.
        embeddings: token and position tables in the file.
        mapped: pages of the file that stay in memory while the process runs it.
        loaded: heap in use after load.  It holds the runtime's form of the graph, and packed weights.  If the
            file is not mapped, it holds all weights.
        freed: heap that loading freed and the C library keeps in memory.
        cache: keys and values of a language model with all positions filled.
        arenas: activations, planned before the run.
        workspace: memory that kernels and delegates allocate at the first run.
        load_peak: the peak of loading, without the runtime; it includes copies that loading frees.
        notes: remarks for the user.
        firmware: the rest of a microcontroller's firmware; None if the file does not run on one.
        counted: parts of the file that a prediction counts as the writer lays them out.  Other predicted
            parts are estimates from models that were measured.

    All other figures of the process are for the largest input.
    """

    program: int
    weights: int
    embeddings: int
    mapped: int
    loaded: int | None
    cache: int | None
    arenas: int | None
    workspace: int | None
    freed: int | None = 0
    load_peak: int | None = None
    notes: tuple[str, ...] = ()
    firmware: Firmware | None = None
    counted: frozenset[str] = frozenset()

    @property
    def file(self) -> int:
        return self.program + self.weights + self.embeddings
