"""The predicted memory of a process that runs a model in ONNX Runtime on a CPU, with glibc's malloc."""

from dataclasses import dataclass

from nf_edge.backends.input_shape import CacheDtype, InputShape
from nf_edge.backends.onnx.allocation.activations import Products, Run, tape_of
from nf_edge.backends.onnx.allocation.constants import constants_of
from nf_edge.backends.onnx.allocation.session import Session
from nf_edge.backends.onnx.allocation.tape import Tape
from nf_edge.backends.precisions import Precisions
from nf_edge.core.recipe.precision import TOKENS, Precision
from nf_edge.model import ModelConfig

# Bytes of a session's graph and kernels, and of each layer's by the products of its linear layers.  They are
# measured on models of 2 to 12 layers (ONNX Runtime 1.32, x86-64, December 2026).  Integer products have more
# operators.
SESSION_BASE = 1_660_000
SESSION_LAYER: dict[Products, int] = {
    "float32": 150_000,
    "int4": 230_000,
    "int8_dynamic": 290_000,
    "int8_static": 320_000,
}
# Private pages that the first run adds next to activations: stacks of threads, and small heap blocks.
FIRST_RUN = 130_000
# Steps after the prompt of the largest input.
STEPS = 2
# Caches that a growing context holds: the past, the present, and blocks that a longer present does not fit.
GROWING_CACHES = 3


@dataclass(frozen=True)
class ProcessMemory:
    """The predicted memory of a process in bytes, without the runtime's libraries.

    Attributes:
        loaded: heap in use after load.
        freed: heap that loading freed and malloc keeps.
        grown: bytes that runs of the largest input add, including the cache.
        load_peak: the peak while the model loads.
    """

    loaded: int
    freed: int
    grown: int
    load_peak: int


def process_memory(
    config: ModelConfig, input_shape: InputShape, precision_of: Precisions, cache: CacheDtype | None
) -> ProcessMemory:
    """Predict the memory of a process: simulate a session that loads the model and runs its largest input.

    Args:
        cache: dtype of the model's cache; None without one.
    """
    constants = constants_of(config, precision_of)
    structures = structure_bytes(config, precision_of)
    session = Session(constants, sum(each.bytes for each in constants), structures)
    heap, length = session.heap, input_shape.length
    loaded, freed, load_peak = heap.resident, heap.free_resident, heap.peak
    heap.restart_peak()
    if cache is None:
        # The second run of a shape uses the memory pattern that the first one recorded.
        tape = tape_of(_run(config, input_shape, precision_of, cache, length, 0))
        for _ in range(2):
            session.run(tape, 0)
        return ProcessMemory(loaded - freed, freed, FIRST_RUN + heap.peak - loaded, load_peak)
    prompt = max(1, length - STEPS)
    for past, tokens in [(0, prompt), *((past, 1) for past in range(prompt, length))]:
        session.run(tape_of(_run(config, input_shape, precision_of, cache, tokens, past)), past + tokens)
    grown = heap.peak - loaded
    # Regions in free heap add no pages.
    reused = max(0, session.arena.touched - grown)
    growing = GROWING_CACHES * cached_bytes(config, cache, length) - reused
    return ProcessMemory(loaded - freed, freed, FIRST_RUN + max(grown, growing), load_peak)


def largest_tape(
    config: ModelConfig, input_shape: InputShape, precision_of: Precisions, cache: CacheDtype | None
) -> Tape:
    """The operators of a run with the largest input: for a model with a cache, a prompt of all positions."""
    return tape_of(_run(config, input_shape, precision_of, cache, input_shape.length, 0))


def structure_bytes(config: ModelConfig, precision_of: Precisions) -> int:
    """Estimate the bytes of a session's graph and kernels, without weights and activations."""
    layers = [_layer_products(precision_of, layer) for layer in range(config.n_layer)]
    return SESSION_BASE + sum(max(SESSION_LAYER[each] for each in products) for products in layers)


def cached_bytes(config: ModelConfig, cache: CacheDtype, length: int) -> int:
    """Bytes of the keys and values of `length` positions, in all layers."""
    item = 1 if cache.dtype == "int8" else 4
    return sum(2 * heads * config.head_size * length * item for heads, _ in config.layer_sizes)


def _run(
    config: ModelConfig,
    input_shape: InputShape,
    precision_of: Precisions,
    cache: CacheDtype | None,
    tokens: int,
    past: int,
) -> Run:
    products = set().union(*(_layer_products(precision_of, layer) for layer in range(config.n_layer)))
    return Run(
        rows=input_shape.rows,
        tokens=tokens,
        past=past,
        layers=tuple(config.layer_sizes),
        hidden=config.n_embd,
        head_size=config.head_size,
        rank=config.noise.rank or 0,
        noise=config.noise.kind,
        products=products.pop() if len(products) == 1 else "int8_static",
        tables=precision_of[TOKENS].stored is not None,
        gelu=config.activation_function != "relu",
        outputs=config.vocab_size if config.is_language_model else config.num_labels or 1,
        cache_bytes=0 if cache is None else 1 if cache.dtype == "int8" else 4,
        symmetric=config.attention == "symmetric",
        causal=config.causal,
        all_logits=config.is_language_model and cache is None,
        one_token=config.outputs_one_token and not config.is_language_model,
    )


def _layer_products(precision_of: Precisions, layer: int) -> set[Products]:
    """The dtypes in which the linear layers of one layer of the network multiply."""
    block = f"transformer.h.{layer}."
    return {_products(precision) for name, precision in precision_of.items() if name.startswith(block)}


def _products(precision: Precision) -> Products:
    if precision.stored is None:
        return "float32"
    if precision.group is not None:
        return "int4"
    return "int8_static" if precision.activations == "int8_static" else "int8_dynamic"
