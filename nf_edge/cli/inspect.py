"""`nf-edge inspect`."""

from pathlib import Path
from typing import Any

import click

from nf_edge.cli.options import PATH, json_option, on_option, signature_options
from nf_edge.cli.output import finish
from nf_edge.cli.progress import warn

EPILOG = """\b
Examples:
  nf-edge inspect digits-pi
  nf-edge inspect digits-pi --on rpi-5,pixel-8
"""


@click.command("inspect", epilog=EPILOG)
@click.argument("artifact", type=PATH)
@on_option(several=True)
@signature_options
@json_option
def command(artifact: Path, on: list[str] | None, as_json: bool, **signature: Any) -> None:
    """Show what an ARTIFACT contains and needs.

    Verifies the hash of every file; lists the operators and delegates, the inputs and outputs, and the
    libraries that an application must link; and loads the model file in each runtime on this machine.  With
    --on, it also loads the file on emulated cores.  A file that loads nowhere is exit code 3.
    """
    from nf_edge.pipeline.api.resolver import Resolver
    from nf_edge.pipeline.inspection import inspect
    from nf_edge.render.artifact import inspection_parts

    resolver = Resolver(warn, **signature)
    loaded, cores = resolver.artifact(artifact), resolver.cores(on) if on else ()
    finish("inspect", inspect(loaded, cores), as_json, inspection_parts)
