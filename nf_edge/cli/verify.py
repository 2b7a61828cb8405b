"""`nf-edge verify`."""

from pathlib import Path

import click

from nf_edge.cli.output import json_option, print_json
from nf_edge.cli.trust import PUBLIC_KEY, Trust, open_artifact

EPILOG = """\b
Examples:
  openssl ec -in signing.pem -pubout -out signing.pub
  nf-edge verify digits-pi --key signing.pub
"""


@click.command("verify", epilog=EPILOG)
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option(
    "--key",
    "--public-key",
    "public_key",
    required=True,
    type=click.Path(path_type=Path),
    envvar=PUBLIC_KEY,
    show_envvar=True,
    help="The signer's public key (EC, PEM).",
)
@json_option
def command(artifact: Path, public_key: Path, as_json: bool) -> None:
    """Verify that an ARTIFACT was signed with a key, and that no file was added, removed or changed since.

    One that is not signed, or not by this key, is exit code 3.
    """
    manifest = open_artifact(artifact, Trust(public_key, required=True)).manifest
    files = [file.name for file in manifest.files or (manifest.model,)]
    if as_json:
        facts = {"verified_with": str(public_key), "status": manifest.status, "files": files}
        print_json("verify", {"artifact": str(artifact), **facts})
    else:
        click.echo(f"{artifact} was signed with the key of {public_key}: the manifest and {len(files)} files")
        click.echo(f"status: {manifest.status}")
