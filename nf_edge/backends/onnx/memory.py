"""The predicted memory of a model in ONNX Runtime."""

from nf_edge.backends.input_shape import CacheDtype, InputShape
from nf_edge.backends.memory_plan import FILE, MemoryPlan
from nf_edge.backends.onnx.process_memory import cached_bytes, process_memory
from nf_edge.backends.precisions import precisions, shares_table
from nf_edge.backends.program_size.onnx_layers import onnx_bytes
from nf_edge.backends.tensor_sizes import sizes_of
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.model import ModelConfig


def predicted(
    config: ModelConfig, input_shape: InputShape, recipe: Recipe, cache: CacheDtype | None
) -> MemoryPlan:
    """Predict the memory plan of an artifact before lowering; `cache` is None for a model without a cache."""
    sizes, precision_of = sizes_of(config, input_shape.length), precisions(recipe, config)
    # A channel has a float32 scale and an int8 zero point; a group has a float32 scale.
    weights = sizes.linear_bytes(precision_of, channel_bytes=5, group_bytes=4)
    constants = weights + 4 * (sizes.biases + sizes.others)
    tables = sizes.table_bytes(precision_of)
    process = process_memory(config, input_shape, precision_of, cache)
    cached = cached_bytes(config, cache, input_shape.length) if cache else 0
    small = 4 * (sizes.biases + sizes.others)
    # A small cache lies in heap that loading freed.
    in_free_heap = max(0, cached - process.grown)
    # In the file a tied head of the same dtype is the table itself; the runtime packs a copy at load.
    shared = shares_table(precision_of, config)
    return MemoryPlan(
        program=onnx_bytes(config, input_shape, precision_of, cache),
        weights=constants - (sizes.token_bytes(precision_of) if shared else 0),
        embeddings=tables,
        mapped=0,
        loaded=process.loaded + small,
        cache=cached,
        arenas=process.grown - cached + in_free_heap,
        workspace=0,
        freed=process.freed - in_free_heap,
        load_peak=process.load_peak + small,
        notes=tuple(tied_head(config, in_file=not shared)),
        counted=FILE,
    )


def tied_head(config: ModelConfig, in_file: bool) -> list[str]:
    if not (config.is_language_model and config.tie_word_embeddings):
        return []
    size = config.vocab_size * config.n_embd
    if in_file:
        return [
            f"the tied embedding ({size:,} values) is stored twice: as table, and in another dtype as head"
        ]
    return [
        f"the tied embedding ({size:,} values) is stored once, but ONNX Runtime packs a copy for the head "
        "when it loads"
    ]
