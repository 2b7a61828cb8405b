"""`nf-edge recipes`: list, show and check recipes."""

import click

from nf_edge.cli.output import json_option, print_json, print_table


@click.group(name="recipes", no_args_is_help=True)
def command() -> None:
    """List, show and check recipes.

    A RECIPE is the name of a bundled one or the path of a file of yours; to write one, copy the
    nearest of the bundled ones.

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

    recipes = bundled_recipes()
    if as_json:
        print_json("recipes list", [recipe.model_dump(mode="json") for recipe in recipes])
        return
    rows = [(recipe.name, recipe.runtime, recipe.backend, recipe.description) for recipe in recipes]
    print_table(("recipe", "runtime", "backend", "description"), rows)


@command.command()
@click.argument("recipe")
@json_option
def show(recipe: str, as_json: bool) -> None:
    """Print a recipe's file; with --json, all of its keys, the defaults among them.

    \b
    Example:
      nf-edge recipes show onnx-fp32
    """
    from nf_edge.core.recipe.recipe import load_recipe, recipe_file

    the_recipe = load_recipe(recipe)
    if as_json:
        print_json("recipes show", the_recipe.model_dump(mode="json"))
    else:
        click.echo(recipe_file(recipe).read_text(encoding="utf-8"), nl=False)


@command.command()
@click.argument("recipes", nargs=-1, metavar="[RECIPE]...")
@json_option
def check(recipes: tuple[str, ...], as_json: bool) -> None:
    """Check recipes (default: the bundled ones) against the schema and what their backends can do.

    \b
    Example:
      nf-edge recipes check mine.yaml
    """
    from nf_edge.backends import agreeing_backend
    from nf_edge.core.errors import BadInput
    from nf_edge.core.recipe.recipe import load_recipe
    from nf_edge.core.resources import names

    problems, valid = [], []
    for name in recipes or names("recipes"):
        try:
            agreeing_backend(load_recipe(name))
            valid.append(name)
        except BadInput as error:
            problems.append(str(error))
    if problems:
        raise BadInput("\n".join(problems))
    if as_json:
        print_json("recipes check", {"valid": valid})
    else:
        click.echo(f"{len(valid)} valid: {', '.join(valid)}")
