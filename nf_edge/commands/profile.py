"""`nf-edge profile`."""

from pathlib import Path

import click

from nf_edge.commands.common import json_option, print_json, show_memory, warn
from nf_edge.commands.emulated import on_option, one_core
from nf_edge.commands.trust import Trust, open_artifact, trust_options

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
    from nf_edge.backends import backend_for
    from nf_edge.backends.base import Bounds
    from nf_edge.compress.mark import require_done
    from nf_edge.device import load_device
    from nf_edge.memory import enforce_budget, predict_memory, profile_model
    from nf_edge.model import resolve_checkpoint
    from nf_edge.recipe import load_recipe
    from nf_edge.resources import names

    the_device, core = load_device(device) if device else None, one_core(on)
    if core and recipe:
        raise click.UsageError("--on runs an ARTIFACT, and --recipe is for a CHECKPOINT")
    if trust.required and recipe:
        raise click.UsageError("--require-signature is for an ARTIFACT, and --recipe for a CHECKPOINT")
    if recipe:
        the_recipe = load_recipe(recipe)
        backend = backend_for(the_recipe)
        checkpoint = resolve_checkpoint(source)
        warn(checkpoint.warnings)
        require_done(checkpoint, the_recipe)
        backend.require_size(checkpoint.config, the_recipe)
        bounds = Bounds.of(the_recipe, checkpoint.config)
        report = predict_memory(backend, checkpoint.config, bounds, the_recipe, the_device)
    else:
        if source in names("checkpoints", suffix=""):
            raise click.UsageError(f"{source} is a checkpoint: name the --recipe to predict its memory for")
        artifact = open_artifact(Path(source), trust)
        manifest = artifact.manifest
        backend = backend_for(manifest.recipe)
        report = profile_model(
            backend,
            artifact.model_file,
            manifest.config,
            manifest.interface.bounds,
            manifest.recipe,
            the_device,
            core,
        )
    if as_json:
        print_json("profile", report.to_json())
    else:
        show_memory(report)
    if report.verdict:
        enforce_budget(report.verdict)
