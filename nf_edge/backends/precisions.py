"""What a recipe makes of every linear layer and table of a model: the one place where that is decided."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from nf_edge.core.errors import BadInput
from nf_edge.core.recipe.precision import (
    NPU_LAYERS,
    POSITIONS,
    STATIC,
    TOKENS,
    Precision,
    Widths,
    kernels_of,
    stored_bits,
)
from nf_edge.core.recipe.recipe import Quantize, Recipe
from nf_edge.model.config import ModelConfig

HEAD = "lm_head"
# Modules whose outputs are the logits.
HEADS = (HEAD, "score")
# What the group sizes of XNNPACK are multiples of.
XNNPACK_GROUPS = 32

Precisions = Mapping[str, Precision]


def precisions(recipe: Recipe, config: ModelConfig) -> Precisions:
    """What each linear layer and each table gets, by name.

    Raises:
        BadInput: a rule of the recipe is for no module of the model, or never wins; lists all such.
    """
    shapes = config.matrix_shapes()
    how = recipe.quantize
    if how is None:
        return {name: Precision() for name in shapes}
    if problems := _idle(how, list(shapes)):
        raise BadInput.listing(
            problems,
            where=f"recipe {recipe.name}",
            fix=f"linear layers and tables of this model: {', '.join(shapes)}",
        )
    return {name: _precision(recipe, how, name, shape) for name, shape in shapes.items()}


def _idle(how: Quantize, names: Sequence[str]) -> list[str]:
    """What is wrong of rules that do nothing."""
    problems = []
    for index, rule in enumerate(how.rules):
        matched = [name for name in names if fnmatchcase(name, rule.modules)]
        told = f"quantize.rules.{index}: {rule.modules!r}"
        if not matched:
            problems.append(f"{told} is the name of no module")
        elif all(how.rule_for(name) is not rule for name in matched):
            earlier = {first.modules: None for name in matched if (first := how.rule_for(name))}
            problems.append(
                f"{told} never wins, for {', '.join(map(repr, earlier))} stands before it and has all of its "
                "modules; move it up, or remove it"
            )
    return problems


def _precision(recipe: Recipe, how: Quantize, name: str, shape: tuple[int, int]) -> Precision:
    """Of a layer [out, in] or a table [rows, columns]."""
    rule = how.rule_for(name)
    table, inputs = name == TOKENS, shape[1]
    wanted = how.table(rule) if table or name == POSITIONS else how.layer(rule)
    if wanted.bits is None:
        return wanted
    if inputs == 1 and wanted.activations not in STATIC:
        return Precision(reason="a scale for each of its weights takes more than rounding them saves")
    if name == POSITIONS:
        return _positions(recipe, wanted)
    channels = kernels_of(recipe.runtime, recipe.backend).channels
    if not table and any(size % channels for size in shape):
        return Precision(
            reason=f"kernels take {channels} channels at a time, and it is {shape[0]} by {inputs}"
        )
    unit = wanted.group
    if recipe.runtime == "executorch" and not table and wanted.bits <= 4:
        # To XNNPACK a channel of int4 is one long group.
        unit = unit or XNNPACK_GROUPS
    if unit and inputs % unit:
        reason = f"{unit} does not divide its {inputs} {'columns' if table else 'inputs'}"
        wanted = replace(wanted, bits=8, group=None, reason=reason)
        if recipe.runtime == "onnxruntime" and not table:
            # That multiplies int8 by channels with int8 only.
            wanted = replace(wanted, activations="int8_dynamic")
    if recipe.runtime == "executorch" and wanted.activations == "int8_static" and name in HEADS:
        reason = "a static int8 layer has int8 outputs, and 256 levels of logits would make ties"
        wanted = replace(wanted, activations="int8_dynamic", reason=reason)
    stored = stored_bits(wanted.bits or 0, wanted.group, widths(recipe, wanted, table=table))
    if stored is None and table:
        return Precision(reason=wanted.reason or _no_lookup(wanted))
    if stored is None:  # backends refuse such recipes
        raise ValueError(f"{recipe.runtime} has no {wanted}")
    if stored != wanted.bits:
        reason = f"{wanted.bits}-bit levels in int{stored}: a smaller compressed download, not a smaller file"
        wanted = replace(wanted, reason=reason)
    return replace(wanted, stored=stored)


def widths(recipe: Recipe, wanted: Precision, *, table: bool = False) -> Widths:
    """Bits that a layer or a table can take in the file."""
    kernels = kernels_of(recipe.runtime, recipe.backend)
    if table:
        return kernels.tables
    return NPU_LAYERS if wanted.activations == "int16_static" else kernels.layers


def _no_lookup(wanted: Precision) -> str:
    """Why a table is not kept as is wanted, where no kernel looks that up."""
    return f"no kernel looks up rows of int{wanted.bits}{'' if wanted.group else ' with one scale each'}"


def _positions(recipe: Recipe, wanted: Precision) -> Precision:
    """The position table has few rows, each of which is added to every text: symmetric int8, where
    quantized."""
    rows = Precision(8)
    if stored_bits(8, None, widths(recipe, rows, table=True)) is None:
        return Precision(reason=_no_lookup(rows))
    reason = "" if wanted.bits == 8 and wanted.symmetric else "few rows, each added to every text"
    return Precision(8, stored=8, reason=reason)


def shares_table(wanted: Precisions, config: ModelConfig) -> bool:
    """Whether a tied head and the token table are of one dtype, so that one copy of their weights can do."""
    tied = config.is_language_model and config.tie_word_embeddings
    return tied and wanted[HEAD].scaling == wanted[TOKENS].scaling
