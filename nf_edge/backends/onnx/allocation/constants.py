"""The constants of an ONNX file, in the order in which a session loads and packs them.

Which kernels pack, and the bytes of a packed matrix, are from ONNX Runtime's `PrePack` functions: `MatMul`
and `Gemm` (core/providers/cpu/math), `MatMulInteger`, `DynamicQuantizeMatMul` and `MatMulIntegerToFloat`
(`MatMulIntegerBase`), and `MatMulNBits` (contrib_ops/cpu/quantization).  All of them free the original,
unless another operator reads it; `Gather` and `GatherBlockQuantized` read a tied head's table.
"""

from collections.abc import Iterator

from nf_edge.backends.onnx.allocation.session import Constant
from nf_edge.backends.precisions import HEAD, Precisions, shares_table
from nf_edge.core.recipe.precision import POSITIONS, TOKENS, Precision
from nf_edge.model import ModelConfig

FLOAT = 4
# Small blocks may lie in the gaps between aligned blocks, so that freed neighbours never join.  It depends on
# the address where the system starts the heap.  With float32 weights, the last matrix of a layer then finds
# no free block that it fits in, and up to 12 times its bytes stay free in GPT-2's shape.  The prediction is
# for this case.
ALONE = "mlp.c_proj"
# MLAS packs blocks of 16 outputs (`MlasGemmPackBSize`), for integers also of 4 inputs.
OUTPUTS, INPUTS = 16, 4
# The head is packed after all layers.
LAST = 1


def constants_of(config: ModelConfig, precision_of: Precisions) -> list[Constant]:
    """The weights and tables of an ONNX file, in the order of the file."""
    shapes = config.matrix_shapes()
    tables = [shapes.pop(TOKENS), shapes.pop(POSITIONS)]
    shared = shares_table(precision_of, config)
    head = shapes.pop(HEAD, None) if shared else None
    layers = [
        constant for name, shape in shapes.items() for constant in _matrix(name, shape, precision_of[name])
    ]
    tokens = list(_table(tables[0], precision_of[TOKENS], None if head is None else precision_of[HEAD]))
    positions = list(_table(tables[1], precision_of[POSITIONS], None))
    # Rounded tables are written anew, behind the layers.
    rounded = precision_of[TOKENS].stored is not None
    return [*layers, *tokens, *positions] if rounded else [*tokens, *positions, *layers]


def _blocks(size: int, block: int) -> int:
    return -(-size // block) * block


def packed_bytes(shape: tuple[int, int], precision: Precision) -> int:
    """Bytes of a linear layer's matrix [out, in] after ONNX Runtime has packed it."""
    outputs, inputs = shape
    if precision.stored is None:
        return FLOAT * _blocks(outputs, OUTPUTS) * inputs
    if precision.group is not None:
        return outputs * inputs * precision.stored // 8
    # Each output also has the sum of its weights.
    return _blocks(outputs, OUTPUTS) * (_blocks(inputs, INPUTS) + FLOAT)


def _matrix(name: str, shape: tuple[int, int], precision: Precision) -> Iterator[Constant]:
    outputs, inputs = shape
    copies = (packed_bytes(shape, precision),)
    if precision.stored is None:
        yield Constant(FLOAT * outputs * inputs, copies, keeps=False, fresh=name.endswith(ALONE))
    elif precision.group is not None:
        yield Constant(outputs * inputs * precision.stored // 8, copies, keeps=False)
        yield Constant(FLOAT * outputs * (inputs // precision.group))
    else:
        yield Constant(FLOAT * outputs)
        yield Constant(outputs * inputs, copies, keeps=False, behind=True)


def _table(shape: tuple[int, int], precision: Precision, head: Precision | None) -> Iterator[Constant]:
    """An embedding table and its scales; `head` is the precision of a tied head that packs a copy of the
    table.
    """
    rows, columns = shape
    copies = () if head is None else (packed_bytes(shape, head),)
    if precision.stored is None:
        yield Constant(FLOAT * rows * columns, copies, order=LAST)
        return
    size = rows * columns * precision.stored // 8
    # An integer product reads the transposed table, which is computed at load.
    folded = size if head is not None and precision.group is None else 0
    yield Constant(size, copies, folded=folded, order=LAST)
    yield Constant(FLOAT * rows * (columns // (precision.group or columns)))
