"""Instructions of the Cortex-M operators, per multiply-accumulate or per element of the result.

Measured in November 2026 with `digits`, by operator, on emulated cores that count instructions (QEMU 7.2,
GCC 12.2, ExecuTorch at `-Os`, CMSIS-NN at `-Ofast`): 24.9 million on a Cortex-M7, 13.4 million on a
Cortex-M55.  Instructions are not cycles: the emulator models no pipeline, cache or flash.  For `sst2` on the
Cortex-M7 they predict 40.4 million; 36.3 million were measured.
"""

from nf_edge.backends.coverage.work import Cost, Costs

MEASURED = "costs measured with digits on an emulated {core}, November 2026; instructions are not cycles"
ADVICE = {
    "softmax": "it grows with heads × tokens²: fewer tokens (shapes.length) or fewer heads reduce it most",
    "quantized_conv2d_nhwc": "linear layers: a narrower model or narrower MLPs reduce them (see pruning)",
    "quantized_add": "noise, masks and padding add to all scores, which grow with heads × tokens²",
    "quantized_batch_matmul": "the products of attention grow with tokens²: fewer tokens reduce them most",
}


def _costs(
    core: str, softmax: float, linear: float, add: float, product: float, norm: float, others: float
) -> Costs:
    known = {
        "softmax": Cost(softmax, "element"),
        "quantized_conv2d_nhwc": Cost(linear, "mac"),
        "quantized_add": Cost(add, "element"),
        "quantized_batch_matmul": Cost(product, "mac"),
        "native_layer_norm": Cost(norm, "element"),
    }
    return Costs(MEASURED.format(core=core), known, Cost(others, "element"), ADVICE)


# By target.  GCC 12.2 does not vectorise CMSIS-NN's softmax for the Cortex-M55.
COSTS = {
    "cortex-m-dsp": _costs("Cortex-M7", 525, 2.07, 82, 3.18, 23.1, 12.4),
    "cortex-m-mve": _costs("Cortex-M55", 548, 0.40, 14.4, 0.99, 24.9, 8.0),
}
