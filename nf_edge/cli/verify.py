"""`nf-edge verify`: verify the signature of an artifact."""

from pathlib import Path

import click

from nf_edge.cli.options import PATH, json_option, public_key_option
from nf_edge.cli.output import finish
from nf_edge.cli.progress import warn

EPILOG = """\b
Examples:
  openssl ec -in signing.pem -pubout -out signing.pub
  nf-edge verify digits-pi --key signing.pub
"""


@click.command("verify", epilog=EPILOG)
@click.argument("artifact", type=PATH)
@public_key_option("--key", required=True)
@json_option
def command(artifact: Path, public_key: Path, as_json: bool) -> None:
    """Verify that an ARTIFACT was signed with a key, and that no file was added, removed or changed since.

    If the artifact has no signature, or was signed with another key, the exit code is 3.
    """
    from nf_edge.artifact.signed import Verified
    from nf_edge.pipeline.api import load_artifact
    from nf_edge.render.signature import verified_parts

    verified = load_artifact(artifact, public_key=public_key, require_signature=True, notify=warn)
    finish("verify", Verified(verified, public_key), as_json, verified_parts)
