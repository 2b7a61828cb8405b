"""Options that several commands share; each is declared once, with one help text."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from nf_edge.cli.param_types import Counts, Devices, OneDevice
from nf_edge.core.defaults import FEWEST_REPEATS, REPEATS
from nf_edge.core.environment import PUBLIC_KEY
from nf_edge.core.presets import DEFAULT_RANK, PRESETS

Command = Callable[..., Any]
Option = Callable[[Command], Command]
PATH = click.Path(path_type=Path)
COUNT = click.IntRange(min=1)

json_option = click.option("--json", "as_json", is_flag=True, help="Print the same facts as JSON.")


def together(*options: Option) -> Option:
    """A decorator that adds several options, in the order of --help."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def recipe_option(
    name: str = "recipe",
    *,
    required: bool = False,
    default: str = "",
    remark: str = "; the first is the baseline",
) -> Option:
    """The option `--recipe`; with the name `recipes` it can be given several times.

    Args:
        default: the default in the help text, in words; "": the help shows none.
        remark: the end of the help text about several recipes.
    """
    several = name == "recipes"
    return click.option(
        "--recipe",
        name,
        required=required,
        multiple=several,
        metavar="RECIPE",
        show_default=default or None,
        help="A recipe: a name from `nf-edge recipes list`, or a YAML file."
        + (f" Repeat the option for more{remark}." if several else ""),
    )


def _device_option(name: str, *, default: str = "") -> Option:
    """The option `--device`; with the name `devices` it can be given several times.

    Args:
        default: the default in the help text, in words; "": the help shows none.
    """
    several = name == "devices"
    return click.option(
        "--device",
        name,
        multiple=several,
        metavar="DEVICE",
        show_default=default or None,
        help="Check the memory against this device: a name from `nf-edge devices list`, or a YAML file."
        + (" Repeat the option for more." if several else ""),
    )


device_option = _device_option("device")
devices_option = _device_option("devices", default="all bundled devices and yours")

overwrite_option = click.option("--overwrite", is_flag=True, help="Replace an earlier or unfinished result.")

page_options = together(
    click.option("--html", type=PATH, metavar="FILE", help="Also write the results to a page, with charts."),
    overwrite_option,
)


def out_option(what: str, *, required: bool = False) -> Option:
    """The option `-o`.

    Args:
        what: the output in the help text, such as "Artifact folder to write".
    """
    return click.option("-o", "--out", type=PATH, required=required, help=f"{what}.")


resume_option = click.option("--resume", is_flag=True, help="Continue an interrupted run.")


def on_option(*, several: bool = False) -> Option:
    """The option `--on`; with `several` it takes a list of devices."""
    return click.option(
        "--on",
        type=Devices() if several else OneDevice(),
        help="Run the file on a core of this device, emulated by QEMU. A core of QEMU's, such as "
        "cortex-a53, is accepted too.",
    )


timing_options = together(
    click.option(
        "--lengths", type=Counts(), show_default="lengths that suit the model", help="Tokens of a prefill."
    ),
    click.option(
        "--contexts",
        type=Counts(),
        show_default="contexts that suit the model",
        help="Tokens in the cache before each decoded token.",
    ),
    click.option(
        "--threads", type=Counts(), default="1", show_default=True, help="Threads of the runtime's pool."
    ),
    click.option(
        "--repeats",
        type=click.IntRange(FEWEST_REPEATS),
        metavar="N",
        default=REPEATS,
        show_default=True,
        help="Rounds per measurement.",
    ),
)


def public_key_option(*aliases: str, required: bool = False) -> Option:
    return click.option(
        *aliases,
        "--public-key",
        "public_key",
        type=PATH,
        required=required,
        envvar=PUBLIC_KEY,
        show_envvar=True,
        help="The signer's public key (EC, PEM), to verify the artifact's signature.",
    )


signature_options = together(
    public_key_option(),
    click.option(
        "--require-signature", is_flag=True, help="Refuse an artifact whose signature is not verified."
    ),
)


def preset_option(default: str | None = None) -> Option:
    return click.option(
        "--preset",
        type=click.Choice(list(PRESETS)),
        default=default,
        show_default=True,
        help="Shape of the model.",
    )


# No default, so that --rank with other noise is an error.
rank_option = click.option(
    "--rank", type=COUNT, metavar="N", show_default=str(DEFAULT_RANK), help="Rank of low-rank noise."
)


def vocab_size_option(default: str) -> Option:
    return click.option(
        "--vocab-size",
        type=COUNT,
        metavar="N",
        show_default=default,
        help="Number of tokens in the vocabulary.",
    )


tokenizer_option = click.option(
    "--tokenizer", "tokenizer_file", type=PATH, help="A tokenizer.json to copy into the checkpoint."
)


def activation_option(default: str | None = None, *, shown: str = "") -> Option:
    return click.option(
        "--activation",
        type=click.Choice(["gelu_new", "gelu", "relu"]),
        default=default,
        show_default=shown or True,
        help="Activation function of the MLPs.",
    )


def dtype_option(default: str | None = None, *, shown: str = "") -> Option:
    return click.option(
        "--dtype",
        type=click.Choice(["float32", "float16", "bfloat16"]),
        default=default,
        show_default=shown or True,
        help="Type of the weights in the checkpoint.",
    )


def seed_option(default: int | None = 0, *, shown: str = "", most: int | None = None) -> Option:
    return click.option(
        "--seed",
        type=click.IntRange(0, most),
        metavar="N",
        default=default,
        show_default=shown or True,
        help="Seed of the random numbers; the same seed gives the same result.",
    )
