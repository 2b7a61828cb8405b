"""`nf-edge bench`."""

from pathlib import Path

import click

from nf_edge.cli.output import json_option, print_json, print_lines, progress_bar, show, warn_of
from nf_edge.cli.timing_options import timing_options
from nf_edge.cli.trust import Trust, trust_options

EPILOG = """\b
Examples:
  nf-edge bench digits-pi
  nf-edge bench play --lengths 16,128 --contexts 64 --threads 1,2
  nf-edge bench play --against play-onnx --against play-int8
"""


@click.command("bench", epilog=EPILOG)
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option(
    "--against",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="OTHER",
    help="Another artifact, turn about; may be repeated.",
)
@timing_options
@trust_options
@json_option
def command(
    artifact: Path,
    against: tuple[Path, ...],
    lengths: list[int] | None,
    contexts: list[int] | None,
    threads: list[int],
    repeats: int,
    trust: Trust,
    as_json: bool,
) -> None:
    """Latency of an ARTIFACT on this machine: loading, prefill, and decoding token by token.

    It is measured in a native process, and says so where that has to be a Python one.  With --against,
    all are asked turn about, and ratios of the medians say how many times as fast ARTIFACT is as each.
    """
    from nf_edge.pipeline import api
    from nf_edge.render.latency import artifact_lines, latency_lines, latency_tables

    with progress_bar() as progress:
        report = api.bench(
            artifact,
            *against,
            lengths=lengths,
            contexts=contexts,
            threads=threads,
            repeats=repeats,
            public_key=trust.public_key,
            require_signature=trust.required,
            progress=progress,
            notify=warn_of,
        )
    if as_json:
        print_json("bench", report.to_json())
        return
    print_lines(artifact_lines(report))
    for table in latency_tables(report):
        show(table)
    print_lines(latency_lines(report))
