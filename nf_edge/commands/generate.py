"""`nf-edge generate`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nf_edge.commands.common import json_option, print_json, warn
from nf_edge.commands.emulated import on_option, one_core
from nf_edge.commands.numbers import Finite
from nf_edge.commands.trust import Trust, open_artifact, trust_options
from nf_edge.errors import BadInput

if TYPE_CHECKING:
    from nf_edge.emulation import EmulatedCore
    from nf_edge.model import Decoder, ModelConfig

EPILOG = """\b
Examples:
  nf-edge generate out "Once upon a time"
  nf-edge generate out "Once upon a time" --on rpi-5
  nf-edge generate ./my-model --ids "12 7 99" --max-tokens 20 --temperature 0.8 --seed 1
"""


@click.command("generate", epilog=EPILOG)
@click.argument("source", metavar="ARTIFACT|CHECKPOINT")
@click.argument("prompt", required=False)
@click.option("--max-tokens", type=click.IntRange(1), default=100, show_default=True)
@click.option(
    "--temperature",
    type=Finite(0),
    default=0.0,
    show_default=True,
    help="0 takes the likeliest token; else they are drawn, the more evenly the higher it is.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the drawing.")
@click.option("--ids", "as_ids", is_flag=True, help="PROMPT is token ids, and ids are printed.")
@on_option
@trust_options
@json_option
def command(
    source: str,
    prompt: str | None,
    max_tokens: int,
    temperature: float,
    seed: int,
    as_ids: bool,
    on: str | None,
    trust: Trust,
    as_json: bool,
) -> None:
    """Continue PROMPT with a language model, and print its text as it comes.

    An ARTIFACT is run from its file, through its own cache; a CHECKPOINT (a folder or the name of a
    bundled one) in PyTorch.  Without PROMPT it begins with the model's begin-of-text token.  It ends with
    an end-of-text token of the model's, after --max-tokens, or where the model has no positions left.  With
    --on, an artifact writes what it would on that device's core.
    """
    from nf_edge.files import as_text
    from nf_edge.generation import TextStream, generate
    from nf_edge.model.tokenizer import read_tokenizer, refusing

    core = one_core(on)
    prompt = None if prompt is None else as_text(prompt)
    decoder, config, tokenizer_file = _open(source, core, trust, as_ids)
    tokenizer = None
    if not as_ids:
        if tokenizer_file is None:
            raise BadInput("has no tokenizer.json", where=source, fix="give token ids, with --ids")
        tokenizer = read_tokenizer(tokenizer_file)
    if prompt is None:
        if config.bos_token_id is None:
            raise BadInput("has no bos_token_id to begin with", where=source, fix="give a PROMPT")
        ids = [config.bos_token_id]
    else:
        with refusing("PROMPT", "cannot be encoded"):
            ids = tokenizer.encode(prompt).ids if tokenizer else _parse(prompt)
    _check(ids, config)
    found: list[int] = []
    stream = TextStream(tokenizer) if tokenizer else None
    for token in generate(
        decoder, ids, max_tokens=max_tokens, temperature=temperature, seed=seed, ends=config.ends
    ):
        found.append(token)
        if not as_json:
            click.echo(stream.add(token) if stream else f"{token} ", nl=False)
    if stream and not as_json:
        click.echo(stream.end(), nl=False)
    ended = "end of text" if found[-1] in config.ends else "max tokens"
    full = ended == "max tokens" and len(found) < max_tokens
    if full:
        ended = "full"
        warn([f"no positions are left: the model has {decoder.capacity}"])
    if not as_json:
        click.echo()
        return
    text = tokenizer.decode(found) if tokenizer else None
    result = {"prompt_ids": ids, "ids": found, "text": text, "ended": ended}
    print_json("generate", result)


def _open(
    source: str, core: "EmulatedCore | None", trust: Trust, as_ids: bool
) -> "tuple[Decoder, ModelConfig, Path | None]":
    """What to generate with, its config, and its tokenizer unless ids are generated."""
    from nf_edge.artifact import MANIFEST
    from nf_edge.backends import backend_for
    from nf_edge.model import CausalLM, Decoder, TorchDecoder, resolve_checkpoint

    if not (Path(source) / MANIFEST).is_file():
        if core:
            raise BadInput("is no artifact, and --on is for the files of those", where=source)
        if trust.required:
            raise BadInput("is no artifact, and --require-signature is for those", where=source)
        checkpoint = resolve_checkpoint(source)
        warn(checkpoint.warnings)
        model = checkpoint.model()
        if not isinstance(model, CausalLM):
            raise BadInput("is no language model", where=source)
        return TorchDecoder(model), checkpoint.config, checkpoint.tokenizer_file
    artifact = open_artifact(Path(source), trust)
    manifest = artifact.manifest
    if not manifest.config.is_language_model:
        raise BadInput("is no language model", where=source)
    if not manifest.interface.cached:
        raise BadInput(
            "has no cache to generate with: it gives the logits of all tokens",
            where=source,
            fix="export it by a recipe with logits: last",
        )
    backend, bounds = backend_for(manifest.recipe), manifest.interface.bounds
    if core:
        from nf_edge.emulation import load

        decoder = load(core, backend, artifact.model_file, bounds)
    else:
        decoder = backend.load(artifact.model_file, bounds)
    assert isinstance(decoder, Decoder)
    return decoder, manifest.config, None if as_ids else artifact.tokenizer_file


def _parse(prompt: str) -> list[int]:
    try:
        return [int(word) for word in prompt.replace(",", " ").split()]
    except ValueError:
        raise BadInput("is not a list of token ids", where="PROMPT", fix="with --ids, say: 12 7 99") from None


def _check(ids: list[int], config: "ModelConfig") -> None:
    if not ids:
        raise BadInput("has no tokens", where="PROMPT")
    outside = [token for token in ids if not 0 <= token < config.vocab_size]
    if outside:
        raise BadInput(f"token {outside[0]} is outside the vocabulary of {config.vocab_size}", where="PROMPT")
