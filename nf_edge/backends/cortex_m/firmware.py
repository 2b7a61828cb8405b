"""Code and stack of a firmware that runs a program with ExecuTorch's Cortex-M operators.

Measured in November 2026 with GCC 12.2, ExecuTorch at `-Os` (C++ code of August 2026), no log messages,
and only the file's operators registered.  The firmware of `digits` ran on emulated cores.  It had 170,448
bytes of code and constants for Cortex-M7, 1.3 % more for Cortex-M33, and 3.6 % less for Cortex-M55.  Each
portable kernel was linked for Cortex-M7 with and without the others; the sums differ from the linked
programs by at most 2 %.
"""

from collections.abc import Iterable

from nf_edge.backends.firmware import Firmware, input_bytes

# Linked bytes of each portable kernel.
KERNELS = {
    "aten::add.out": 6_160,
    "aten::amax.out": 7_760,
    "aten::cat.out": 8_288,
    "aten::constant_pad_nd.out": 9_112,
    "aten::div.out": 2_072,
    "aten::embedding.out": 528,
    "aten::le.Tensor_out": 4_656,
    "aten::mm.out": 2_456,
    "aten::mul.out": 4_960,
    "aten::native_layer_norm.out": 2_680,
    "aten::ne.Scalar_out": 3_400,
    "aten::permute_copy.out": 2_288,
    "aten::select_copy.int_out": 616,
    "aten::slice_copy.Tensor_out": 1_258,
    "aten::sub.out": 4_120,
    "aten::sum.IntList_out": 68_568,
    "dim_order_ops::_to_dim_order_copy.out": 12_920,
}
# The rest of the firmware: ExecuTorch's core, CMSIS-NN and its operators, the int8 embedding, the kernels'
# common code, the C library, and 2.5 kB that run the model.
BASE = 63_608
BASE_OPERATORS = ("cortex_m::", "quantized_decomposed::embedding_byte")
# The deepest stack in the runs on Cortex-M33, and the variables of `sst2`'s firmware.
STACK, VARIABLES = 2_160, 752
# Cortex-M33, the core with the largest code, needs more than Cortex-M7: in thousandths of its code.
CORTEX_M33 = 1_013
MEASURED = (
    "for Cortex-M33, from sizes measured in November 2026 with GCC 12.2 at -Os, without log messages, for "
    "only the file's operators; Cortex-M7 needs 1.3 % less"
)


def cortex_m_firmware(operators: Iterable[str], length: int) -> Firmware:
    """Estimate the code, stack and input buffers of the firmware for a program.

    Args:
        operators: names of the operators that the program calls.
        length: tokens of a row.
    """
    others = sorted(name for name in set(operators) if not name.startswith(BASE_OPERATORS))
    unknown = [name for name in others if name not in KERNELS]
    code = None if unknown else (BASE + sum(KERNELS[name] for name in others)) * CORTEX_M33 // 1_000
    note = f"the code size of {', '.join(unknown)} was not measured" if unknown else MEASURED
    return Firmware(code, STACK + VARIABLES, input_bytes(length), note)
