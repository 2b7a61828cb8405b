"""Advice for a layer with a large error: more bits, or no quantization. `sensitivity` measures what helps."""

import re
from collections.abc import Container
from dataclasses import replace

from nf_edge.core.errors import EXPORT_AGAIN
from nf_edge.core.figures import format_number
from nf_edge.core.progress import Progress
from nf_edge.core.recipe.recipe import Recipe, load_recipe
from nf_edge.core.resources import names
from nf_edge.measure.accuracy.layers import LayerError
from nf_edge.model.data.rows import Rows
from nf_edge.pipeline.lowering import Job
from nf_edge.pipeline.mixed_precision.costs import Cost, Unit, UnitCosts
from nf_edge.pipeline.mixed_precision.sensitivity import SensitivityJob, sensitivity, units_of

# Rows to measure the sensitivity of one layer on.
ROWS = 32
# A precision with this share of the cost is worth its bytes.
WORTH = 0.1
# Part of a projection in a backend's program → the network's linear layer.
PARTS = re.compile(r"\.(q|k|v)$")
AGAIN = f"the file is not what the recipe gives, so another precision does not help: {EXPORT_AGAIN}"


def module_of(layer: str, modules: Container[str]) -> str:
    """The name of the network's module to which a layer belongs; a backend may split one into Q, K and V.

    Args:
        modules: the names of the network's modules.
    """
    names = (PARTS.sub(projection, layer) for projection in (".c_kv", ".c_attn"))
    return next((name for name in names if name in modules), layer)


def remedy_for(
    layer: LayerError,
    job: Job,
    rows: Rows,
    calibrate: Rows | None,
    progress: Progress,
) -> str:
    """What the user can do about a layer that adds too much error, in words.

    Args:
        job: the lowering of the checkpoint, with its recipe.
        rows: rows to measure the layer's sensitivity to quantization on; the first `ROWS` are used.
        calibrate: the calibration rows; None: the checkpoint's examples.
    """
    if job.recipe.quantize is None:
        return "the recipe quantizes nothing, so this is an error of the lowering or of the runtime"
    modules = job.checkpoint.config.matrix_shapes()
    module = module_of(layer.name, modules)
    unit = next((unit for unit in units_of(job.checkpoint.config) if module in unit.modules), None)
    if layer.name.endswith(".attn") and (keys := _integer_keys(job.recipe)):
        return f"in section `quantize` of the recipe, write {keys}"
    if unit is None:
        return f"the layer has no weights, only activations; use {wider_recipe(job.recipe)}"
    if not job.backend.support.float_layers:
        return f"backend {job.backend.name} gives all layers one precision; use {wider_recipe(job.recipe)}"
    few = replace(rows, rows=rows.rows[:ROWS])
    measured = sensitivity(SensitivityJob(job.checkpoint, job.recipe, few, calibrate), progress, [unit])
    return _advice(unit, job, measured.units[0]) if measured.units else _rule(unit, "float32")


def _integer_keys(recipe: Recipe) -> str:
    """The keys that make attention and cache compute in float32, such as `attention: float32`.

    "" if the recipe sets neither of them to int8.
    """
    assert recipe.quantize is not None
    keys = {"attention": recipe.quantize.attention, "kv_cache": recipe.quantize.kv_cache}
    return " and ".join(f"{key}: float32" for key, dtype in keys.items() if dtype == "int8")


def wider_recipe(recipe: Recipe) -> str:
    """The kind of recipe to use instead, in words.

    It is a bundled recipe of the same backend and target with int16 activations; if there is none or the
    recipe has them already, any recipe with float activations.
    """
    named = [load_recipe(name) for name in names("recipes")]
    same = [each for each in named if (each.backend, each.target) == (recipe.backend, recipe.target)]
    wider = [each.name for each in same if each.quantize and each.quantize.activations == "int16_static"]
    if wider and not (recipe.quantize and recipe.quantize.activations == "int16_static"):
        return f"recipe {wider[0]}, whose activations are int16"
    return "a recipe with float activations"


def _advice(unit: Unit, job: Job, costs: UnitCosts) -> str:
    bits = job.precisions[unit.modules[0]].bits or 32
    now = next((cost for cost in costs.costs if _bits(cost) <= bits), None)
    if now is None:
        return f"leave the layer in floating point: add the rule {_rule(unit, 'float32')}"
    wider = [cost for cost in costs.usable if _bits(cost) > bits and cost.kl <= WORTH * now.kl]
    measured = f"quantized alone, {now.dtype} costs {format_number(now.kl, '.2g')} nats"
    if wider:
        best = min(wider, key=_bits)
        return f"{measured}, {best.dtype} only {best.kl:.2g}: add the rule {_rule(unit, best.rule.weights)}"
    rule = _rule(unit, "float32")
    return f"{measured}, and no wider integer costs less than a tenth of that: add the rule {rule}"


def _bits(cost: Cost) -> int:
    return int(cost.rule.weights.removeprefix("int"))


def _rule(unit: Unit, weights: str) -> str:
    """Text for a recipe: one rule per module of a unit, which gives the module the dtype `weights`."""
    return ", ".join(f"{{modules: {module}, weights: {weights}}}" for module in unit.modules)
