"""nf-edge: put a trained NoiseFormer on a phone, a board or a microcontroller.

The functions and errors of `__all__` are the Python API; docs/python.md shows how to use them.  Importing
`nf_edge` loads none of them: the module of each is imported at its first use.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

# ONNX Runtime sends telemetry unless this is set before it is imported.  nf-edge sends nothing.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

__version__ = "0.1.0"

if TYPE_CHECKING:
    from nf_edge.core.errors import AccuracyGate, BadInput, CannotRun, MissingTool, NfEdgeError, OverBudget
    from nf_edge.model.data.row_format import RowFormat
    from nf_edge.pipeline.api import (
        bench,
        check,
        check_devices,
        check_layers,
        check_on,
        check_stages,
        compress,
        devices_fit,
        dry_run,
        export,
        generate,
        list_devices,
        load_artifact,
        load_checkpoint,
        load_device,
        load_recipe,
        load_rows,
        new_device,
        probe_device,
        profile,
        sensitivity,
        sweep,
    )

__all__ = [
    "AccuracyGate",
    "BadInput",
    "CannotRun",
    "MissingTool",
    "NfEdgeError",
    "OverBudget",
    "RowFormat",
    "__version__",
    "bench",
    "check",
    "check_devices",
    "check_layers",
    "check_on",
    "check_stages",
    "compress",
    "devices_fit",
    "dry_run",
    "export",
    "generate",
    "list_devices",
    "load_artifact",
    "load_checkpoint",
    "load_device",
    "load_recipe",
    "load_rows",
    "new_device",
    "probe_device",
    "profile",
    "sensitivity",
    "sweep",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "RowFormat":
        module = "nf_edge.model.data.row_format"
    else:
        module = "nf_edge.core.errors" if name[0].isupper() else "nf_edge.pipeline.api"
    return getattr(importlib.import_module(module), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
