"""What `import` and `init` tell about the checkpoint that they wrote."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nf_edge.cli.output import print_json, print_table

if TYPE_CHECKING:
    from nf_edge.model import Checkpoint


def print_written(command: str, path: Path, as_json: bool, notes: Sequence[str] = ()) -> None:
    """Load the checkpoint back from its folder, which proves that it is whole, and describe it."""
    from nf_edge.model import load_checkpoint

    checkpoint = load_checkpoint(path)
    dtype = str(next(iter(checkpoint.tensors.values())).dtype).removeprefix("torch.")
    config = checkpoint.config
    if as_json:
        facts = {
            "checkpoint": str(path),
            "parameters": checkpoint.parameters,
            "dtype": dtype,
            "tokenizer": checkpoint.tokenizer_file is not None,
            "config": config.to_json(),
            "notes": list(notes),
        }
        print_json(command, facts)
        return
    print_table(("checkpoint", str(path)), _rows(checkpoint, dtype))
    for note in notes:
        click.echo(f"note: {note}")
    place = shlex.quote(str(path))
    click.echo(
        f"next: nf-edge export {place} --recipe xnnpack-8da8w -o {shlex.quote(path.name + '-xnnpack')}"
    )


def _rows(checkpoint: "Checkpoint", dtype: str) -> list[tuple[str, str]]:
    config = checkpoint.config
    kind = config.kind
    if not config.is_language_model:
        kind += f", pools {config.pooled_token}"
    noise = config.noise.kind + (f" of rank {config.noise.rank}" if config.noise.kind == "lowrank" else "")
    tokenizer = "tokenizer.json" if checkpoint.tokenizer_file else "no tokenizer"
    return [
        ("model", f"{kind}, {'causal' if config.causal else 'bidirectional'}"),
        ("layers", f"{config.n_layer}, {config.n_head} heads of {config.head_size}, width {config.n_embd}"),
        ("attention", f"{config.attention}, noise {noise}"),
        ("positions", f"{config.n_positions:,}"),
        ("vocabulary", f"{config.vocab_size:,}, {tokenizer}"),
        ("activation", config.activation_function),
        ("parameters", f"{checkpoint.parameters:,} in {dtype}"),
    ]
