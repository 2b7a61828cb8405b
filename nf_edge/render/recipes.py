"""Output of `nf-edge recipes list` and `nf-edge recipes check`."""

from collections.abc import Sequence

from nf_edge.backends.valid_recipes import ValidRecipes
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.render.table import Part, Table, body


def recipe_table(recipes: Sequence[Recipe]) -> list[Part]:
    rows = tuple((recipe.name, recipe.runtime, recipe.backend, recipe.description) for recipe in recipes)
    return [Table("", ("recipe", "runtime", "backend", "description"), rows)]


def valid_parts(recipes: ValidRecipes) -> list[Part]:
    return [body([f"{len(recipes.names)} valid: {', '.join(recipes.names)}"])]
