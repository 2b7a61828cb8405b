"""Devices that run models.  A YAML file describes each device, and every fact in it has a source.

A fact is a value, its source, and whether somebody checked the value in that source:

    size: {value: 512 MiB, source: "https://…", verified: true}

All three keys are required.  `verified: false` marks an assumption, or a figure that sources disagree on;
`source` then gives the reasoning.  A verdict that depends on an unverified fact says so.
"""

from nf_edge.core.device.cpu import Core
from nf_edge.core.device.device import Device
from nf_edge.core.device.facts import UNKNOWN, Fact
from nf_edge.core.device.isa import Isa
from nf_edge.core.device.library import bundled_devices, is_device, known_devices, load_device
from nf_edge.core.device.memory import Memory
from nf_edge.core.device.sizes import UNITS, format_size, parse_size

__all__ = [
    "UNITS",
    "UNKNOWN",
    "Core",
    "Device",
    "Fact",
    "Isa",
    "Memory",
    "bundled_devices",
    "format_size",
    "is_device",
    "known_devices",
    "load_device",
    "parse_size",
]
