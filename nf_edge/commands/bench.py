"""`nf-edge bench`."""

from pathlib import Path

import click

from nf_edge.commands.common import json_option, print_json, print_lines, progress_bar, show

EPILOG = """\b
Examples:
  nf-edge bench digits-pi
  nf-edge bench play --lengths 16,128 --contexts 64 --threads 1,2
  nf-edge bench play --against play-onnx
"""


class Counts(click.ParamType):
    """Whole numbers from 1 on, with commas between them."""

    name = "N,N…"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> list[int]:
        numbers = [part.strip() for part in value.split(",")]
        if not all(part.isascii() and part.isdigit() and int(part) >= 1 for part in numbers):
            self.fail(f"{value!r} is not a list of numbers from 1 on, such as 16,64", param, ctx)
        return [int(part) for part in numbers]


@click.command("bench", epilog=EPILOG)
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option(
    "--against", type=click.Path(path_type=Path), metavar="OTHER", help="A second artifact, turn about."
)
@click.option("--lengths", type=Counts(), help="Tokens of a prefill (default: by the model's positions).")
@click.option(
    "--contexts", type=Counts(), help="Tokens in the cache before each is decoded (default: so too)."
)
@click.option("--threads", type=Counts(), default="1", show_default=True, help="Of the runtime's pool.")
@click.option("--repeats", type=click.IntRange(5), default=20, show_default=True, help="Rounds of each.")
@json_option
def command(
    artifact: Path,
    against: Path | None,
    lengths: list[int] | None,
    contexts: list[int] | None,
    threads: list[int],
    repeats: int,
    as_json: bool,
) -> None:
    """Latency of an ARTIFACT on this machine: loading, prefill, and decoding token by token.

    It is measured in a native process, and says so where that has to be a Python one.  With --against,
    both are asked turn about, and the ratio of the medians says how many times as fast ARTIFACT is.
    """
    from nf_edge.artifact import load_artifact
    from nf_edge.backends import backend_for
    from nf_edge.latency import bench, make_plan
    from nf_edge.render_latency import artifact_lines, latency_lines, latency_tables

    artifacts = [load_artifact(path) for path in (artifact, against) if path is not None]
    for the_artifact in artifacts:
        backend_for(the_artifact.manifest.recipe)
    plan = make_plan(artifacts, lengths, contexts, threads, repeats)
    with progress_bar() as progress:
        report = bench(artifacts, plan, progress)
    if as_json:
        print_json("bench", report.to_json())
        return
    print_lines(artifact_lines(report))
    for table in latency_tables(report):
        show(table)
    print_lines(latency_lines(report))
