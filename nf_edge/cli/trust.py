"""`--public-key` and `--require-signature`: whose artifacts a verb runs."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nf_edge.cli.output import warn_of

if TYPE_CHECKING:
    from nf_edge.artifact import Artifact

PUBLIC_KEY = "NF_EDGE_PUBLIC_KEY"


@dataclass(frozen=True)
class Trust:
    """What a user requires of signatures.

    Attributes:
        public_key: that a signature is verified with; None: none is.
        required: whether an artifact without a verified signature is refused.
    """

    public_key: Path | None
    required: bool


def trust_options(command: Callable[..., None]) -> Callable[..., None]:
    """The two options, which a command gets as `trust`."""

    @click.option(
        "--public-key",
        type=click.Path(path_type=Path),
        envvar=PUBLIC_KEY,
        show_envvar=True,
        help="Verify the artifact's signature, where it has one, with this key.",
    )
    @click.option(
        "--require-signature", is_flag=True, help="Refuse an artifact whose signature is not verified."
    )
    @wraps(command)
    def with_trust(*arguments: Any, public_key: Path | None, require_signature: bool, **options: Any) -> None:
        command(*arguments, trust=Trust(public_key, require_signature), **options)

    return with_trust


def open_artifact(path: Path, trust: Trust) -> "Artifact":
    """Load an artifact, verified as the user requires; remarks about it go to stderr.

    Raises what `nf_edge.load_artifact` does.
    """
    from nf_edge.pipeline.loading import load_artifact

    return load_artifact(path, public_key=trust.public_key, require_signature=trust.required, notify=warn_of)
