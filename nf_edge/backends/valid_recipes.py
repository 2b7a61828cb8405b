"""Recipes that their backends accept."""

from collections.abc import Iterable
from dataclasses import dataclass

from nf_edge.backends import agreeing_backend
from nf_edge.core.recipe.recipe import load_recipe
from nf_edge.core.resources import load_each


@dataclass(frozen=True)
class ValidRecipes:
    """Names of recipes that were checked."""

    names: tuple[str, ...]

    def to_json(self) -> dict[str, list[str]]:
        return {"valid": list(self.names)}


def check_recipes(names: Iterable[str]) -> ValidRecipes:
    """Check recipes against the schema and the abilities of their backends.

    Raises:
        BadInput: at least one recipe is wrong; lists the errors of all of them.
    """

    def checked(name: str) -> str:
        agreeing_backend(load_recipe(name))
        return name

    return ValidRecipes(tuple(load_each(names, checked)))
