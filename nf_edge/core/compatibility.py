"""Check whether a device can run the artifacts that a recipe makes."""

from nf_edge.core.device import Device, bundled_devices
from nf_edge.core.recipe.recipe import Recipe


def incompatibility(device: Device, recipe: Recipe) -> str:
    """The reason why a device cannot run a recipe's artifact; "" if it can."""
    if not device.backends and device.missing_backend:
        return f"no backend of nf-edge runs on the device; it would need {device.missing_backend.value}"
    if recipe.backend not in device.backends:
        return f"the device supports {', '.join(device.backends)}, but the recipe uses {recipe.backend}"
    if recipe.target is not None and recipe.target not in device.targets:
        targets = ", ".join(device.targets) or "no NPU"
        return f"the device has {targets}, but the recipe compiles for {recipe.target}"
    return ""


def devices_for(recipe: Recipe) -> list[Device]:
    """The bundled devices that can run a recipe's artifact.

    Devices that prefer the recipe's backend come first.
    """
    compatible = [device for device in bundled_devices() if not incompatibility(device, recipe)]
    return sorted(compatible, key=lambda device: device.backends.index(recipe.backend))
