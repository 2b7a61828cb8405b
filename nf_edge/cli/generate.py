"""`nf-edge generate`: continue a text with a language model."""

from functools import partial
from typing import Any

import click

from nf_edge.cli.options import COUNT, json_option, on_option, seed_option, signature_options
from nf_edge.cli.output import finish
from nf_edge.cli.param_types import Finite
from nf_edge.cli.progress import warn
from nf_edge.core.defaults import MAX_TOKENS

EPILOG = """\b
Examples:
  nf-edge generate out "Once upon a time"
  nf-edge generate out "Once upon a time" --on rpi-5
  nf-edge generate ./my-model --ids "12 7 99" --max-tokens 20 --temperature 0.8 --seed 1
"""


@click.command("generate", epilog=EPILOG)
@click.argument("source", metavar="ARTIFACT|CHECKPOINT")
@click.argument("prompt", required=False)
@click.option(
    "--max-tokens",
    type=COUNT,
    metavar="N",
    default=MAX_TOKENS,
    show_default=True,
    help="Largest number of tokens to generate.",
)
@click.option(
    "--temperature",
    type=Finite(0),
    metavar="T",
    default=0.0,
    show_default=True,
    help="0 takes the most likely token; higher values draw tokens more randomly.",
)
@seed_option()
@click.option("--ids", "as_ids", is_flag=True, help="Read PROMPT as token ids, and print token ids.")
@on_option()
@signature_options
@json_option
def command(source: str, prompt: str | None, as_json: bool, **options: Any) -> None:
    """Continue PROMPT with a language model, and print the text as it is generated.

    An ARTIFACT runs from its file and uses the file's cache.  A CHECKPOINT (a folder or the name of a bundled
    model) runs in PyTorch.  Without PROMPT, generation starts with the model's begin-of-text token.  It ends
    at an end-of-text token, after --max-tokens, or when the model has no positions left.  With --on, an
    artifact runs on an emulated core of the device.
    """
    from nf_edge.pipeline import api
    from nf_edge.render.table import body

    on_text = None if as_json else partial(click.echo, nl=False)
    result = api.generate(source, prompt, on_text=on_text, notify=warn, **options)
    # The text is already on stdout; a line break ends it.
    finish("generate", result, as_json, lambda _: [body([""])])
