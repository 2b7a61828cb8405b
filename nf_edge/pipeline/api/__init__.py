"""The Python API: each command is a function that returns the value that the command prints.

Arguments are names of bundled files (str), paths (str or Path; a Path is never a name), or loaded values.
The attributes `passed` and `failure` of a value say whether it passes its gates.  Every error is an
`NfEdgeError`.  Slow imports happen only when a function is called.

Some parameters are common to many functions:

    progress            a function that is called with (step, done, total)
    notify              a function that is called with each remark; None: Python's `warnings`
    public_key          the key file to verify the artifact's signature with; None: it is not verified
    require_signature   refuse an artifact without a verified signature
"""

from nf_edge.core import notebook
from nf_edge.pipeline.api.all_devices import devices_fit
from nf_edge.pipeline.api.devices import check_devices, list_devices, new_device, probe_device
from nf_edge.pipeline.api.explain import check_layers, check_stages
from nf_edge.pipeline.api.load import load_artifact, load_checkpoint, load_device, load_recipe, load_rows
from nf_edge.pipeline.api.make import compress, sensitivity, sweep
from nf_edge.pipeline.api.make_artifact import dry_run, export
from nf_edge.pipeline.api.measure import bench, check, check_on, generate, profile

__all__ = [
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


def _html(value: object) -> str | None:
    from nf_edge.pipeline.api.notebook import html_of

    return html_of(value)


notebook.render = _html
