"""The forms of the network that backends lower."""

from nf_edge.backends.coreml.form import EngineProgram
from nf_edge.backends.cortex_m.form import cortex_m_program
from nf_edge.backends.ethos_u.form import fold, npu_program
from nf_edge.backends.qnn.form import Whole, exportable, specialise
from nf_edge.model.attention_forms import HIDDEN_IN_HALF, FloatMaskForm


def fold_scale(model):
    for block in model.transformer.blocks:
        block.attn.fold_scale()


def mask_in_half(model):
    model.transformer.form = FloatMaskForm(hidden=HIDDEN_IN_HALF)


# How a network is changed in place, and what program is made of it.
FORMS = {
    "Ethos-U": (fold, npu_program),
    "CMSIS-NN": (fold_scale, cortex_m_program),
    "Neural Engine": (fold_scale, EngineProgram),
    "HTP": (specialise, lambda model, length: Whole(exportable(model, length))),
    "Vulkan": (mask_in_half, lambda model, length: model),
}
