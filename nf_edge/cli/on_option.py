"""`--on`: the device whose own core an artifact is run on, emulated."""

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from nf_edge.measure.emulation import EmulatedCore

on_option = click.option(
    "--on",
    metavar="DEVICE,…",
    help="Run the file on the cores of these devices, emulated by QEMU (also: a core of QEMU's own, such as "
    "cortex-a53).",
)


def devices_on(on: str | None) -> list[str]:
    """The devices that `--on` names; none without it."""
    if on is None:
        return []
    names = [name.strip() for name in on.split(",")]
    if not all(names):
        raise click.UsageError("--on takes names with a comma between them")
    return names


def device_on(on: str | None) -> str | None:
    """The device that `--on` names, where a command runs one core: of a device, its first kind."""
    if on and "," in on:
        raise click.UsageError("--on takes one device here")
    return next(iter(devices_on(on)), None)


def emulated(on: str | None) -> "list[EmulatedCore]":
    """The cores that `--on` names; none without it.

    Raises:
        BadInput: one of them is unknown, or no device that runs programs of Linux.
        MissingTool: QEMU or the cross-compiler is not installed.
    """
    names = devices_on(on)
    if not names:
        return []
    from nf_edge.measure.emulation import emulated_cores

    return emulated_cores(names)
