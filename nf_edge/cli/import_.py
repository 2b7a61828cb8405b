"""nf-edge import: a nanoGPT file or a Hugging Face GPT-2 folder becomes a checkpoint."""

from pathlib import Path

import click

from nf_edge.cli.checkpoint_summary import print_written
from nf_edge.cli.output import json_option, progress_bar


@click.command("import")
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="Checkpoint folder to write."
)
@click.option(
    "--vocab-size",
    type=click.IntRange(min=1),
    help="Number of tokens, where the embedding is padded with more rows.",
)
@click.option(
    "--tokenizer",
    "tokenizer_file",
    type=click.Path(path_type=Path),
    help="A tokenizer.json to put beside the weights; it also says the number of tokens.",
)
@click.option(
    "--activation",
    type=click.Choice(["gelu", "gelu_new", "relu"]),
    help="What the MLPs of a nanoGPT file use, which it does not say.  [default: gelu]",
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float16", "bfloat16"]),
    help="Of the weights written.  [default: the source's, float32 where it has several]",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing checkpoint.")
@json_option
def command(
    source: Path,
    out: Path,
    vocab_size: int | None,
    tokenizer_file: Path | None,
    activation: str | None,
    dtype: str | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Turn a nanoGPT or Hugging Face GPT-2 into a checkpoint.

    SOURCE is nanoGPT's .pt file (or that of a code base that grew out of it, with symmetric attention
    as attn.c_kv and noise as attn.noise.*), or a GPT-2 folder with config.json and model.safetensors.
    Nothing is downloaded, and no pickle is run.

    \b
    Examples:
      nf-edge import out/ckpt.pt --tokenizer tokenizer.json -o my-model
      nf-edge import ./gpt2 --dtype float16 -o gpt2-nf
    """
    import torch

    from nf_edge.model.checkpoint import check_place
    from nf_edge.model.importers import import_checkpoint

    read = [source] if tokenizer_file is None else [source, tokenizer_file]
    check_place(out, overwrite=overwrite, sources=read)
    with progress_bar() as progress:
        progress("reading the model", 0, 1)
        imported = import_checkpoint(
            source, vocab_size=vocab_size, tokenizer_file=tokenizer_file, activation=activation
        )
        progress("writing the checkpoint", 0, 1)
        imported.save(out, dtype=getattr(torch, dtype) if dtype else None, overwrite=overwrite)
    print_written("import", out, as_json, imported.notes)
