"""`nf-edge doctor`: report the versions of requirements, and how to install missing ones."""

import click

from nf_edge.cli.options import json_option
from nf_edge.cli.output import finish
from nf_edge.cli.progress import progress_bar


@click.command("doctor")
@click.option(
    "--fix",
    type=click.Choice(["emulation"]),
    help="Install missing tools: `emulation` downloads the Arm libraries of the runtimes and builds the "
    "runner for emulated cores.",
)
@json_option
def command(fix: str | None, as_json: bool) -> None:
    """Report installed versions and missing tools, with the command that installs each.

    \b
    Examples:
      nf-edge doctor
      nf-edge doctor --fix emulation
    """
    from nf_edge.measure.emulation import set_up
    from nf_edge.pipeline.doctor import examine
    from nf_edge.render.backends import doctor_parts

    if fix:
        with progress_bar() as progress:
            set_up(progress)
    finish("doctor", examine(), as_json, doctor_parts)
