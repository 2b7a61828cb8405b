"""Uniform recipes, with one precision for all modules, which a mixture must beat."""

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from nf_edge.backends.precisions import precisions
from nf_edge.core.errors import BadInput
from nf_edge.core.recipe.precision import granularity_of
from nf_edge.core.recipe.quantize import Quantize
from nf_edge.core.recipe.recipe import Recipe, bundled_recipes
from nf_edge.model import ModelConfig
from nf_edge.pipeline.mixed_precision.recipe import uniform, weight_choices


@dataclass(frozen=True)
class Uniform:
    """A uniform recipe, and its label: the name of a recipe, or a precision."""

    label: str
    recipe: Recipe


def uniform_recipes(base: Recipe, config: ModelConfig, name: str) -> list[Uniform]:
    """The uniform variants of a recipe, including the recipe itself.

    A variant has the `quantize` section of a bundled recipe of the same backend, or one precision for all
    modules. No two variants have the same effect on the model.

    Args:
        name: the name that all variants get, because the best one may be written to the recipe file.
    """
    assert base.quantize is not None
    sections: dict[str, Quantize | None] = {
        each.name: each.quantize
        for each in bundled_recipes()
        if (each.backend, each.target) == (base.backend, base.target) and not each.shrinks
    }
    sections[base.name] = base.quantize
    for rule in weight_choices(base):
        words = granularity_of(base.quantize.layer(rule).group).replace("_", " ")
        sections[f"{rule.weights} {words} for all"] = uniform(base, rule).quantize
    recipes: list[Uniform] = []
    effects: list[Any] = []
    for label, section in sections.items():
        description = f"as {label}; no mixture of precisions that was tried was better"
        changes = {"name": name, "description": description, "quantize": section}
        try:
            recipe = Recipe.model_validate(base.model_copy(update=changes).model_dump())
            effect = _effect(recipe, config)
        except (ValidationError, BadInput):  # for example, its int8 cache does not suit the base
            continue
        if effect not in effects:
            recipes.append(Uniform(label, recipe))
            effects.append(effect)
    return recipes


def _effect(recipe: Recipe, config: ModelConfig) -> Any:
    """A value that is equal for recipes with the same effect on a model, even if their keys differ."""
    if recipe.quantize is None:
        return None
    by_module = {"weights", "granularity", "embeddings", "rules"}
    return precisions(recipe, config), recipe.quantize.model_dump(exclude=by_module)
