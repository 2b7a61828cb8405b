"""`nf-edge devices`: list, show and check device files."""

from typing import TYPE_CHECKING, Any

import click

from nf_edge.cli.output import json_option, print_json, print_table

if TYPE_CHECKING:
    from nf_edge.core.device import Device, Memory


@click.group(name="devices", no_args_is_help=True)
def command() -> None:
    """List, show and check device files.

    A DEVICE is the id of a bundled one or the path of a file of yours; to write one, copy the
    nearest of the bundled ones.

    \b
    Example:
      nf-edge devices show rpi-5
    """


@command.command("list")
@json_option
def list_devices(as_json: bool) -> None:
    """List the bundled devices.

    \b
    Example:
      nf-edge devices list
    """
    from nf_edge.core.device import bundled_devices, format_size

    devices = bundled_devices()
    if as_json:
        print_json("devices list", [_to_json(device) for device in devices])
        return
    rows = []
    for device in devices:
        ram = device.working_memory
        rows.append(
            (
                device.id,
                device.class_,
                "\n".join(f"{core.count.value}× {core.core}" for core in device.cpu),
                f"{format_size(ram.budget_bytes)}\nof {format_size(ram.size.value)}",
                "\n".join(device.backends),
                f"{len(device.unverified_facts())} of {len(device.facts())}",
            )
        )
    print_table(("device", "class", "CPU", "RAM for\na model", "backends", "facts\nunverified"), rows)


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
    import shutil
    import textwrap

    from nf_edge.core.device import format_size, load_device
    from nf_edge.core.figures import format_bytes

    loaded = load_device(device)
    if as_json:
        print_json("devices show", _to_json(loaded))
        return
    click.echo(f"{loaded.name} ({loaded.id}, {loaded.class_})")
    if loaded.url:
        click.echo(loaded.url)
    click.echo(f"backends, preferred first: {', '.join(loaded.backends)}")
    for memory in _budgets(loaded):
        exact, rounded = format_size(memory.budget_bytes), format_bytes(memory.budget_bytes)
        click.echo(f"a model may take {exact} ({rounded}) of {memory.name}")
    width = max(shutil.get_terminal_size().columns, 40)
    for path, fact in loaded.facts().items():
        click.echo(f"\n{path}: {_text(path, fact.value)}{'' if fact.verified else '  (unverified)'}")
        # An address stays whole, so that a terminal can open it.
        source = textwrap.wrap(fact.source, width - 2, break_long_words=False, break_on_hyphens=False)
        click.echo(textwrap.indent("\n".join(source), "  "))


@command.command()
@click.argument("devices", nargs=-1, metavar="[DEVICE]...")
@json_option
def check(devices: tuple[str, ...], as_json: bool) -> None:
    """Check device files and list their unverified facts.

    Without DEVICE all bundled ones are checked.  Exits with 3 when a file is invalid.

    \b
    Examples:
      nf-edge devices check
      nf-edge devices check ./my-board.yaml
    """
    from nf_edge.core import resources
    from nf_edge.core.device import load_device
    from nf_edge.core.errors import BadInput

    valid, invalid = [], []
    for name in devices or resources.names("devices"):
        try:
            valid.append(load_device(name))
        except BadInput as error:
            invalid.append(error)
    if invalid:
        raise BadInput("\n".join(str(error) for error in invalid))
    if as_json:
        print_json("devices check", [_to_json(device) for device in valid])
        return
    for device in valid:
        unverified = device.unverified_facts()
        click.echo(f"{device.id}: valid, {len(unverified)} of {len(device.facts())} facts unverified")
        for path, fact in unverified.items():
            click.echo(f"  {path}: {_text(path, fact.value)}")


def _budgets(device: "Device") -> "list[Memory]":
    """The memories that models are held against."""
    return [memory for memory in (device.working_memory, device.storage_memory) if memory]


def _to_json(device: "Device") -> dict[str, Any]:
    """The file's own keys, with sizes in bytes, and what follows from them."""
    return {
        **device.model_dump(mode="json", by_alias=True),
        "budgets": [{"memory": memory.name, "bytes": memory.budget_bytes} for memory in _budgets(device)],
        "unverified": list(device.unverified_facts()),
    }


def _text(path: str, value: Any) -> str:
    """The value of the fact at `path`, with its unit."""
    from nf_edge.core.device import format_size

    key = path.rpartition(".")[2]
    if key in ("size", "usable", "reserve"):
        return format_size(value)
    if key == "mhz":
        return f"{value} MHz"
    return ", ".join(value) if isinstance(value, tuple) else str(value)
