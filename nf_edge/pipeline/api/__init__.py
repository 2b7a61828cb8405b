"""The Python API: the commands as functions that return the values that the commands print.

Arguments are names of bundled things (str), paths (str or Path; a Path is never a name), or loaded values.
`passed` and `failure` of a value say whether it passes its gates; errors are `NfEdgeError`.  Each function
resolves its arguments, calls the job, and returns its value; nothing heavy is imported before that.

Three parameters are the same everywhere:

    progress    is called with (step, done, total)
    notify      is called with each remark; Python's `warnings` where it is None
    public_key, require_signature   verify an artifact's signature, and refuse one that is not verified
"""

from nf_edge.core import notebook
from nf_edge.pipeline.api.load import load_artifact, load_checkpoint, load_device, load_recipe, load_rows
from nf_edge.pipeline.api.make import compress, dry_run, export, sensitivity, sweep
from nf_edge.pipeline.api.measure import bench, check, check_on, generate, profile

__all__ = [
    "bench",
    "check",
    "check_on",
    "compress",
    "dry_run",
    "export",
    "generate",
    "load_artifact",
    "load_checkpoint",
    "load_device",
    "load_recipe",
    "load_rows",
    "profile",
    "sensitivity",
    "sweep",
]


def _html(value: object) -> str | None:
    from nf_edge.pipeline.api.notebook import html_of

    return html_of(value)


notebook.render = _html
