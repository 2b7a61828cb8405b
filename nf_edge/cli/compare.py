"""`nf-edge compare`."""

from contextlib import ExitStack
from pathlib import Path

import click

from nf_edge.cli.output import json_option, print_json, print_lines, progress_bar, show, warn
from nf_edge.cli.timing_options import timing_options
from nf_edge.core.presets import DEFAULT_RANK, PRESETS

EPILOG = """\b
Examples:
  nf-edge compare --preset gpt2 --recipe nf-int8 --lengths 128,512
  nf-edge compare --preset distilgpt2 --recipe onnx-fp32 --device rpi-5 -o trio
  nf-edge compare ./my-noiseformer ./my-gpt2 --recipe xnnpack-8da8w
"""


@click.command("compare", epilog=EPILOG)
@click.argument("checkpoints", nargs=-1, metavar="[CHECKPOINT CHECKPOINT…]")
@click.option("--preset", type=click.Choice(list(PRESETS)), help="Three models of this shape instead.")
@click.option("--rank", type=click.IntRange(min=1), help=f"Of the preset's noise.  [default: {DEFAULT_RANK}]")
@click.option("--recipe", required=True, help="A recipe's name (nf-edge recipes list) or its YAML file.")
@click.option("--device", help="Hold the memory of each against this device (a name or a YAML file).")
@click.option("--calibrate", help="Rows to calibrate on, where the recipe does (default: examples.jsonl).")
@timing_options
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), help="Keep the artifacts here, a folder for each model."
)
@click.option("--overwrite", is_flag=True, help="Replace artifacts that are in OUT.")
@json_option
def command(
    checkpoints: tuple[str, ...],
    preset: str | None,
    rank: int | None,
    recipe: str,
    device: str | None,
    calibrate: str | None,
    lengths: list[int] | None,
    contexts: list[int] | None,
    threads: list[int],
    repeats: int,
    out: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Models side by side, by one recipe on this machine: size, memory, latency.

    The first CHECKPOINT is compared with each of the others.  With --preset these are made, with random
    weights: a NoiseFormer (symmetric attention and low-rank noise), a GPT-2 (standard attention), and
    symmetric attention without noise.  All are asked turn about, and their ratios have 95 % intervals.
    """
    from dataclasses import replace

    from nf_edge.core.device import load_device
    from nf_edge.core.recipe.recipe import load_recipe
    from nf_edge.core.staging import scratch_folder
    from nf_edge.model import resolve_checkpoint
    from nf_edge.model.baselines import CAVEAT, baseline_configs, write_baselines
    from nf_edge.pipeline.compare import compare
    from nf_edge.render.comparison import comparison_lines, comparison_tables, model_lines, summary_lines

    _check_usage(checkpoints, preset, rank, out, overwrite)
    the_recipe = load_recipe(recipe)
    the_device = load_device(device) if device else None
    with ExitStack() as stack:
        progress = stack.enter_context(progress_bar())
        if preset:
            scratch = stack.enter_context(scratch_folder())
            models = write_baselines(baseline_configs(preset, rank or DEFAULT_RANK), scratch, progress)
        else:
            models = [resolve_checkpoint(name) for name in checkpoints]
            warn(warning for model in models for warning in model.warnings)
        report = compare(
            models,
            the_recipe,
            lengths=lengths,
            contexts=contexts,
            threads=threads,
            repeats=repeats,
            device=the_device,
            calibrate=calibrate,
            out=out,
            overwrite=overwrite,
            progress=progress,
        )
    if preset:
        report = replace(report, notes=(CAVEAT, *report.notes))
    if as_json:
        print_json("compare", report.to_json())
    else:
        print_lines(model_lines(report))
        for table in comparison_tables(report):
            show(table)
        print_lines(comparison_lines(report))
        print_lines(summary_lines(report))
    if report.failure:
        raise report.failure


def _check_usage(
    checkpoints: tuple[str, ...], preset: str | None, rank: int | None, out: Path | None, overwrite: bool
) -> None:
    """What is compared with what, and options that would be without effect."""
    problems = [
        message
        for wrong, message in (
            (
                preset and checkpoints,
                "--preset makes its own models: leave out the checkpoints, or --preset.",
            ),
            (
                not preset and len(checkpoints) < 2,
                f"Give two checkpoints or more, not {len(checkpoints)}, or a --preset.",
            ),
            (rank and not preset, "--rank belongs to --preset; a checkpoint has its own."),
            (overwrite and out is None, "--overwrite belongs to -o / --out."),
        )
        if wrong
    ]
    if problems:
        raise click.UsageError("\n  ".join(problems))
