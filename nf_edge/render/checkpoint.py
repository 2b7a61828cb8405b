"""The report of a written checkpoint, with the command that exports it."""

import shlex
from pathlib import Path

from nf_edge.model.written import WrittenCheckpoint
from nf_edge.render.comparison import noise_text
from nf_edge.render.table import Part, Table, body

RECIPE, RUNTIME = "xnnpack-8da8w", "xnnpack"


def written_parts(written: WrittenCheckpoint) -> list[Part]:
    path = written.checkpoint.path
    notes = [f"note: {note}" for note in written.notes]
    return [
        Table("", ("checkpoint", str(path)), _rows(written)),
        body([*notes, export_line(path, RECIPE, f"{path.name}-{RUNTIME}")]),
    ]


def export_line(checkpoint: Path | str, recipe: Path | str, out: str) -> str:
    """The line `next: nf-edge export …`, quoted for a shell."""
    words = ("nf-edge", "export", str(checkpoint), "--recipe", str(recipe), "-o", out)
    return f"next: {shlex.join(words)}"


def _rows(written: WrittenCheckpoint) -> tuple[tuple[str, str], ...]:
    checkpoint, config = written.checkpoint, written.checkpoint.config
    kind = config.kind
    if not config.is_language_model:
        kind += f", pools {config.pooled_token}"
    tokenizer = "tokenizer.json" if checkpoint.tokenizer_file else "no tokenizer"
    return (
        ("model", f"{kind}, {'causal' if config.causal else 'bidirectional'}"),
        ("layers", f"{config.n_layer}, {config.n_head} heads of {config.head_size}, width {config.n_embd}"),
        ("attention", f"{config.attention}, {noise_text(config)}"),
        ("positions", f"{config.n_positions:,}"),
        ("vocabulary", f"{config.vocab_size:,}, {tokenizer}"),
        ("activation", config.activation_function),
        ("parameters", f"{checkpoint.parameters:,} in {written.dtype}"),
    )
