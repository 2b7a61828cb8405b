"""The workspace of XNNPACK, which all delegates of a program share.

Sources in github.com/google/XNNPACK: `xnn_plan_memory` in src/runtime.c places the tensors inside a delegate;
element-wise operators and the softmax write in place.  `reshape_batch_matrix_multiply_nc` in
src/operators/batch-matrix-multiply-nc.c packs the right factor, with a bias per column.
"""

from nf_edge.backends.input_shape import InputShape
from nf_edge.backends.precisions import Precisions
from nf_edge.model import ModelConfig

FLOAT = 4
# Private pages that the first run adds next to the workspace: stacks of threads, and small heap blocks.
# Measured with ExecuTorch 1.5.1 on x86-64, December 2026.
FIRST_RUN = 40_000
# XNN_ALLOCATION_ALIGNMENT, and XNN_EXTRA_BYTES before and after the workspace.
ALIGNMENT, EXTRA = 64, 2 * 16
# Bytes of a row of dynamically quantized activations: scale, zero point and sum.
ROW_PARAMETERS = 12


def matmul_workspace(config: ModelConfig, input_shape: InputShape) -> int:
    """Predict the bytes of XNNPACK's workspace for a program in which XNNPACK computes attention."""
    tokens, delegates = input_shape.length, []
    for layer, (heads, inner) in enumerate(config.layer_sizes):
        rows, one = _rows(config, input_shape, layer), tokens * heads * config.head_size
        # The delegate of a product packs the right factor, and first copies what comes from the cache.
        copies = 0 if not input_shape.cached else 2 if rows == 1 else 1
        product = [FLOAT * one] * copies + [FLOAT * (one + heads * tokens)]
        # Scores with the mask; the softmax returns its result in the arena.
        scores = FLOAT * heads * rows * tokens
        delegates.append(_mlp(config, rows, inner))
        if input_shape.dynamic_length:
            delegates += [_placed(*product), _placed(scores)]
        else:
            # One delegate has both products: values, their packed form and the result are next to the scores.
            delegates.append(_placed(scores, *[FLOAT * one] * 3))
    return max(delegates) + EXTRA + FIRST_RUN


def fused_workspace(config: ModelConfig, input_shape: InputShape, precision_of: Precisions) -> int:
    """Predict the bytes of XNNPACK's workspace for a program in which nf-edge's operators compute attention.

    Its delegates compute linear layers and residual sums.
    """
    tokens, delegates = input_shape.length, []
    for layer, (heads, inner) in enumerate(config.layer_sizes):
        rows, name = _rows(config, input_shape, layer), f"transformer.h.{layer}"
        projection = "c_kv" if config.attention == "symmetric" else "c_attn"
        if config.activation_function != "gelu_new":
            delegates.append(_mlp(config, rows, inner))
        for module, lines, inputs, outputs in (
            (f"{name}.attn.{projection}", tokens, config.n_embd, 0),
            (f"{name}.attn.c_proj", rows, heads * config.head_size, config.n_embd),
            (f"{name}.mlp.c_proj", rows, inner, config.n_embd),
        ):
            # If the weights fit the L2 cache, XNNPACK quantizes by row (`xnn_should_inline_lhs_packing` in
            # src/microkernel-utils.c).  Device files have no cache sizes, so the larger need counts.
            quantized = precision_of[module].activations != "none"
            read = lines * (inputs + ROW_PARAMETERS) if quantized else 0
            delegates.append(_placed(read, FLOAT * lines * outputs))
    return max(delegates) + EXTRA


def _rows(config: ModelConfig, input_shape: InputShape, layer: int) -> int:
    """The number of tokens that a layer computes outputs for."""
    last = layer == config.n_layer - 1
    return 1 if last and input_shape.outputs_one_token(config) else input_shape.length


def _mlp(config: ModelConfig, rows: int, inner: int) -> int:
    """Workspace bytes of an MLP of `rows` tokens: its first result, and the larger of the next tensors."""
    others = [inner, config.n_embd] if config.activation_function == "gelu_new" else [config.n_embd]
    return _placed(FLOAT * rows * inner, FLOAT * rows * max(others))


def _placed(*sizes: int) -> int:
    return sum(-(-size // ALIGNMENT) * ALIGNMENT for size in sizes)
