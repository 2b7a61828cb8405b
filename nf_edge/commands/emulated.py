"""`--on`: the device whose own core an artifact is run on, emulated."""

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from nf_edge.emulation import EmulatedCore

on_option = click.option(
    "--on",
    metavar="DEVICE,…",
    help="Run the file on the cores of these devices, emulated by QEMU (also: a core of QEMU's own, such as "
    "cortex-a53).",
)


def emulated(on: str | None) -> "list[EmulatedCore]":
    """The cores that `--on` names; none without it.

    Raises:
        BadInput: one of them is unknown, or no device that runs programs of Linux.
        MissingTool: QEMU or the cross-compiler is not installed.
    """
    if on is None:
        return []
    names = [name.strip() for name in on.split(",")]
    if not all(names):
        raise click.UsageError("--on takes names with a comma between them")
    from nf_edge.emulation import emulated_cores

    return emulated_cores(names)


def one_core(on: str | None) -> "EmulatedCore | None":
    """The first of them, where a command runs one: of a device, its first kind of core.

    Raises what `emulated` does.
    """
    if on and "," in on:
        raise click.UsageError("--on takes one device here")
    cores = emulated(on)
    return cores[0] if cores else None
