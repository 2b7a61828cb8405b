"""`nf-edge kernels`: the kernels of our own that `nf-` recipes call."""

from pathlib import Path
from typing import Any

import click

from nf_edge.cli.output import json_option, print_json
from nf_edge.core.targets import TARGETS


@click.group(name="kernels", no_args_is_help=True)
def command() -> None:
    """Build the kernels that nf- recipes call.

    They are built for this machine when they are first needed; a board gets its own from here.

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
    help="The machine that they are for.",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="A folder to put the library into; without it, the path in the cache is printed.",
)
@json_option
def build(target: str, out: Path | None, as_json: bool) -> None:
    """Build the operators of nf-edge for ExecuTorch as a shared library.

    One library serves every CPU of an architecture: it chooses among its instruction sets when it runs, and
    the environment variable NF_EDGE_ISA forces one.

    \b
    Examples:
      nf-edge kernels build
      nf-edge kernels build --target aarch64-linux -o board
    """
    from nf_edge.core.files import check_folder, folder_made, write_bytes
    from nf_edge.core.reading import sha256
    from nf_edge.kernels import binding as kernel

    if out is not None:
        check_folder(out)
    library = kernel.executorch_library(TARGETS.get(target))
    placed = library
    if out is not None:
        placed = out / library.name
        with folder_made(out):
            write_bytes(placed, library.read_bytes())
    size = placed.stat().st_size
    facts: dict[str, Any] = {
        "target": target,
        "library": str(placed),
        "bytes": size,
        "sha256": sha256(placed),
    }
    if target == "host":
        facts["instruction_sets"], facts["in_use"] = kernel.available(library), kernel.in_use(library)
    if as_json:
        print_json("kernels", facts)
        return
    click.echo(f"{placed}, {size / 1e3:.0f} kB, for {target}")
    if target == "host":
        click.echo(f"instruction sets of this CPU: {', '.join(facts['instruction_sets'])}")
        click.echo(f"in use: {facts['in_use']}")
