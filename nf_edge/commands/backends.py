"""`nf-edge backends`: what lowers and runs here."""

from typing import Any

import click

from nf_edge.commands.common import json_option, print_json, print_table


@click.command("backends")
@json_option
def command(as_json: bool) -> None:
    """List the backends: whether they work here, and which recipes use them.

    \b
    Example:
      nf-edge backends
    """
    from nf_edge.backends import REGISTRY, missing_packages
    from nf_edge.recipe import bundled_recipes

    recipes = bundled_recipes()
    facts: list[dict[str, Any]] = []
    for name, entry in REGISTRY.items():
        missing = missing_packages(entry.packages)
        facts.append(
            {
                "name": name,
                "title": entry.title,
                "available": not missing,
                "missing": missing,
                "here": "" if missing else entry.here,
                "recipes": [recipe.name for recipe in recipes if recipe.backend == name],
            }
        )
    if as_json:
        print_json("backends", facts)
        return
    rows = []
    for fact in facts:
        state = fact["here"] or f"missing: {', '.join(fact['missing'])}"
        rows.append((fact["name"], fact["title"], state, ", ".join(fact["recipes"])))
    print_table(("backend", "what", "state", "recipes"), rows)
