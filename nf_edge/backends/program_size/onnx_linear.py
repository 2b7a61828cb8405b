"""Predict the bytes of linear layers in an ONNX file: in float32, and after ONNX Runtime's quantizers."""

from nf_edge.backends.onnx.names import group_names, matrix_name
from nf_edge.backends.precisions import Precisions
from nf_edge.backends.program_size.protobuf import LARGE, Graph, Shape, integer
from nf_edge.core.recipe.precision import Precision

AXIS = integer("axis", 0)
# The dtype of `data_location`, which tensors have that were written as external data.
LOCATION = 2


class Linear:
    """Adds the nodes of linear layers to a `Graph`, which sums their bytes.

    Args:
        precision_of: the precision of each layer.
        rewritten: whether the file is quantized after the export.
    """

    def __init__(self, graph: Graph, precision_of: Precisions, rewritten: bool) -> None:
        self._graph, self._precisions = graph, precision_of
        per_channel = [each for each in precision_of.values() if each.stored and not each.group]
        self._by_ort = rewritten and any(each.activations != "none" for each in per_channel)
        self._rewritten: set[str] = set()

    @property
    def by_ort(self) -> bool:
        """Whether ONNX Runtime's quantizers write the file; they add fields to it."""
        return self._by_ort

    def parameter(self, name: str, shape: tuple[int, ...], size: int) -> str:
        """Add the bytes of a float32 constant of `size` bytes, without its data; return its name."""
        located = LOCATION if self._by_ort and size >= LARGE else 0
        return self._graph.constant(name, shape, size, extra=located)

    def product(self, x: str, module: str, shape: tuple[int, int], rows: Shape, bias: str) -> str:
        """Add the bytes of a linear layer with a bias, and return the name of its result.

        Args:
            x: the name of its input.
            module: the name of the layer.
            shape: [out, in] of its weights.
            rows: the shape of the result.
            bias: the name of the bias.
        """
        y = self._graph.value()
        self._multiply(x, module, shape, y, rows)
        return self._graph.node("Add", [y, bias], self._graph.name("linear"), rows)

    def head(
        self, x: str, module: str, output: str, shape: tuple[int, int], gemm: int, *, shown: bool = False
    ) -> None:
        """Add the bytes of a linear layer without a bias, whose result has the name `output`.

        Args:
            x: the name of its input.
            module: the name of the layer.
            shape: [out, in] of its weights.
            gemm: bytes of a Gemm's attributes; 0 if the exporter writes a MatMul.
            shown: whether the file lists the shape of the result.
        """
        rows = [1, shape[0]] if shown else None
        if self._precisions[module].stored is not None:
            self._multiply(x, module, shape, output, rows)
        elif gemm:
            self._graph.node("Gemm", [x, f"{module}.weight"], output, rows, gemm, "node_linear_8")
        else:
            self._multiply(x, module, shape, output, rows)
        if gemm and module == "score":
            self._graph.shape("score.weight", shape)
            if self._precisions[module].stored is None:
                self._graph.constant("score.weight", shape, 4 * shape[0] * shape[1], shown=False)

    def _multiply(self, x: str, module: str, shape: tuple[int, int], y: str, rows: Shape | None) -> None:
        graph, precision = self._graph, self._precisions[module]
        turned = (shape[1], shape[0])
        if module != "score":
            graph.shape("val_000", turned)
        if precision.stored is None:
            weight = graph.constant("val_00", turned, 4 * shape[0] * shape[1], shown=False)
            graph.node("MatMul", [x, weight], y, rows, name="node_MatMul_00")
        elif precision.group:
            self._by_groups(x, module, shape, y, rows, precision)
        elif precision.activations == "int8_static":
            self._static(x, module, shape, y, rows)
        else:
            self._dynamic(x, module, shape, y, rows)

    def _by_groups(
        self, x: str, module: str, shape: tuple[int, int], y: str, rows: Shape | None, precision: Precision
    ) -> None:
        graph, (out, inputs) = self._graph, shape
        bits, group = precision.stored or 8, precision.group or 1
        blocks = inputs // group
        attributes = sum(
            integer(name, value)
            for name, value in {"K": inputs, "N": out, "bits": bits, "block_size": group}.items()
        )
        if precision.activations != "none":
            attributes += integer("accuracy_level", 4)
        codes, scales, *zeros = group_names(matrix_name(module), precision)
        graph.constant(codes, [out, blocks, group * bits // 8], out * inputs * bits // 8, shown=False)
        graph.constant(scales, [out, blocks], 4 * out * blocks, shown=False)
        packed = -(-blocks * bits // 8)
        for name in zeros:
            graph.constant(name, [out, packed], out * packed, shown=False)
        names = [x, codes, scales, *zeros]
        graph.node("MatMulNBits", names, y, rows, attributes, module, "com.microsoft")

    def _matrix(self, module: str, shape: tuple[int, int]) -> list[str]:
        """Add the bytes of codes, scales and zero points of a matrix with a scale per channel; return their
        names.
        """
        out, inputs = shape
        name = matrix_name(module)
        parts = [f"{name}_quantized", f"{name}_scale", f"{name}_zero_point"]
        sizes = ((inputs, out), out * inputs), ((out,), 4 * out), ((out,), out)
        for part, (axes, size) in zip(parts, sizes, strict=True):
            self._graph.constant(part, axes, size, shown=False)
        return parts

    def _dynamic(self, x: str, module: str, shape: tuple[int, int], y: str, rows: Shape | None) -> None:
        graph = self._graph
        codes, scale, zero = self._matrix(module, shape)
        parts = [f"{x}_{part}" for part in ("quantized", "scale", "zero_point")]
        graph.node("DynamicQuantizeLinear", [x], parts, name=f"{x}_QuantizeLinear")
        scales, integers = f"{module}_quant_scales_mul", f"{y}_output_quantized"
        graph.node("Mul", [parts[1], scale], f"{scales}:0", name=scales)
        graph.node("MatMulInteger", [parts[0], codes, parts[2], zero], integers, name=f"{module}_quant")
        cast = f"{integers}_cast"
        graph.node("Cast", [integers], f"{cast}_output", None, integer("to", 1), cast)
        graph.node("Mul", [f"{cast}_output", f"{scales}:0"], y, rows, name=f"{module}_quant_output_scale_mul")

    def _static(self, x: str, module: str, shape: tuple[int, int], y: str, rows: Shape | None) -> None:
        graph = self._graph
        parts = self._matrix(module, shape)
        range_of = [f"{x}_scale", f"{x}_zero_point"]
        for name, size in zip(range_of, (4, 1), strict=True):
            graph.constant(name, [], size, shown=False)
        matrix = f"{matrix_name(module)}_DequantizeLinear"
        graph.node("DequantizeLinear", parts, f"{matrix}_Output", None, AXIS, matrix)
        codes, floats = f"{x}_QuantizeLinear", f"{x}_DequantizeLinear"
        graph.node("QuantizeLinear", [x, *range_of], f"{codes}_Output", name=codes)
        graph.node("DequantizeLinear", [f"{codes}_Output", *range_of], f"{floats}_Output", name=floats)
        graph.node("MatMul", [f"{floats}_Output", f"{matrix}_Output"], y, rows, name=module)
