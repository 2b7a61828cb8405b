"""`nf-edge init`: write a checkpoint with random weights."""

from pathlib import Path
from typing import Any

import click

from nf_edge.cli.options import (
    COUNT,
    activation_option,
    dtype_option,
    json_option,
    out_option,
    overwrite_option,
    preset_option,
    rank_option,
    seed_option,
    together,
    tokenizer_option,
    vocab_size_option,
)
from nf_edge.cli.output import finish
from nf_edge.cli.progress import progress_bar
from nf_edge.cli.usage import refuse

shape_options = together(
    vocab_size_option("the tokenizer's, else the preset's"),
    click.option("--positions", "n_positions", type=COUNT, metavar="N", help="Longest sequence, in tokens."),
    click.option("--embd", "n_embd", type=COUNT, metavar="N", help="Width of the residual stream."),
    click.option("--layers", "n_layer", type=COUNT, metavar="N", help="Number of layers."),
    click.option("--heads", "n_head", type=COUNT, metavar="N", help="Heads per layer; must divide --embd."),
    click.option(
        "--inner",
        "n_inner",
        type=COUNT,
        metavar="N",
        show_default="4 × --embd",
        help="Width inside the MLPs.",
    ),
    click.option(
        "--attention",
        type=click.Choice(["symmetric", "standard"]),
        default="symmetric",
        show_default=True,
        help="How scores are computed: one projection for keys and queries, or GPT-2's two.",
    ),
    click.option(
        "--noise",
        type=click.Choice(["none", "lowrank", "pairwise", "relative"]),
        show_default="lowrank; none with standard attention",
        help="Learned noise on the scores.",
    ),
    rank_option,
    activation_option("gelu_new"),
    click.option("--untied", is_flag=True, help="Give a language model a separate output head."),
    click.option(
        "--num-labels",
        type=COUNT,
        metavar="N",
        help="Make a classifier with N labels (1: a regression).",
    ),
    click.option(
        "--pooling", type=click.Choice(["last", "first", "mean"]), help="Token that a classifier reads."
    ),
    click.option("--bidirectional", is_flag=True, help="Let a classifier's tokens attend to later ones."),
)


@click.command("init")
@out_option("Checkpoint folder to write", required=True)
@preset_option("tiny")
@shape_options
@seed_option()
@dtype_option("float32")
@tokenizer_option
@overwrite_option
@json_option
def command(out: Path, preset: str, as_json: bool, **options: Any) -> None:
    """Write a checkpoint of a given shape with random weights.

    Its answers mean nothing, but it has the size and speed of a trained model.  So you can check that a shape
    fits a device before you train it.  The noise starts small but not at zero.

    \b
    Examples:
      nf-edge init -o tiny
      nf-edge init --preset gpt2 --rank 8 -o gpt2-nf
      nf-edge init --embd 128 --heads 4 --num-labels 2 --bidirectional --tokenizer tokenizer.json -o sentiment
    """
    from nf_edge.model.random_checkpoint import write_random
    from nf_edge.render.checkpoint import written_parts

    writing = {name: options.pop(name) for name in ("seed", "dtype", "tokenizer_file", "overwrite")}
    shape = _shape(**options)
    with progress_bar() as progress:
        written = write_random(out, preset, shape, progress=progress, **writing)
    finish("init", written, as_json, written_parts)


def _shape(
    noise: str | None, rank: int | None, activation: str, untied: bool, bidirectional: bool, **keys: Any
) -> dict[str, Any]:
    """The keys of config.json that the options set.

    Raises:
        UsageError: an option has no effect, or contradicts another one.
    """
    noise = noise or ("lowrank" if keys["attention"] == "symmetric" else "none")
    classifier = keys["num_labels"] is not None
    refuse(
        (
            rank and noise != "lowrank",
            f"--rank needs --noise lowrank, not {noise}; leave --rank out, or change --noise.",
        ),
        (
            noise != "none" and keys["attention"] == "standard",
            "Standard attention supports no noise; leave --noise out.",
        ),
        (
            untied and classifier,
            "--untied is for language models, but --num-labels makes a classifier; give one.",
        ),
        (
            bidirectional and not classifier,
            "--bidirectional is for classifiers; give --num-labels, or leave it out.",
        ),
        (
            keys["pooling"] and not classifier,
            "--pooling is for classifiers; give --num-labels, or leave it out.",
        ),
    )
    return {
        **keys,
        "noise": noise,
        "rank": rank,
        "activation_function": activation,
        "causal": not bidirectional,
        "tie_word_embeddings": not untied,
    }
