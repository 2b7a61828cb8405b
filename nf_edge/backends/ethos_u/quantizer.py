"""Arm's quantizer for the Ethos-U, with the settings that the NPU program needs."""

from typing import Any

import torch

from nf_edge.backends.ethos_u.target import compile_spec, has_matrix_unit
from nf_edge.backends.static_shape.form import selects_token
from nf_edge.core.recipe.precision import Activations

# Arm's smallest scale, 2^-12, would use only few of the 65,535 levels for small values, such as mean squares.
LEAST_SCALE = 1e-9
LEVELS = torch.iinfo(torch.int16).max
# Operators that select tokens.
SUM = torch.ops.aten.sum.dim_IntList
PICKING = (torch.ops.aten.mul.Tensor, SUM)
# Products of two activations.
PRODUCTS = (torch.ops.aten.bmm.default, torch.ops.aten.matmul.default)


def npu_quantizer(target: str, activations: Activations, module: str | None = None) -> Any:
    """Arm's quantizer for a target: int8 weights per channel, int8 or int16 activations per tensor.

    Both operands of a product of two activations are int8 if the target cannot multiply int16.

    Args:
        module: name of the only module to quantize; None quantizes the complete program.
    """
    from executorch.backends.arm.quantizer import EthosUQuantizer, get_symmetric_quantization_config
    from torchao.quantization.pt2e.quantizer.quantizer import Q_ANNOTATION_KEY

    int8 = get_symmetric_quantization_config()
    narrowed = activations == "int16_static" and not has_matrix_unit(target)

    class Quantizer(EthosUQuantizer):
        def annotate(self, model: torch.fx.GraphModule) -> torch.fx.GraphModule:
            model = super().annotate(model)
            for node in model.graph.nodes:
                annotation = node.meta.get(Q_ANNOTATION_KEY)
                if annotation is None:
                    continue
                if selects_token(node):
                    _keep_scale(node, annotation)
                elif narrowed and node.target in PRODUCTS:
                    for factor in node.args:
                        annotation.input_qspec_map[factor] = int8.input_activation
            return model

    quantizer = Quantizer(compile_spec(target))
    config = int8 if activations == "int8_static" else _int16()
    return quantizer.set_global(config) if module is None else quantizer.set_module_name(module, config)


def _keep_scale(node: Any, annotation: Any) -> None:
    """Give selected tokens the scale of the tokens they come from, so that no value is rounded again.

    Operators that only move values, such as a slice, share the range observer of their input.  The product
    and the sum of `SelectTokenBySum` only copy the computed scale.  If they shared the observer, it would
    also count the product's values, which are nearly all zeros.  A histogram observer would then clip all
    other values.

    Args:
        node: an operator of the program's graph.
        annotation: the quantizer's settings for this operator, changed in place.
    """
    from torchao.quantization.pt2e.quantizer import DerivedQuantizationSpec, SharedQuantizationSpec
    from torchao.quantization.pt2e.quantizer.quantizer import Q_ANNOTATION_KEY

    if node.target not in PICKING:
        annotation.output_qspec = SharedQuantizationSpec((node.args[0], node))
        return
    product = node.args[0] if node.target == SUM else node
    source = product.args[0]
    input_spec = product.meta[Q_ANNOTATION_KEY].input_qspec_map[source]
    derived = DerivedQuantizationSpec(
        derived_from=[(source, product)],
        derive_qparams_fn=lambda observers: observers[0].calculate_qparams(),
        dtype=input_spec.dtype,
        quant_min=input_spec.quant_min,
        quant_max=input_spec.quant_max,
        qscheme=input_spec.qscheme,
    )
    annotation.output_qspec = derived
    if node is not product:
        annotation.input_qspec_map[product] = derived


def _int16() -> Any:
    """The configuration of int16 activations, symmetric about 0 as the NPU's lookup tables require.

    The range is the full range of the calibration inputs, because clipping costs more accuracy than large
    steps.
    """
    from executorch.backends.arm.quantizer import get_symmetric_a16w8_quantization_config
    from executorch.backends.arm.quantizer.quantization_config import TOSAQuantizationConfig
    from torchao.quantization.pt2e import MinMaxObserver
    from torchao.quantization.pt2e.quantizer import QuantizationSpec

    arm = get_symmetric_a16w8_quantization_config()
    activation = QuantizationSpec(
        dtype=torch.int16,
        quant_min=-LEVELS,
        quant_max=LEVELS,
        qscheme=torch.per_tensor_symmetric,
        observer_or_fake_quant_ctr=MinMaxObserver.with_args(eps=LEAST_SCALE),
    )
    return TOSAQuantizationConfig(activation, activation, arm.weight, arm.bias, "nf-edge, 16 bits")
