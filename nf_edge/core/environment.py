"""Environment variables that replace command-line options, and the folder of the user's configuration."""

import os
from pathlib import Path

# The file with the signer's public key; the password of an encrypted private key.
PUBLIC_KEY, KEY_PASSWORD = "NF_EDGE_PUBLIC_KEY", "NF_EDGE_KEY_PASSWORD"
# The job summary of GitHub Actions.
JOB_SUMMARY = "GITHUB_STEP_SUMMARY"


def configuration_folder() -> Path:
    """nf-edge's folder in the user's configuration: in $XDG_CONFIG_HOME, by default ~/.config.

    A relative $XDG_CONFIG_HOME is ignored, as the XDG Base Directory Specification demands.
    """
    base = os.environ.get("XDG_CONFIG_HOME", "")
    return Path(base if os.path.isabs(base) else os.path.expanduser("~/.config")) / "nf-edge"
