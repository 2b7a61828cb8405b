"""The text of a device file for the machine that this process runs on."""

from nf_edge.core.device.device import DeviceClass
from nf_edge.core.device.file_text import fact, joined, scalar
from nf_edge.core.device.machine import Cluster, Machine
from nf_edge.core.device.sizes import format_size

CPUINFO = "/proc/cpuinfo of this machine"


def device_text(name: str, machine: Machine, date: str) -> str:
    """The text of a device file with the facts of a machine; facts that Linux does not report are `unknown`.

    Args:
        name: the id of the device.
        date: the date of the file, such as `2026-11-30`.
    """
    size = (
        f"MemTotal in /proc/meminfo on {date}; the physical memory is larger, for the firmware and the "
        "kernel keep some."
    )
    usable = (
        f"Assumption: what a process could have when this file was written, on {date} (MemAvailable in "
        "/proc/meminfo, and the limits of control groups). A busier machine has less."
    )
    return joined(
        [
            f"# Written by nf-edge devices probe on {date}. It does not look for an NPU or a GPU.",
            f"id: {scalar(name)}",
            f"name: {scalar(machine.name or name)}",
            f"class: {_class(machine)}",
            "",
            *fact(
                0,
                "soc",
                machine.soc or None,
                CPUINFO if machine.x86 else "The device tree of this machine",
                bool(machine.soc),
            ),
            "",
            "memory:",
            "  - name: RAM",
            "    kind: dram",
            *fact(4, "size", format_size(machine.ram), size, True),
            *fact(4, "usable", format_size(machine.available), usable, False),
            "",
            "cpu:",
            *(line for cluster in machine.cpu for line in _core(cluster)),
            "",
            *_backends(machine),
        ]
    )


def _class(machine: Machine) -> DeviceClass:
    if machine.android:
        return "phone"
    return "pc" if machine.x86 else "sbc"


def _core(cluster: Cluster) -> list[str]:
    clock = "cpuinfo_max_freq in /sys/devices/system/cpu of this machine"
    return [
        f"  - core: {scalar(cluster.core)}",
        *fact(4, "count", cluster.count, CPUINFO, True),
        *fact(4, "mhz", cluster.mhz, clock, cluster.mhz is not None),
        *fact(4, "isa", cluster.isa, CPUINFO, True),
    ]


def _backends(machine: Machine) -> list[str]:
    """The YAML lines of `backends`; for a processor without a backend, also those of `missing_backend`."""
    if machine.x86:
        return ["backends: [nf_cpu, xnnpack, openvino, onnx_cpu]"]
    if machine.arm64:
        return ["backends: [nf_cpu, xnnpack, onnx_cpu]"]
    needs = "a backend for processors other than x86-64 and 64-bit Arm"
    source = "nf-edge builds its native parts for x86-64 and 64-bit Arm only."
    return [*fact(0, "missing_backend", needs, source, False), "backends: []"]
