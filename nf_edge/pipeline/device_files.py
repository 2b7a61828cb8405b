"""Write and check device files."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, get_args

from nf_edge.backends import REGISTRY
from nf_edge.core import files, resources
from nf_edge.core.device import Device, load_device
from nf_edge.core.device.device import DeviceClass
from nf_edge.core.device.library import KIND
from nf_edge.core.device.machine import read_machine
from nf_edge.core.device.probe import device_text
from nf_edge.core.device.template import template
from nf_edge.core.errors import BadInput, quoted

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,99}")


@dataclass(frozen=True)
class DeviceFile:
    """A device file that was written.

    Attributes:
        path: the file, in the folder `devices` of the working directory.
        device: its content; None if the user has to fill it in.
    """

    path: Path
    device: Device | None

    def to_json(self) -> dict[str, Any]:
        return {"path": str(self.path), "device": self.device and self.device.to_json()}


def check_devices(names: Sequence[str] = ()) -> list[Device]:
    """The devices with these names or paths, valid and with known backends; by default, all of them.

    Raises:
        BadInput: at least one file is invalid; the message has the errors of all of them.
    """
    return resources.load_each(names or [*resources.names(KIND), *resources.user_names(KIND)], _checked)


def _checked(name: str) -> Device:
    device = load_device(name)
    if unknown := [backend for backend in device.backends if backend not in REGISTRY]:
        raise BadInput(
            f"backends: no backend is named {', '.join(unknown)}",
            where=resources.resolve(KIND, name),
            fix=f"use some of: {', '.join(REGISTRY)}",
        )
    return device


def new_device(name: str, device_class: str) -> DeviceFile:
    """Write a commented device file for the user to fill in: `devices/NAME.yaml`.

    Args:
        name: the device's id: lower-case letters, digits and hyphens.
        device_class: `phone`, `sbc`, `pc` or `mcu`.

    Raises:
        BadInput: the name is invalid or taken, the class is unknown, or the file cannot be written.
    """
    for known in get_args(DeviceClass):
        if device_class == known:
            return DeviceFile(_write(name, template(name, known)), None)
    raise BadInput(
        f"{quoted(device_class)} is not a class of devices", fix=f"use {', '.join(get_args(DeviceClass))}"
    )


def probe_device(name: str) -> DeviceFile:
    """Write a device file that describes this machine: `devices/NAME.yaml`.

    Args:
        name: the device's id: lower-case letters, digits and hyphens.

    Raises:
        BadInput: the name is invalid or taken, or the file cannot be written.
        CannotRun: this is not a Linux machine.
    """
    path = _write(name, device_text(name, read_machine(), date.today().isoformat()))
    return DeviceFile(path, load_device(str(path)))


def _write(name: str, text: str) -> Path:
    """Write `devices/NAME.yaml` and return its path; raise BadInput if the name is invalid or taken."""
    if not NAME.fullmatch(name):
        raise BadInput(
            f"{quoted(name)} is not a valid name of a device",
            fix="use lower-case letters, digits and hyphens, such as my-board",
        )
    if paths := resources.named(KIND, name):
        raise BadInput("there is already a device with this name", where=paths[0], fix="choose another name")
    path = Path(KIND) / f"{name}.yaml"
    files.write_text(path, text, overwrite=False)
    return path
