"""Predict the bytes of a `.pte` of backend nf_cpu, without its weights and tables.

The constants below count the objects in programs that the backend lowered.  Each layer adds the same objects.
"""

from collections import Counter

from nf_edge.backends.executorch.constant_methods import constant_methods
from nf_edge.backends.input_shape import CacheDtype
from nf_edge.backends.precisions import Precisions
from nf_edge.backends.program_size.pieces import counts
from nf_edge.backends.program_size.pte import XnnpackProgram
from nf_edge.core.recipe.precision import POSITIONS, TOKENS
from nf_edge.model.config import ModelConfig

# Norm, projection, attention, projection and sum, norm, and MLP.  Norms and attention are operators.
LAYER = counts(
    "activation3:6 call2:1 call3:2 call6:2 constant1:4 delegate:3 flag:1 node3:2 nothing:4 number:4 "
    "text7:2 value3:11"
)
# With a cache: keys, values and lengths as further arguments.
UNCACHED, CACHED = counts("call14:1"), counts("activation3:2 call17:1")
SCALES = counts("activation2:2")
NOISE = {
    "none": counts(""),
    "lowrank": counts("constant3:2"),
    "pairwise": counts("constant3:1"),
    "relative": counts("constant2:1"),
}
# gelu_new is an operator between two delegates; gelu is a node; XNNPACK fuses relu with the layer before it.
ACTIVATION = {
    "gelu_new": counts("activation3:2 call2:1 call3:1 delegate:1 value3:1"),
    "gelu": counts("node2:1 value3:1"),
    "relu": counts(""),
}
# A lookup, from a float32 and from a quantized table.
FLOAT_TABLE = counts("call7:1 constant2:1 nothing:3")
TABLE = counts("call9:1 constant2:2 number:2")
# Everything else: positions, the sum of embeddings, the last norm, the selected token, and the head.
CACHED_MODEL = counts(
    "activation1:3 activation2:2 activation3:5 call2:1 call3:2 call5:2 call6:1 call7:1 constant1:2 "
    "delegate:2 node3:1 nothing:2 number:10 value2:1 value3:4"
)
MODEL = counts(
    "activation1:2 activation2:3 activation3:5 call2:1 call3:2 call5:1 call6:2 constant1:2 delegate:2 "
    "node3:1 nothing:8 number:6 numbers1:1 value2:1 value3:4"
)
FIRST = counts(
    "activation1:2 activation2:5 activation3:4 call2:1 call3:2 call5:2 call6:2 call7:1 constant1:2 "
    "delegate:2 node3:1 nothing:12 number:10 numbers1:1 value2:3 value3:2"
)
LAST = counts(
    "activation1:5 activation2:6 activation3:4 call2:1 call3:2 call4:2 call5:4 call6:3 constant0:1 "
    "constant1:2 delegate:2 flag:2 node3:1 nothing:8 number:12 numbers1:2 tensors2:1 value2:3 value3:2"
)
MEAN = counts(
    "activation1:2 activation2:7 activation3:5 call3:4 call5:3 call6:4 constant1:2 delegate:3 flag:2 "
    "node2:1 node3:2 nothing:9 number:10 numbers1:3 numbers2:1 shape3:1 value2:6 value3:5"
)
# The mask of a classifier that skips pad tokens, and its operators.
SKIPPED_PADS = counts(
    "activation1:1 activation2:7 call4:4 call5:4 flag:1 nothing:5 number:5 numbers1:1 numbers2:2"
)
SKIPPING = (
    "aten::ne.Scalar_out",
    "dim_order_ops::_to_dim_order_copy.out",
    "aten::mul.out",
    "aten::amax.out",
    "aten::le.Tensor_out",
)
OPERATORS = (
    "aten::sym_size.int",
    "aten::sum.IntList_out",
    "aten::arange.start_out",
    "nf::layer_norm.out",
    "nf::symmetric_attention.out",
    "nf::gelu_new.out",
    "aten::slice_copy.Tensor_out",
)
LOOKUPS = {None: "aten::embedding.out", 2: "quantized_decomposed::embedding_2bit.dtype_out"}
LOOKUPS |= {4: "quantized_decomposed::embedding_4bit.dtype_out"}
LOOKUPS |= {8: "quantized_decomposed::embedding_byte.dtype_out"}


def nf_bytes(config: ModelConfig, precision_of: Precisions, cache: CacheDtype | None) -> int:
    """Predict the bytes of a file without its weights and tables.

    Args:
        cache: dtype of the model's cache; None without a cache.
    """
    total = _model(config, cached=cache is not None)
    layer = LAYER + NOISE[config.noise.kind] + ACTIVATION[config.activation_function]
    layer += UNCACHED if cache is None else CACHED
    if cache is not None and cache.dtype == "int8":
        layer += SCALES
    for kind, count in layer.items():
        total[kind] += config.n_layer * count
    joined = config.activation_function != "gelu_new"
    return program_of(total, config, precision_of, cache, OPERATORS, joined).size(config, precision_of)


def program_of(
    total: Counter[str],
    config: ModelConfig,
    precision_of: Precisions,
    cache: CacheDtype | None,
    operators: tuple[str, ...],
    joined: bool,
) -> XnnpackProgram:
    """Describe a program that has these objects, the lookups of both embedding tables and the mask of pads.

    Args:
        total: the number of each kind of object; the further objects are added in place.
        cache: dtype of the model's cache; None without a cache.
        operators: names of the operators, except those of the further objects.
        joined: whether one delegate has both linear layers of an MLP.
    """
    tables = [precision_of[name].stored for name in (TOKENS, POSITIONS)]
    for bits in tables:
        total.update(FLOAT_TABLE if bits is None else TABLE)
    if config.pooled_token == "last_not_pad" and not config.is_language_model:
        total.update(SKIPPED_PADS)
        operators = (*operators, *SKIPPING)
    names = (*operators, *dict.fromkeys(LOOKUPS[bits] for bits in tables))
    methods = tuple(constant_methods(config, config.n_positions)) if cache is not None else ()
    return XnnpackProgram(total, names, joined, methods)


def _model(config: ModelConfig, cached: bool) -> Counter[str]:
    if config.is_language_model:
        return Counter(CACHED_MODEL if cached else MODEL)
    if config.pooled_token == "mean":
        return Counter(MEAN)
    return Counter(FIRST if config.pooled_token == "first" else LAST)
