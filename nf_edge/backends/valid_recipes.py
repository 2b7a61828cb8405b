"""Check that recipes are valid and that their backends support them."""

from collections.abc import Iterable
from dataclasses import dataclass

from nf_edge.backends import agreeing_spec
from nf_edge.core.recipe.recipe import load_recipe
from nf_edge.core.resources import load_each


@dataclass(frozen=True)
class ValidRecipes:
    """The result of `nf-edge recipes check`: the names of the recipes, which are all valid."""

    names: tuple[str, ...]

    def to_json(self) -> dict[str, list[str]]:
        return {"valid": list(self.names)}


def check_recipes(names: Iterable[str]) -> ValidRecipes:
    """Check recipes against the schema and the `Support` of their backends.

    Raises:
        BadInput: at least one recipe is invalid or unsupported; the message lists the errors of all recipes.
    """

    def checked(name: str) -> str:
        agreeing_spec(load_recipe(name))
        return name

    return ValidRecipes(tuple(load_each(names, checked)))
