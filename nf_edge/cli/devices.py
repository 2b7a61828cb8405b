"""`nf-edge devices`: list, show, check and write device files, and compare a model with devices."""

import shutil
from functools import partial

import click

from nf_edge.cli.devices_fit import fit
from nf_edge.cli.options import json_option
from nf_edge.cli.output import finish
from nf_edge.cli.progress import warn


@click.group(name="devices", no_args_is_help=True)
def command() -> None:
    """List, show, check and write device files; compare a model with all devices.

    A DEVICE is the id of a bundled device, the id of a file in the folder `devices` of the working directory
    or of nf-edge's configuration, or the path of a YAML file.

    \b
    Example:
      nf-edge devices show rpi-5
    """


command.add_command(fit)


@command.command("list")
@json_option
def list_devices(as_json: bool) -> None:
    """List the bundled devices and yours.

    \b
    Example:
      nf-edge devices list
    """
    from nf_edge.pipeline import api
    from nf_edge.render.devices import device_table

    finish("devices list", api.list_devices(notify=warn), as_json, device_table)


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

    Without DEVICE, the command checks all bundled devices and yours.  If a file is invalid, the exit code
    is 3.

    \b
    Examples:
      nf-edge devices check
      nf-edge devices check ./my-board.yaml
    """
    from nf_edge.pipeline import api
    from nf_edge.render.devices import unverified_parts

    finish("devices check", api.check_devices(devices), as_json, unverified_parts)


@command.command()
@click.argument("name")
@click.option(
    "--class",
    "device_class",
    type=click.Choice(["phone", "sbc", "pc", "mcu"]),
    required=True,
    help="Kind of device: a phone or tablet, a single-board computer, a PC, or a microcontroller.",
)
@json_option
def new(name: str, device_class: str, as_json: bool) -> None:
    """Write a device file for you to fill in: devices/NAME.yaml.

    The file is refused until each fact that a verdict depends on has a value and a source.

    \b
    Example:
      nf-edge devices new my-board --class sbc
    """
    from nf_edge.pipeline import api
    from nf_edge.render.devices import written_parts

    finish("devices new", api.new_device(name, device_class), as_json, written_parts)


@command.command()
@click.argument("name")
@json_option
def probe(name: str, as_json: bool) -> None:
    """Write a device file that describes this Linux machine: devices/NAME.yaml.

    \b
    Example:
      nf-edge devices probe my-laptop
    """
    from nf_edge.pipeline import api
    from nf_edge.render.devices import written_parts

    finish("devices probe", api.probe_device(name), as_json, written_parts)
