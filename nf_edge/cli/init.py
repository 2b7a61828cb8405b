"""nf-edge init: a checkpoint of a given shape with random weights."""

from pathlib import Path
from typing import Any

import click

from nf_edge.cli.checkpoint_summary import print_written
from nf_edge.cli.output import json_option, progress_bar
from nf_edge.core.presets import DEFAULT_RANK, PRESETS

SIZE = click.IntRange(min=1)


@click.command("init")
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="Checkpoint folder to write."
)
@click.option(
    "--preset", type=click.Choice(list(PRESETS)), default="tiny", show_default=True, help="A known shape."
)
@click.option(
    "--vocab-size", type=SIZE, help="Number of tokens.  [default: the tokenizer's, else the preset's]"
)
@click.option("--positions", "n_positions", type=SIZE, help="Longest sequence, in tokens.")
@click.option("--embd", "n_embd", type=SIZE, help="Width of the residual stream.")
@click.option("--layers", "n_layer", type=SIZE, help="Number of layers.")
@click.option("--heads", "n_head", type=SIZE, help="Heads a layer; they must divide --embd.")
@click.option("--inner", "n_inner", type=SIZE, help="Width inside the MLPs.  [default: 4 × --embd]")
@click.option(
    "--attention", type=click.Choice(["symmetric", "standard"]), default="symmetric", show_default=True
)
@click.option(
    "--noise",
    type=click.Choice(["none", "lowrank", "pairwise", "relative"]),
    help="Learned noise on the scores.  [default: lowrank; none with standard attention]",
)
@click.option("--rank", type=SIZE, help="Of low-rank noise.  [default: 4]")
@click.option(
    "--activation",
    "activation_function",
    type=click.Choice(["gelu_new", "gelu", "relu"]),
    default="gelu_new",
    show_default=True,
)
@click.option("--untied", is_flag=True, help="Give the language model a head of its own.")
@click.option("--labels", "num_labels", type=SIZE, help="Make it a classifier of N labels (1: regression).")
@click.option("--pooling", type=click.Choice(["last", "first", "mean"]), help="Of a classifier.")
@click.option("--bidirectional", is_flag=True, help="Let a classifier's tokens see those after them.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Same seed, same bytes."
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float16", "bfloat16"]),
    default="float32",
    show_default=True,
    help="Of the weights written.",
)
@click.option(
    "--tokenizer",
    "tokenizer_file",
    type=click.Path(path_type=Path),
    help="A tokenizer.json to put beside it.",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing checkpoint.")
@json_option
def command(
    out: Path,
    preset: str,
    noise: str | None,
    rank: int | None,
    untied: bool,
    bidirectional: bool,
    seed: int,
    dtype: str,
    tokenizer_file: Path | None,
    overwrite: bool,
    as_json: bool,
    **keys: Any,
) -> None:
    """Write a checkpoint of a given shape with random weights.

    It answers nonsense, but it has the size and speed of the trained model: enough to see whether a
    shape fits a device before training it.  Noise starts small but not at zero.

    \b
    Examples:
      nf-edge init -o tiny
      nf-edge init --preset gpt2 --rank 8 -o gpt2-nf
      nf-edge init --embd 128 --heads 4 --labels 2 --bidirectional --tokenizer tokenizer.json -o sentiment
    """
    import torch

    from nf_edge.model.checkpoint import check_place, save_checkpoint
    from nf_edge.model.config import CLASSIFIER, LANGUAGE_MODEL, parse_config
    from nf_edge.model.init import init_tensors

    noise = noise or ("lowrank" if keys["attention"] == "symmetric" else "none")
    _check_usage(keys, noise, rank, untied, bidirectional)
    check_place(out, overwrite=overwrite, sources=[tokenizer_file] if tokenizer_file else [])
    given = {key: value for key, value in keys.items() if value is not None}
    document = {
        **PRESETS[preset],
        **(_tokenizer_keys(tokenizer_file, keys["vocab_size"]) if tokenizer_file else {}),
        **given,
        "architectures": [CLASSIFIER if "num_labels" in given else LANGUAGE_MODEL],
        "causal": not bidirectional,
        "noise": {"kind": noise, "rank": (rank or DEFAULT_RANK) if noise == "lowrank" else None},
        "tie_word_embeddings": not untied,
    }
    config = parse_config(document, "the shape that is asked for")
    with progress_bar() as progress:
        progress("drawing the weights", 0, 1)
        tensors = init_tensors(config, seed)
        progress("writing the checkpoint", 0, 1)
        save_checkpoint(
            out,
            config,
            tensors,
            dtype=getattr(torch, dtype),
            tokenizer_file=tokenizer_file,
            overwrite=overwrite,
        )
    print_written("init", out, as_json)


def _check_usage(
    keys: dict[str, Any], noise: str, rank: int | None, untied: bool, bidirectional: bool
) -> None:
    """Options that would be without effect, or against each other."""
    classifier = keys["num_labels"] is not None
    problems = [
        message
        for wrong, message in (
            (rank and noise != "lowrank", f"--rank belongs to --noise lowrank, not {noise}."),
            (noise != "none" and keys["attention"] == "standard", "Standard attention takes no --noise."),
            (untied and classifier, "--untied belongs to a language model, --labels makes a classifier."),
            (bidirectional and not classifier, "--bidirectional belongs to a classifier: give --labels."),
            (keys["pooling"] and not classifier, "--pooling belongs to a classifier: give --labels."),
        )
        if wrong
    ]
    if problems:
        raise click.UsageError("\n  ".join(problems))


def _tokenizer_keys(path: Path, vocab_size: int | None) -> dict[str, int]:
    """What a tokenizer says about the model: the size of its vocabulary, and where a text ends."""
    from nf_edge.core.errors import BadInput
    from nf_edge.model.tokenizer import END_OF_TEXT, read_tokenizer, vocabulary_size

    tokenizer = read_tokenizer(path)
    tokens, end = vocabulary_size(tokenizer), tokenizer.token_to_id(END_OF_TEXT)
    if vocab_size is not None and vocab_size < tokens:
        raise BadInput(f"the tokenizer has {tokens} tokens, more than --vocab-size {vocab_size}", where=path)
    return {"vocab_size": tokens} | ({} if end is None else {"eos_token_id": end})
