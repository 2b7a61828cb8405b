"""The folder for files of this user that nf-edge can make again."""

import os
from pathlib import Path

from nf_edge.core.errors import MissingTool

SET_CACHE = "set the environment variable XDG_CACHE_HOME to a folder that only you can write to"


def user_cache() -> Path:
    """nf-edge's folder in the user's cache folder; it may not exist.

    Raises:
        MissingTool: the home folder is unknown.
    """
    if chosen := os.environ.get("XDG_CACHE_HOME"):
        return Path(chosen).absolute() / "nf-edge"
    try:
        return Path.home() / ".cache" / "nf-edge"
    except RuntimeError:
        raise MissingTool("your home folder cannot be determined", fix=SET_CACHE) from None
