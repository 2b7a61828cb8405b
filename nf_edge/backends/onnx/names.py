"""What an ONNX model calls the parts of a quantized matrix."""

from nf_edge.core.recipe.precision import Precision


def matrix_name(module: str) -> str:
    """What an ONNX model calls the matrix [in, out] of a linear layer that is to be quantized; what it is
    replaced by is called this and more."""
    return f"{module}.matrix"


def group_names(matrix: str, precision: Precision) -> list[str]:
    """What it calls the parts of a matrix of its that is quantized by groups: codes, scales, and zero points
    where it has some."""
    zeros = [] if precision.symmetric else [f"{matrix}_zero_points"]
    return [f"{matrix}_Q{precision.stored}", f"{matrix}_scales", *zeros]
