"""Predict the bytes of an ONNX file without weights, from the nodes that PyTorch's exporter writes.

The order and the names are those of a file that `backends/onnx/cpu.py` lowers (PyTorch 2.13).
"""

from dataclasses import dataclass

from nf_edge.backends.input_shape import CacheDtype, InputShape
from nf_edge.backends.precisions import Precisions, shares_table
from nf_edge.backends.program_size import onnx_tables
from nf_edge.backends.program_size.onnx_linear import Linear
from nf_edge.backends.program_size.protobuf import Graph, Shape, integer, integers, real
from nf_edge.model.config import ModelConfig

MICROSOFT = "com.microsoft"
# Version, producer, opsets and the graph's name; ONNX Runtime's quantizers add a domain and a property.
MODEL, QUANTIZED = 64, 34
RESHAPE = integer("allowzero", 0)
AXIS = integer("axis", 0)
REDUCE = integer("noop_with_empty_axes", 0) + integer("keepdims", 0)
NORM = integer("stash_type", 1) + real("epsilon") + integer("axis", -1)
GEMM = real("alpha") + real("beta") + integer("transA", 0) + integer("transB", 1)


@dataclass(frozen=True)
class Axes:
    """The axes of a program's tensors; each is a number if its length is fixed, else a name.

    Attributes:
        batch: the rows.
        length: the tokens of a row.
    """

    batch: int | str
    length: int | str

    @classmethod
    def of(cls, input_shape: InputShape) -> "Axes":
        length: int | str = input_shape.length
        if input_shape.dynamic_length and input_shape.length > 1:
            length = "s00" if input_shape.cached else "length"
        return cls("batch" if input_shape.any_batch else 1, length)


