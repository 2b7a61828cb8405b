"""The text of a device file that a user fills in."""

import textwrap

from nf_edge.core.device.device import STORAGE_KIND, WORKING_KIND, DeviceClass
from nf_edge.core.device.file_text import joined, scalar, unknown
from nf_edge.core.device.isa import ISAS

CPU_BACKENDS = "nf_cpu, xnnpack, onnx_cpu"
BACKENDS: dict[DeviceClass, str] = {
    "phone": f"{CPU_BACKENDS}; qnn, vulkan or coreml for an accelerator",
    "sbc": f"{CPU_BACKENDS}; ethos_u for an NPU",
    "pc": f"{CPU_BACKENDS}, openvino",
    "mcu": "cortex_m; ethos_u for an NPU",
}


def template(name: str, device_class: DeviceClass) -> str:
    """The text of a commented device file, in which every fact is `unknown`.

    The schema refuses the file until the user has filled in each fact that a verdict depends on.

    Args:
        name: the id of the device.
        device_class: the kind of device, such as `phone`, which determines its memories.
    """
    return joined(
        [
            f"# Fill in each `unknown`, then run: nf-edge devices check {name}",
            "# A fact has a value and a source: an address, or the reasoning of an assumption.",
            "# Write verified: true if you compared the two. soc and mhz may stay unknown.",
            f"id: {scalar(name)}",
            f"name: {scalar(name)}",
            f"class: {device_class}",
            "",
            unknown(0, "soc"),
            "",
            *_memory(device_class),
            "",
            "# One entry for each kind of core, the fastest first, such as Cortex-A76.",
            "cpu:",
            "  - core: unknown",
            unknown(4, "count"),
            "    # The highest clock in MHz.",
            unknown(4, "mhz"),
            "    # A list, empty if it has none of these:",
            *(f"    # {line}" for line in textwrap.wrap(", ".join(ISAS), 100)),
            unknown(4, "isa"),
            "",
            "# An NPU has two facts: npu, its name; npu_targets, a list of the compiler's names of it.",
            "",
            "# A list, the best first, of those that run here:",
            f"# {BACKENDS[device_class]}.",
            "# If none runs here, leave the list empty and add missing_backend, the one it needs.",
            "backends: []",
        ]
    )


def _memory(device_class: DeviceClass) -> list[str]:
    """The YAML lines of the memories that a class of devices needs, to fill in."""
    lines = ["# Sizes have a unit, such as 4 GiB, 512 KiB or 524288 B.", "memory:"]
    storage = STORAGE_KIND.get(device_class)
    for name, kind in (("RAM", WORKING_KIND[device_class]), ("Flash", storage)):
        if kind is None:
            continue
        lines += [
            f"  - name: {name}",
            f"    kind: {kind}",
            "    # The physical size.",
            unknown(4, "size"),
            "    # What one process, or one firmware image, may use of it.",
            unknown(4, "usable"),
        ]
        if storage:
            part = "stack and heap" if name == "RAM" else "runtime and code"
            lines += [
                f"    # What the {part} of your firmware need in addition to the model.",
                unknown(4, "reserve"),
            ]
    return lines
