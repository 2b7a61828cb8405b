"""Names of tensors in an ONNX model."""

from nf_edge.core.recipe.precision import Precision

# Prefix of the names of a cache's inputs, as Hugging Face's optimum has it.
PAST = "past_key_values."


def matrix_name(module: str) -> str:
    """The name of a linear layer's matrix [in, out]; the names of its quantized parts start with it."""
    return f"{module}.matrix"


def group_names(matrix: str, precision: Precision) -> list[str]:
    """Names of the codes, scales and, if asymmetric, zero points of a matrix that is quantized by groups."""
    zeros = [] if precision.symmetric else [f"{matrix}_zero_points"]
    return [f"{matrix}_Q{precision.stored}", f"{matrix}_scales", *zeros]