class OnnxGraph:
    """Adds the nodes of a model to a `Graph`, which sums their bytes."""

    def __init__(
        self,
        config: ModelConfig,
        input_shape: InputShape,
        precision_of: Precisions,
        cache: CacheDtype | None,
    ) -> None:
        self.config, self.precisions, self.cache = config, precision_of, cache
        self.axes, self.graph = Axes.of(input_shape), Graph()
        quantized = any(precision_of[name].stored is not None for name in precision_of)
        self.linear = Linear(self.graph, precision_of, quantized)
        self.prefix = "model." if cache is not None else ""
        self.small = 0

    def index(self, name: str, length: int = 1, axes: int = 1) -> str:
        """Add the bytes of an int64 constant, such as the shape that a Reshape reads, and return its name.

        Args:
            length: number of values.
            axes: number of axes; 0 is a scalar.
        """
        self.small += 8 * length
        return self.graph.constant(name, [length] * axes, 8 * length)

    def parameter(self, name: str, shape: tuple[int, ...]) -> str:
        size = 4
        for axis in shape:
            size *= axis
        return self.linear.parameter(self.prefix + name, shape, size)

    def norm(self, x: str, module: str, shape: Shape) -> str:
        width = (self.config.n_embd,)
        parts = [self.parameter(f"{module}.{part}", width) for part in ("weight", "bias")]
        return self.graph.node("LayerNormalization", [x, *parts], self.graph.name("layer_norm"), shape, NORM)

    def reshape(self, x: str, shape: Shape, to: str) -> str:
        return self.graph.node("Reshape", [x, to], self.graph.name("view"), shape, RESHAPE)

    def transpose(self, x: str, shape: Shape, base: str = "transpose") -> str:
        # The exporter numbers each transposition of the program, and drops every second one.
        self.graph.name(base)
        return self.graph.node(
            "Transpose", [x], self.graph.name(base), shape, integers("perm", *range(len(shape)))
        )

    def inputs(self) -> str:
        """Add the bytes of the inputs, the mask and both embedding lookups; return the name of the
        embeddings' sum.
        """
        graph, axes, width = self.graph, self.axes, self.config.n_embd
        self.index("val_6", axes=0)
        if self.cache is not None:
            lengths = {"input_ids": axes.length, "attention_mask": "s00", "position_ids": axes.length}
            for name, length in lengths.items():
                graph.shape(name, [1, length])
            graph.node("Gather", ["position_ids", "val_6"], "select", [axes.length], AXIS)
            self.index("val_71")
            graph.node("ReduceSum", ["attention_mask", "val_71"], "sum_1", [1], REDUCE)
            graph.node("Cast", ["sum_1"], "_to_copy", [1], integer("to", 6))
            graph.constant("scalar_tensor_default", [], 4)
            graph.node("Sub", ["_to_copy", "scalar_tensor_default"], "sub_4", [1])
            graph.node("Add", ["sub_4", "scalar_tensor_default"], "add_71", [1])
            self.index("val_41")
            graph.node("Squeeze", ["add_71", "val_41"], "squeeze", [])
            for name in ("val_52", "val_136"):
                self.index(name, 4)
            selection = "select"
        else:
            for name in ("input_ids", "attention_mask"):
                graph.shape(name, [axes.batch, axes.length])
            graph.node("Cast", ["attention_mask"], "_to_copy", [axes.batch, axes.length], integer("to", 6))
            selection = self._lengths()
        rows = [axes.batch, axes.length, width]
        onnx_tables.tokens(self, rows, shares_table(self.precisions, self.config))
        onnx_tables.positions(self, [axes.length, width], selection)
        return graph.node("Add", ["embedding", "embedding_1"], graph.sum_name(), rows)

    def _lengths(self) -> str:
        """Add the bytes of nodes that compute shapes at run time; return the name of the position numbers.

        The name is "" if the number of tokens is fixed.
        """
        graph, axes = self.graph, self.axes
        for axis, length in enumerate((axes.batch, axes.length), start=2):
            if isinstance(length, str):
                extent = integer("end", 1) + integer("start", 0) + 1
                graph.node("Shape", ["attention_mask"], f"val_{axis}", [1], extent, f"node_Shape_{axis}")
        for name in ("val_18", "val_19", "val_32", "val_52"):
            self.index(name)
        if not isinstance(axes.length, str):
            return ""
        graph.node("Squeeze", ["val_3"], "sym_size_int_10", [])
        self.index("val_8", axes=0)
        graph.node("Range", ["val_6", "sym_size_int_10", "val_8"], "arange_1", [axes.length])
        concat = graph.node("Concat", ["val_2", "val_3", "val_18", "val_19"], "val_20", [4], AXIS)
        for operands in (["val_2", "val_3", "val_32"], ["val_2", "val_52", "val_32"]):
            graph.node("Concat", operands, "val_33", [3], AXIS, f"{concat}_node")
        return "arange_1"

    def head(self, x: str) -> None:
        """Add the bytes of the nodes after the last norm: pooling, the head, and the outputs.

        Args:
            x: the name of the norm's result.
        """
        graph, config, axes = self.graph, self.config, self.axes
        if not config.is_language_model:
            graph.shape("logits", [axes.batch, config.num_labels or 0])
            if config.pooled_token == "mean":
                x = self._mean(x)
            else:
                x = graph.node("Gather", [x, "val_6"], "select", [axes.batch, config.n_embd], AXIS)
            self.linear.head(x, "score", "logits", (config.num_labels or 0, config.n_embd), GEMM)
            return
        rows = [axes.batch, axes.length, config.vocab_size]
        if self.cache is None:
            graph.shape("logits", rows)
            self.linear.head(x, "lm_head", "logits", (config.vocab_size, config.n_embd), 0)
            return
        graph.shape("logits", [1, 1, config.vocab_size])
        x = graph.node("Gather", [x, "val_6"], "select_1", [1, config.n_embd], AXIS)
        self.linear.head(x, "lm_head", "linear_8", (config.vocab_size, config.n_embd), GEMM, shown=True)
        graph.node("Unsqueeze", ["linear_8", "val_71"], "logits", name="node_unsqueeze")

    def _mean(self, x: str) -> str:
        graph, axes, width = self.graph, self.axes, self.config.n_embd
        rows, one = [axes.batch, axes.length], [axes.batch, 1]
        graph.node("Cast", ["attention_mask"], "_to_copy_1", rows, integer("to", 1))
        graph.node("Unsqueeze", ["_to_copy_1", "val_18"], "unsqueeze", [*rows, 1])
        graph.node("Mul", [x, "unsqueeze"], "mul_273", [*rows, width])
        self.index("val_116")
        graph.node("ReduceSum", ["mul_273", "val_116"], "sum_1", [*one, width], REDUCE)
        graph.node("Gather", ["sum_1", "val_6"], "select", [axes.batch, width], AXIS)
        graph.node("ReduceSum", ["_to_copy_1", "val_116"], "sum_2", one, REDUCE)
        return graph.node("Div", ["select", "sum_2"], "div", [axes.batch, width])
