"""`nf-edge sign`: sign an artifact."""

import os
from pathlib import Path

import click

from nf_edge.cli.options import PATH, json_option
from nf_edge.cli.output import finish
from nf_edge.cli.progress import warn
from nf_edge.core.environment import KEY_PASSWORD

EPILOG = """\b
Examples:
  openssl ecparam -name prime256v1 -genkey -noout -out signing.pem
  openssl ec -in signing.pem -pubout -out signing.pub
  nf-edge sign digits-pi --key signing.pem
  nf-edge check digits-pi --data digits:test --public-key signing.pub --require-signature
"""


@click.command("sign", epilog=EPILOG)
@click.argument("artifact", type=PATH)
@click.option(
    "--key",
    required=True,
    type=PATH,
    help=f"Your private key (EC, PEM). If it is encrypted, set {KEY_PASSWORD} to its password.",
)
@json_option
def command(artifact: Path, key: Path, as_json: bool) -> None:
    """Sign all files of an ARTIFACT, including its manifest and figures, with your key.

    The signature is the file model.sig in the artifact's folder.  It has the format of OpenSSF's
    model-signing, which can also verify it.  No data is sent.  If a file changed since the export, the
    command signs nothing.
    """
    from nf_edge.artifact.signed import sign_artifact
    from nf_edge.render.signature import signed_parts

    signed = sign_artifact(artifact, key, os.environ.get(KEY_PASSWORD))
    for warning in signed.warnings:
        warn(warning)
    finish("sign", signed, as_json, signed_parts)
