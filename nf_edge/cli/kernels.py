"""`nf-edge kernels`: build the native kernels of nf-edge."""

from pathlib import Path

import click

from nf_edge.cli.options import json_option, out_option
from nf_edge.cli.output import finish
from nf_edge.core.targets import TARGETS


@click.group(name="kernels", no_args_is_help=True)
def command() -> None:
    """Build the kernels that `nf-` recipes use.

    For this machine, nf-edge builds them at first use.  This command also builds them for a board.

    \b
    Example:
      nf-edge kernels build --target aarch64-linux -o board
    """


@command.command("build")
@click.option(
    "--target",
    type=click.Choice(["host", *TARGETS]),
    default="host",
    show_default=True,
    help="Machine to build for.",
)
@out_option("Folder to copy the library to; without it, the library stays in the cache")
@json_option
def build(target: str, out: Path | None, as_json: bool) -> None:
    """Build the operators of nf-edge for ExecuTorch as a shared library.

    One library runs on every CPU of an architecture, because it chooses the instruction set at run time.  If
    the environment variable NF_EDGE_ISA is set, it names the instruction set instead.

    \b
    Examples:
      nf-edge kernels build
      nf-edge kernels build --target aarch64-linux -o board
    """
    from nf_edge.kernels.library import build_library
    from nf_edge.render.kernels import library_parts

    finish("kernels", build_library(target, out), as_json, library_parts)
