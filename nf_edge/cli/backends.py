"""`nf-edge backends`: what lowers and runs here, what of, and for what."""

import click

from nf_edge.cli.output import json_option, print_json, print_lines


@click.command("backends")
@json_option
def command(as_json: bool) -> None:
    """List the backends: whether they work here, their precisions and attention, recipes and devices.

    \b
    Example:
      nf-edge backends
    """
    from nf_edge import render
    from nf_edge.pipeline.capabilities import capabilities

    found = capabilities()
    if as_json:
        print_json("backends", [capability.to_json() for capability in found])
        return
    for capability in found:
        print_lines(render.capability_lines(capability), title=f"{capability.name}: {capability.title}")
