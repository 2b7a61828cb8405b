"""Predict the bytes of a `.pte` of backend xnnpack, without its weights and tables.

The object counts are those of programs that the backend lowered.  Each layer adds the same objects.  The
precision of linear layers changes only these layers.  Some parts count less than zero: a last layer for one
token has fewer delegates than other layers.
"""

from collections import Counter

from nf_edge.backends.input_shape import CacheDtype
from nf_edge.backends.precisions import Precisions
from nf_edge.backends.program_size.nf_program import program_of
from nf_edge.backends.program_size.pieces import counts
from nf_edge.model.config import ModelConfig

# A layer with symmetric attention, no noise and gelu_new, which XNNPACK computes from seven operators.
LAYER = counts(
    "activation3:18 activation4:8 call2:3 call3:12 call5:3 call9:2 constant0:2 constant1:4 delegate:8 "
    "node2:2 node3:10 number:29 numbers1:2 numbers2:1 numbers3:5 numbers4:4 shape3:1 shape4:3 "
    "tensors2:2 tensors3:2 value1:2 value3:24 value4:10"
)
NOISE = {
    "none": counts(""),
    "lowrank": counts(
        "activation3:5 activation4:7 call3:6 call5:5 constant3:2 delegate:3 node3:3 nothing:4 number:24 "
        "numbers3:2 numbers4:6 shape3:3 value3:8 value4:5"
    ),
    "pairwise": counts(
        "activation3:2 activation4:4 call3:4 call5:2 constant3:1 delegate:2 node3:2 nothing:1 number:12 "
        "numbers3:1 numbers4:3 shape3:1 value3:3 value4:4"
    ),
    "relative": counts(
        "activation1:1 activation2:3 activation3:1 call3:1 call4:2 call5:1 call6:1 constant2:1 node3:1 "
        "nothing:1 number:3 tensors2:1 value3:1 value4:1"
    ),
}
STANDARD = counts(
    "activation3:1 activation4:2 call2:-1 call3:1 call4:1 number:4 numbers2:-1 numbers3:1 numbers4:1 "
    "shape4:1 tensors2:-2 tensors3:2 value4:2"
)
ACTIVATION = {
    "gelu_new": counts(""),
    "gelu": counts("constant0:-2 node3:-5 number:-1 value1:-2 value3:-5"),
    "relu": counts("constant0:-2 node2:-1 node3:-5 number:-1 value1:-2 value3:-6"),
}
CACHED = counts(
    "activation3:-2 activation4:2 call3:-2 call5:2 nothing:2 number:-4 numbers3:-2 shape3:2 tensors3:2 "
    "value4:2"
)
# Everything else: positions, masks, the sum of embeddings, the last norm and the head.
CACHED_MODEL = counts(
    "activation0:4 activation1:6 activation2:8 activation3:4 activation4:1 call3:-3 call4:10 call5:6 "
    "call6:1 call7:3 call9:1 constant1:2 delegate:-2 node3:1 nothing:13 number:16 numbers1:1 "
    "numbers3:-3 numbers4:-2 shape3:3 shape4:4 tensors3:1 value2:1 value3:4 value4:3"
)
MODEL = counts(
    "activation0:2 activation1:2 activation2:6 activation3:8 activation4:5 call2:1 call3:4 call4:9 "
    "call5:3 call9:1 constant1:2 delegate:2 node3:1 nothing:9 number:12 numbers1:1 tensors3:1 value2:1 "
    "value3:4"
)
FIRST = counts(
    "activation0:4 activation1:1 activation2:5 activation3:3 activation4:3 call4:5 call5:1 call6:2 "
    "call7:2 call9:1 constant1:2 delegate:-2 node3:1 nothing:11 number:9 numbers1:1 numbers3:-3 "
    "numbers4:-2 shape3:3 shape4:4 tensors3:1 value2:3 value3:2 value4:3"
)
LAST = counts(
    "activation0:4 activation1:6 activation2:7 activation3:7 activation4:7 call2:-1 call3:-2 call4:17 "
    "call5:9 call7:1 call9:1 constant0:1 constant1:2 delegate:-2 node3:1 nothing:14 number:13 "
    "numbers1:2 numbers3:-3 numbers4:-2 shape3:3 shape4:5 tensors2:2 tensors3:1 value2:3 value3:1 "
    "value4:5"
)
MEAN = counts(
    "activation0:2 activation1:2 activation2:10 activation3:9 activation4:5 call3:6 call4:9 call5:5 "
    "call6:2 call9:1 constant1:2 delegate:3 flag:2 node2:1 node3:2 nothing:12 number:16 numbers1:3 "
    "numbers2:1 shape3:1 tensors3:1 value2:6 value3:5"
)
# Without causal order there is one mask, not two.
BIDIRECTIONAL = counts(
    "activation1:-1 activation2:-3 activation3:-1 activation4:-2 call4:-6 call5:-1 nothing:-1 number:-3"
)
OPERATORS = (
    "aten::arange.start_out",
    "aten::scalar_tensor.out",
    "aten::expand_copy.out",
    "aten::sym_size.int",
    "aten::unsqueeze_copy.out",
    "aten::sum.IntList_out",
    "aten::slice_copy.Tensor_out",
    "aten::le.Tensor_out",
    "aten::native_layer_norm.out",
    "aten::where.self_out",
    "aten::split_with_sizes_copy.out",
    "executorch_prim::et_view.default",
)


def xnnpack_bytes(config: ModelConfig, precision_of: Precisions, cache: CacheDtype | None) -> int:
    """Predict the bytes of a file without its weights and tables.

    Args:
        cache: dtype of the model's cache; None without a cache.
    """
    total = _model(config, cached=cache is not None)
    parts = [LAYER, NOISE[config.noise.kind], ACTIVATION[config.activation_function]]
    if config.attention == "standard":
        parts.append(STANDARD)
    if cache is not None:
        parts.append(CACHED)
    for part in parts:
        for kind, count in part.items():
            total[kind] += config.n_layer * count
    return program_of(total, config, precision_of, cache, OPERATORS, joined=True).size(config, precision_of)


def _model(config: ModelConfig, cached: bool) -> Counter[str]:
    if config.is_language_model:
        return Counter(CACHED_MODEL if cached else MODEL)
    if config.pooled_token == "mean":
        total = Counter(MEAN)
        if not config.causal:
            total.update(BIDIRECTIONAL)
        return total
    return Counter(FIRST if config.pooled_token == "first" else LAST)
