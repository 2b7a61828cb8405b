"""Which recipes are for which devices."""

from nf_edge.core.device import Device, bundled_devices
from nf_edge.core.recipe.recipe import Recipe


def unsupported(device: Device, recipe: Recipe) -> str:
    """Why a device cannot run what a recipe makes; "" where it can."""
    if recipe.backend not in device.backends:
        return f"it takes {', '.join(device.backends)}, and this is for {recipe.backend}"
    if recipe.target is not None and recipe.target not in device.targets:
        return f"it has {', '.join(device.targets) or 'no NPU'}, and this is compiled for {recipe.target}"
    return ""


def devices_for(recipe: Recipe) -> list[Device]:
    """The bundled devices that run what a recipe makes, first those that prefer its backend to others."""
    able = [device for device in bundled_devices() if not unsupported(device, recipe)]
    return sorted(able, key=lambda device: device.backends.index(recipe.backend))
