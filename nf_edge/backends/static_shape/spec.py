"""The recipes that static-shape backends accept, and the memory of their files."""

from dataclasses import dataclass

from nf_edge.backends.firmware import Firmware
from nf_edge.backends.memory_plan import MemoryPlan
from nf_edge.backends.support import PER_CHANNEL, Kernel, Support
from nf_edge.core.recipe.precision import Activations
from nf_edge.core.recipe.recipe import Recipe

# The start of a note about the figures of a firmware.
FIRMWARE_NOTE = "code and stack: "


def static_support(
    backend: str, targets: tuple[str, ...], activations: tuple[Activations, ...] = ("int8_static",)
) -> Support:
    """The `Support` of a static-shape backend, whose linear layers have int8 weights per channel.

    Args:
        targets: the accelerators or cores to compile for; a recipe must name one.
        activations: the dtypes of activations that the backend supports.
    """
    return Support(
        backend=backend,
        runtime="executorch",
        layers=(Kernel(8, (8,), PER_CHANNEL, activations),),
        targets=targets,
        dynamic_length=False,
        float_layers=False,
        mixed_static="none",
    )


@dataclass(frozen=True)
class Pools:
    """The pools that a program's application provides, in bytes.

    Attributes:
        arenas: the planned memory, which holds tensors and the scratch memory of kernels.
        method: the method allocator, which holds the loaded program's objects.
        temporary: the temporary allocator, for loading and for delegates.
    """

    arenas: int
    method: int
    temporary: int


def account(
    program: int,
    weights: int,
    embeddings: int,
    pools: Pools,
    firmware: Firmware,
    notes: tuple[str, ...] = (),
    counted: frozenset[str] = frozenset(),
) -> MemoryPlan:
    """The memory plan of a file that the application reads in place: all of it is mapped, and none is copied.

    `program`, `weights` and `embeddings` are the bytes of the file's parts.
    """
    return MemoryPlan(
        program=program,
        weights=weights,
        embeddings=embeddings,
        mapped=program + weights + embeddings,
        loaded=pools.method,
        cache=0,
        arenas=pools.arenas,
        workspace=pools.temporary,
        notes=notes,
        firmware=firmware,
        counted=counted,
    )


def static_activations(recipe: Recipe) -> Activations:
    """The activations of a recipe's linear layers; the recipe must have a `quantize` section."""
    assert recipe.quantize is not None
    return recipe.quantize.activations


def query_blocks(queries: int, rows: int | None) -> list[tuple[int, int]]:
    """Split queries into blocks of at most `rows`; return each block's (first, end).  If `rows` is None,
    there is one block.
    """
    rows = rows or queries
    return [(low, min(low + rows, queries)) for low in range(0, queries, rows)]
