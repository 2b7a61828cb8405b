"""Memory that products need on cores with SME, whose kernels (KleidiAI) pack the left factor too."""

from nf_edge.backends.input_shape import InputShape
from nf_edge.core.device.processor import Processor
from nf_edge.model import ModelConfig

FLOAT = 4


def packed_inputs(config: ModelConfig, input_shape: InputShape, processor: Processor) -> int:
    """An upper bound of the bytes of packed factors; 0 on a processor without SME.

    It is the widest input of a linear layer in float32 (`kai_get_lhs_packed_size_*` of KleidiAI), and both
    factors of one head's product.  On an emulated core `shakespeare` in float32 needed less: 79 % of it in
    ONNX Runtime, and 19 % in XNNPACK.
    """
    if not processor.may_have("sme"):
        return 0
    tokens = input_shape.length
    inner = max(inner for _, inner in config.layer_sizes)
    return FLOAT * tokens * (inner + tokens + config.head_size)
