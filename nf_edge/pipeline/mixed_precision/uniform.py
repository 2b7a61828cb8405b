"""Recipes that treat all of a model alike: what a mixture of precisions has to beat."""

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from nf_edge.backends.precisions import precisions
from nf_edge.core.errors import BadInput
from nf_edge.core.recipe.precision import granularity_of
from nf_edge.core.recipe.quantize import Quantize
from nf_edge.core.recipe.recipe import Recipe, bundled_recipes
from nf_edge.model import ModelConfig
from nf_edge.pipeline.mixed_precision.recipe import offers, uniform


@dataclass(frozen=True)
class Uniform:
    """A recipe that is not mixed, and what it is known by: a recipe's name, or a precision."""

    label: str
    recipe: Recipe


def uniform_recipes(base: Recipe, config: ModelConfig, name: str) -> list[Uniform]:
    """What `base` could be with the `quantize` section of another recipe of its backend, or with one
    precision for all modules; itself among them.  None does the same to a model as another, or is for modules
    that it does not have.

    Args:
        name: of all of them, for one may be what is written.
    """
    assert base.quantize is not None
    sections: dict[str, Quantize | None] = {
        each.name: each.quantize
        for each in bundled_recipes()
        if (each.backend, each.target) == (base.backend, base.target) and not each.shrinks
    }
    sections[base.name] = base.quantize
    for rule in offers(base):
        words = granularity_of(base.quantize.layer(rule).group).replace("_", " ")
        sections[f"{rule.weights} {words} for all"] = uniform(base, rule).quantize
    recipes: list[Uniform] = []
    effects: list[Any] = []
    for label, section in sections.items():
        description = f"as {label}, which no mixture of precisions that was made beats"
        changes = {"name": name, "description": description, "quantize": section}
        try:
            recipe = Recipe.model_validate(base.model_copy(update=changes).model_dump())
            effect = _effect(recipe, config)
        except (ValidationError, BadInput):  # its cache, say, is none that the base has
            continue
        if effect not in effects:
            recipes.append(Uniform(label, recipe))
            effects.append(effect)
    return recipes


def _effect(recipe: Recipe, config: ModelConfig) -> Any:
    """What a recipe does to a model, in whichever of its keys that is written."""
    if recipe.quantize is None:
        return None
    by_module = {"weights", "granularity", "embeddings", "rules"}
    return precisions(recipe, config), recipe.quantize.model_dump(exclude=by_module)
