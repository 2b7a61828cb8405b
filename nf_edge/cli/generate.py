"""`nf-edge generate`."""

from functools import partial

import click

from nf_edge.cli.numbers import Finite
from nf_edge.cli.on_option import device_on, on_option
from nf_edge.cli.output import json_option, print_json, warn_of
from nf_edge.cli.trust import Trust, trust_options

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
    from nf_edge.pipeline import api

    result = api.generate(
        source,
        prompt,
        max_tokens=max_tokens,
        temperature=temperature,
        seed=seed,
        as_ids=as_ids,
        on=device_on(on),
        public_key=trust.public_key,
        require_signature=trust.required,
        on_text=None if as_json else partial(click.echo, nl=False),
        notify=warn_of,
    )
    if as_json:
        print_json("generate", result.to_json())
    else:
        click.echo()
