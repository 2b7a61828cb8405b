"""`nf-edge import`: convert a nanoGPT or GPT-2 model to a checkpoint."""

from pathlib import Path
from typing import Any

import click

from nf_edge.cli.options import (
    PATH,
    activation_option,
    dtype_option,
    json_option,
    out_option,
    overwrite_option,
    tokenizer_option,
    vocab_size_option,
)
from nf_edge.cli.output import finish
from nf_edge.cli.progress import progress_bar


@click.command("import")
@click.argument("source", type=PATH)
@out_option("Checkpoint folder to write", required=True)
@vocab_size_option("the tokenizer's; without one, the model's")
@tokenizer_option
@activation_option(shown="gelu, for a nanoGPT file")
@dtype_option(shown="the source's; float32 if it has several")
@overwrite_option
@json_option
def command(source: Path, out: Path, as_json: bool, **options: Any) -> None:
    """Convert a nanoGPT or Hugging Face GPT-2 model to a checkpoint.

    SOURCE is a nanoGPT .pt file, or a GPT-2 folder with config.json and model.safetensors.  A .pt file may
    also come from a fork of nanoGPT with symmetric attention (attn.c_kv) and noise (attn.noise.*).  A nanoGPT
    file does not record its activation function, so give --activation.  --vocab-size drops the padding rows
    of an embedding.  Nothing is downloaded, and no pickle code runs.

    \b
    Examples:
      nf-edge import out/ckpt.pt --tokenizer tokenizer.json -o my-model
      nf-edge import ./gpt2 --dtype float16 -o gpt2-nf
    """
    from nf_edge.model.importers.write import write_imported
    from nf_edge.render.checkpoint import written_parts

    with progress_bar() as progress:
        written = write_imported(source, out, progress=progress, **options)
    finish("import", written, as_json, written_parts)
