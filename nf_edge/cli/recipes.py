"""`nf-edge recipes`: list, show and check recipes."""

import click

from nf_edge.cli.options import json_option
from nf_edge.cli.output import finish


@click.group(name="recipes", no_args_is_help=True)
def command() -> None:
    """List, show and check recipes.

    A RECIPE is the name of a bundled recipe or the path of a YAML file.  To write your own recipe, copy the
    most similar bundled file.

    \b
    Example:
      nf-edge recipes show xnnpack-8da8w > mine.yaml
    """


@command.command("list")
@json_option
def list_recipes(as_json: bool) -> None:
    """List the bundled recipes.

    \b
    Example:
      nf-edge recipes list
    """
    from nf_edge.core.recipe.recipe import bundled_recipes
    from nf_edge.render.recipes import recipe_table

    finish("recipes list", bundled_recipes(), as_json, recipe_table)


@command.command()
@click.argument("recipe")
@json_option
def show(recipe: str, as_json: bool) -> None:
    """Print a recipe's file; with --json, all of its keys with their defaults.

    \b
    Example:
      nf-edge recipes show onnx-fp32
    """
    from nf_edge.core.recipe.recipe import load_recipe, recipe_file
    from nf_edge.render.table import body

    loaded = load_recipe(recipe)
    text = recipe_file(recipe).read_text(encoding="utf-8").removesuffix("\n")
    finish("recipes show", loaded, as_json, lambda _: [body([text])])


@command.command()
@click.argument("recipes", nargs=-1, metavar="[RECIPE]...")
@json_option
def check(recipes: tuple[str, ...], as_json: bool) -> None:
    """Check recipes against the schema and the abilities of their backends.

    Without RECIPE, the command checks all bundled recipes.  For an invalid recipe, the exit code is 3.

    \b
    Example:
      nf-edge recipes check mine.yaml
    """
    from nf_edge.backends.valid_recipes import check_recipes
    from nf_edge.core.resources import names
    from nf_edge.render.recipes import valid_parts

    finish("recipes check", check_recipes(recipes or names("recipes")), as_json, valid_parts)
