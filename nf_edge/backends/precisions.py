"""Decide the precision of every linear layer and table.  All other modules read it from here."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from nf_edge.backends import backend_spec
from nf_edge.backends.support import Kernel, Support
from nf_edge.core.errors import BadInput
from nf_edge.core.recipe.precision import POSITIONS, STATIC, TOKENS, Precision
from nf_edge.core.recipe.quantize import Quantize
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.model.config import ModelConfig

HEAD = "lm_head"
# Modules that compute the logits.
HEADS = (HEAD, "score")

Precisions = Mapping[str, Precision]


def precisions(recipe: Recipe, config: ModelConfig) -> Precisions:
    """Map the name of each linear layer and table to its precision.

    Raises:
        BadInput: a rule of the recipe matches no module or never applies; the message lists all such rules.
    """
    shapes = config.matrix_shapes()
    quantize = recipe.quantize
    if quantize is None:
        return {name: Precision() for name in shapes}
    if problems := _idle_rules(quantize, list(shapes)):
        raise BadInput.listing(
            problems,
            where=f"recipe {recipe.name}",
            fix=f"the linear layers and tables of this model are: {', '.join(shapes)}",
        )
    support = backend_spec(recipe.backend).support
    return {name: _precision(quantize, support, name, shape) for name, shape in shapes.items()}


def _idle_rules(quantize: Quantize, names: Sequence[str]) -> list[str]:
    """A message for each rule that matches no module, or that never applies."""
    problems = []
    for index, rule in enumerate(quantize.rules):
        matched = [name for name in names if fnmatchcase(name, rule.modules)]
        key = f"quantize.rules.{index}: {rule.modules!r}"
        if not matched:
            problems.append(f"{key} matches no module; correct or remove it")
        elif all(quantize.rule_for(name) is not rule for name in matched):
            earlier = {first.modules: None for name in matched if (first := quantize.rule_for(name))}
            verb = "comes first and matches" if len(earlier) == 1 else "come first and match"
            problems.append(
                f"{key} never applies, because {', '.join(map(repr, earlier))} {verb} the same modules; move "
                "it up, or remove it"
            )
    return problems


def _precision(quantize: Quantize, support: Support, name: str, shape: tuple[int, int]) -> Precision:
    """The precision of a layer [out, in] or a table [rows, columns], from the recipe and the backend's
    kernels.
    """
    rule = quantize.rule_for(name)
    if name in (TOKENS, POSITIONS):
        requested = quantize.table(rule)
        if requested.bits is None:
            return requested
        if shape[1] == 1:
            return ONE_COLUMN
        return _positions(support, requested) if name == POSITIONS else _tokens(support, requested, shape[1])
    requested = quantize.layer(rule)
    if requested.bits is None:
        return requested
    if shape[1] == 1 and requested.activations not in STATIC:
        return ONE_COLUMN
    return _layer(support, name, requested, shape)


ONE_COLUMN = Precision(reason="one scale per weight would need more space than rounding saves")


def _layer(support: Support, name: str, requested: Precision, shape: tuple[int, int]) -> Precision:
    channels, inputs = support.channels, shape[1]
    if any(size % channels for size in shape):
        return Precision(
            reason=f"kernels need multiples of {channels} channels, and this layer is {shape[0]} by {inputs}"
        )
    precision = requested
    kernel = support.layer_kernel(requested)
    unit = requested.group or (kernel.multiple if kernel else 1)
    if inputs % unit:
        reason = f"its {inputs} inputs are not a multiple of {unit}"
        precision = replace(requested, bits=8, group=None, reason=reason)
        if support.layer_kernel(precision) is None:
            precision = replace(precision, activations="int8_dynamic")
    if precision.activations == "int8_static" and name in HEADS and not support.float_logits:
        reason = "a static int8 layer has int8 outputs, and logits with 256 levels would have ties"
        precision = replace(precision, activations="int8_dynamic", reason=reason)
        if support.layer_kernel(precision) is None:
            precision = replace(precision, activations="none")
    kernel = support.layer_kernel(precision)
    if kernel is None:  # `incompatibilities` rejects recipes that request it
        raise ValueError(f"{support.backend} has no kernel for {precision}")
    return _stored(precision, kernel)


def _tokens(support: Support, requested: Precision, columns: int) -> Precision:
    precision = requested
    if requested.group and columns % requested.group:
        reason = f"its {columns} columns are not a multiple of {requested.group}"
        precision = replace(requested, bits=8, group=None, reason=reason)
    kernel = support.table_kernel(precision)
    if kernel is None:
        return Precision(reason=precision.reason or _no_lookup(precision))
    return _stored(precision, kernel)


def _positions(support: Support, requested: Precision) -> Precision:
    """The precision of the position table: symmetric int8 if the backend has a kernel for it, else float32.

    The table is small, and every text uses its rows, so fewer bits would cost more accuracy than they save.
    """
    rows = Precision(8)
    if support.table_kernel(rows) is None:
        return Precision(reason=_no_lookup(rows))
    reason = "" if requested.bits == 8 and requested.symmetric else "few rows, and every text uses them"
    return Precision(8, stored=8, reason=reason)


def _stored(precision: Precision, kernel: Kernel) -> Precision:
    """The precision as the kernel stores it: `stored` has the bits, and `reason` explains a wider type."""
    reason = precision.reason
    if kernel.stored != precision.bits:
        reason = (
            f"{precision.bits}-bit values stored as int{kernel.stored}: the compressed download is smaller, "
            "the file is not"
        )
    return replace(precision, stored=kernel.stored, reason=reason)


def _no_lookup(precision: Precision) -> str:
    """The reason why a table stays in floating point: no kernel looks up rows of this precision."""
    return (
        f"no kernel looks up int{precision.bits} rows{'' if precision.group else ' with one scale per row'}"
    )


def shares_table(precision_of: Precisions, config: ModelConfig) -> bool:
    """Whether a tied head and the token table have the same precision, so that the file needs one copy."""
    tied = config.is_language_model and config.tie_word_embeddings
    return tied and precision_of[HEAD].scaling == precision_of[TOKENS].scaling
