"""`nf-edge backends`: list the backends and their capabilities on this machine."""

import click

from nf_edge.cli.options import json_option
from nf_edge.cli.output import finish


@click.command("backends")
@json_option
def command(as_json: bool) -> None:
    """List the backends, with their state on this machine, precisions, attention, recipes and devices.

    \b
    Example:
      nf-edge backends
    """
    from nf_edge.pipeline.capabilities import capabilities
    from nf_edge.render.backends import capability_parts

    finish("backends", capabilities(), as_json, capability_parts)
