"""`nf-edge inspect`."""

from pathlib import Path

import click

from nf_edge.cli.on_option import emulated, on_option
from nf_edge.cli.output import json_option, print_json, print_lines, print_table, show
from nf_edge.cli.trust import Trust, open_artifact, trust_options

EPILOG = """\b
Examples:
  nf-edge inspect digits-pi
  nf-edge inspect digits-pi --on rpi-5,pixel-8
"""


@click.command("inspect", epilog=EPILOG)
@click.argument("artifact", type=click.Path(path_type=Path))
@on_option
@trust_options
@json_option
def command(artifact: Path, on: str | None, trust: Trust, as_json: bool) -> None:
    """What an ARTIFACT is made of and needs.

    Verifies the hash of every file, lists its operators and delegates, how to call it and what an
    application must link, and loads it in each runtime that is here; with --on, on those devices' cores too.
    A file that does not load is exit code 3.
    """
    from nf_edge import render
    from nf_edge.core.errors import BadInput
    from nf_edge.measure.inspection import inspect

    the_artifact = open_artifact(artifact, trust)
    manifest = the_artifact.manifest
    found = inspect(the_artifact, emulated(on))
    if as_json:
        document = manifest.model_dump(mode="json", by_alias=True, exclude={"reports"})
        print_json("inspect", document | {"signature": the_artifact.signature} | found.to_json())
    else:
        print_table(("", str(artifact)), render.artifact_rows(the_artifact))
        print_table(("operator", "uses"), list(found.operators.items()), right=(1,))
        print_lines(
            render.quantization_lines(manifest.quantization, manifest.calibration), title="Quantization"
        )
        print_lines(render.coverage_lines(manifest), title="Operators")
        if accelerator := render.accelerator_table(manifest):
            print_lines(render.accelerator_lines(manifest), title="Accelerator")
            show(accelerator)
        print_lines([f"{load.where}: {load.problem or 'loads'}" for load in found.loads], title="Loading it")
    if all(load.problem for load in found.loads):
        raise BadInput("loads in no runtime here", where=the_artifact.model_file)
