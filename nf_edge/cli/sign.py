"""`nf-edge sign`."""

import os
from pathlib import Path

import click

from nf_edge.cli.output import json_option, print_json, warn

PASSWORD = "NF_EDGE_KEY_PASSWORD"
EPILOG = """\b
Examples:
  openssl ecparam -name prime256v1 -genkey -noout -out signing.pem
  openssl ec -in signing.pem -pubout -out signing.pub
  nf-edge sign digits-pi --key signing.pem
  nf-edge check digits-pi --data digits:test --public-key signing.pub --require-signature
"""


@click.command("sign", epilog=EPILOG)
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option(
    "--key",
    required=True,
    type=click.Path(path_type=Path),
    help=f"Private key (EC, PEM). Set {PASSWORD} where it is encrypted.",
)
@json_option
def command(artifact: Path, key: Path, as_json: bool) -> None:
    """Sign all files of an ARTIFACT, its manifest and figures among them, with a key of yours.

    The signature is model.sig in its folder, in the format of OpenSSF's model-signing, which can verify it
    too. Nothing is sent anywhere. An artifact with a file that is not that of its export is not signed.
    """
    from nf_edge.artifact import load_artifact
    from nf_edge.artifact.signature import sign

    the_artifact = load_artifact(artifact)
    manifest = the_artifact.manifest
    warn(the_artifact.notes)
    if manifest.status == "fail":
        warn([f"{artifact} is marked as failed; it is signed with that mark"])
    signature = sign(the_artifact, key, os.environ.get(PASSWORD))
    files = [file.name for file in manifest.files or ()]
    if as_json:
        print_json("sign", {"signature": str(signature), "status": manifest.status, "files": files})
    else:
        click.echo(f"{signature} signs the manifest and {len(files)} files: {', '.join(files)}")
