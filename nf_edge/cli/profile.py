"""`nf-edge profile`."""

import click

from nf_edge.cli.on_option import device_on, on_option
from nf_edge.cli.output import finish, json_option, show_memory, warn_of
from nf_edge.cli.trust import Trust, trust_options

EPILOG = """\b
Examples:
  nf-edge profile digits-pi --device rpi-5
  nf-edge profile digits-pi --on rpi-5 --device rpi-5
  nf-edge profile digits --recipe xnnpack-8da8w --device rpi-zero-2w
"""


@click.command("profile", epilog=EPILOG)
@click.argument("source", metavar="ARTIFACT|CHECKPOINT")
@click.option("--recipe", help="Predict for a CHECKPOINT exported by this recipe; an ARTIFACT has its own.")
@click.option("--device", help="Hold the memory against this device (a name or a YAML file).")
@on_option
@trust_options
@json_option
def command(
    source: str, recipe: str | None, device: str | None, on: str | None, trust: Trust, as_json: bool
) -> None:
    """Memory of an artifact, or of a checkpoint that is not exported yet.

    Of an ARTIFACT it is predicted, planned (by the artifact's own plan) and measured (by running it in
    a native process on this machine, or with --on as a device's own core).  Of a CHECKPOINT with --recipe it
    is predicted.  With --device, exit code 4 says that it does not fit.
    """
    from nf_edge.core.resources import names
    from nf_edge.pipeline import api

    core = device_on(on)
    if core and recipe:
        raise click.UsageError("--on runs an ARTIFACT, and --recipe is for a CHECKPOINT")
    if trust.required and recipe:
        raise click.UsageError("--require-signature is for an ARTIFACT, and --recipe for a CHECKPOINT")
    if not recipe and source in names("checkpoints", suffix=""):
        raise click.UsageError(f"{source} is a checkpoint: name the --recipe to predict its memory for")
    report = api.profile(
        source,
        recipe=recipe,
        device=device,
        on=core,
        public_key=trust.public_key,
        require_signature=trust.required,
        notify=warn_of,
    )
    finish("profile", report, as_json, show_memory)
