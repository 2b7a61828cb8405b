"""Check before lowering that a model does not exceed the largest possible ONNX file."""

from math import prod

from nf_edge.core.errors import BadInput
from nf_edge.core.figures import format_bytes
from nf_edge.model import ModelConfig

# protobuf messages must be smaller than 2 GiB, and an ONNX file without external data is one message.
MOST_BYTES = 2**31 - 1
# No layer's nodes and names take as much; those of GPT-2's shape take 15 kB.
MOST_LAYER_BYTES = 10**6


def float32_bytes(config: ModelConfig, *, head_twice: bool) -> int:
    """Bytes of the model's weights in the float32 file, before quantization.

    Args:
        head_twice: whether a tied head is stored in addition to the token table.
    """
    values = sum(map(prod, config.tensor_shapes().values()))
    if head_twice and config.is_language_model and config.tie_word_embeddings:
        values += config.vocab_size * config.n_embd
    return 4 * values


def near_limit(weights: int, layers: int) -> bool:
    """Whether the graph may decide if an ONNX file can hold a model.

    Args:
        weights: bytes of the float32 weights.
        layers: number of layers.
    """
    return weights + (layers + 1) * MOST_LAYER_BYTES > MOST_BYTES


def require_size(weights: int, graph: int) -> None:
    """Check that an ONNX file can hold a model.

    Args:
        weights: bytes of the float32 weights.
        graph: bytes of the graph without weights.

    Raises:
        BadInput: the model is too large.
    """
    if weights + graph > MOST_BYTES:
        raise BadInput(
            f"the float32 weights take {format_bytes(weights)}, but an ONNX file can hold "
            f"at most {format_bytes(MOST_BYTES)}; an export writes float32 weights before it quantizes them",
            fix="use a recipe whose runtime is executorch, such as xnnpack-8da4w, or a smaller model",
        )
