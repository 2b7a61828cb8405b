"""List, check and write device files."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nf_edge.pipeline.api.arguments import Named, name_of, require_list
from nf_edge.pipeline.api.resolver import Notify, Resolver

if TYPE_CHECKING:
    from nf_edge.core.device import Device
    from nf_edge.pipeline.device_files import DeviceFile


def list_devices(*, notify: Notify | None = None) -> "list[Device]":
    """The bundled devices and those of the user's folders, sorted by id.

    A user's file that is invalid, or has the name of another device, is left out with a remark.
    """
    from nf_edge.core.device import known_devices

    remarks: list[str] = []
    devices = known_devices(remarks.append)
    Resolver(notify).tell(remarks)
    return devices


def check_devices(devices: Sequence[Named] = ()) -> "list[Device]":
    """Check device files: bundled names, names in the user's folders, or paths; by default, all of them.

    `unverified_facts()` of each device that is returned lists what nobody has compared with its source.

    Raises:
        BadInput: at least one file is invalid; the message has the errors of all of them, with lines.
    """
    from nf_edge.pipeline.device_files import check_devices

    require_list("devices", devices)
    return check_devices([name_of(device) for device in devices])


def new_device(name: str, device_class: str) -> "DeviceFile":
    """Write a commented device file for you to fill in, as `devices/NAME.yaml`.

    Args:
        name: the device's id: lower-case letters, digits and hyphens.
        device_class: `phone`, `sbc`, `pc` or `mcu`.

    Raises:
        BadInput: the name is invalid or taken, the class is unknown, or the file cannot be written.
    """
    from nf_edge.pipeline.device_files import new_device

    return new_device(name_of(name), device_class)


def probe_device(name: str) -> "DeviceFile":
    """Write a device file that describes this Linux machine, as `devices/NAME.yaml`.

    It has the memory, the kinds of cores with their number, clock and instruction sets.  What Linux does not
    say stays `unknown`.

    Args:
        name: the device's id: lower-case letters, digits and hyphens.

    Raises:
        BadInput: the name is invalid or taken, or the file cannot be written.
        CannotRun: this is not a Linux machine.
    """
    from nf_edge.pipeline.device_files import probe_device

    return probe_device(name_of(name))
