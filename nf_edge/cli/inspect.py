"""`nf-edge inspect`: show the content and the requirements of an artifact."""

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
    """Show the content and the requirements of an ARTIFACT.

    The command verifies the hash of every file.  It lists operators and delegates, inputs and outputs, and
    the libraries that an application must link.  It loads the model file in each runtime on this machine, and
    with --on also on emulated cores.  If no runtime loads the file, the exit code is 3.
    """
    from nf_edge.pipeline.api.resolver import Resolver
    from nf_edge.pipeline.inspection import inspect
    from nf_edge.render.artifact import inspection_parts

    resolver = Resolver(warn, **signature)
    loaded, cores = resolver.artifact(artifact), resolver.cores(on) if on else ()
    finish("inspect", inspect(loaded, cores), as_json, inspection_parts)
