"""Find device files: bundled ones by name, the user's by name or path."""

from collections.abc import Callable

from nf_edge.core import resources, yaml_schema
from nf_edge.core.device.device import Device
from nf_edge.core.errors import BadInput

KIND = "devices"


def load_device(name_or_path: str) -> Device:
    """Load a bundled device or a device of the user's folders by its id, or a device file by its path.

    Raises:
        BadInput: there is no such device, several files have the name, or the file violates the schema.  The
            message lists all errors, each with its line.
    """
    return yaml_schema.load(resources.resolve(KIND, name_or_path), Device)


def is_device(name: str) -> bool:
    """Whether a name is the id of a bundled device or of a file in the user's folders.

    Also true for a path that ends in `.yaml`, even if there is no file.
    """
    return name.endswith(".yaml") or bool(resources.named(KIND, name))


def bundled_devices() -> list[Device]:
    """The devices that ship with the package, sorted by id."""
    folder = resources.folder(KIND)
    return [yaml_schema.load(folder / f"{name}.yaml", Device) for name in resources.names(KIND)]


def known_devices(notify: Callable[[str], None]) -> list[Device]:
    """The bundled devices and those of the user's folders, sorted by id.

    Args:
        notify: called with a message about each of the user's files that is left out: it is invalid, or
            another file has its name.
    """
    devices = {device.id: device for device in bundled_devices()}
    for name in resources.user_names(KIND):
        try:
            device = load_device(name)
        except BadInput as error:
            notify(f"left out: {error}")
        else:
            devices[device.id] = device
    return [devices[name] for name in sorted(devices)]
