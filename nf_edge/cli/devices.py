"""`nf-edge devices`: list, show and check device files."""

import shutil
from functools import partial

import click

from nf_edge.cli.devices_fit import fit
from nf_edge.cli.options import json_option
from nf_edge.cli.output import finish


@click.group(name="devices", no_args_is_help=True)
def command() -> None:
    """List, show and check device files.

    A DEVICE is the id of a bundled device or the path of a YAML file.  To describe your own device, copy the
    most similar bundled file.

    \b
    Example:
      nf-edge devices show rpi-5
    """


command.add_command(fit)


@command.command("list")
@json_option
def list_devices(as_json: bool) -> None:
    """List the bundled devices.

    \b
    Example:
      nf-edge devices list
    """
    from nf_edge.core.device import bundled_devices
    from nf_edge.render.devices import device_table

    finish("devices list", bundled_devices(), as_json, device_table)


@command.command()
@click.argument("device")
@json_option
def show(device: str, as_json: bool) -> None:
    """Show every fact of a device with its source.

    \b
    Examples:
      nf-edge devices show stm32h747i-disco
      nf-edge devices show ./my-board.yaml --json
    """
    from nf_edge.core.device import load_device
    from nf_edge.render.devices import device_parts

    width = max(shutil.get_terminal_size().columns, 40)
    finish("devices show", load_device(device), as_json, partial(device_parts, width=width))


@command.command()
@click.argument("devices", nargs=-1, metavar="[DEVICE]...")
@json_option
def check(devices: tuple[str, ...], as_json: bool) -> None:
    """Check device files and list their unverified facts.

    Without DEVICE, the command checks all bundled devices.  For an invalid file, the exit code is 3.

    \b
    Examples:
      nf-edge devices check
      nf-edge devices check ./my-board.yaml
    """
    from nf_edge.core.device import load_device
    from nf_edge.core.resources import load_each, names
    from nf_edge.render.devices import unverified_parts

    finish("devices check", load_each(devices or names("devices"), load_device), as_json, unverified_parts)
