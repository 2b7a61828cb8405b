"""The command line: one verb is one module of `nf_edge.commands`, imported when it is called."""

import errno
import importlib
import sys
from typing import Any

import click

from nf_edge import __version__, strict_json
from nf_edge.errors import BadInput, NfEdgeError

# Verb → module of nf_edge.commands and the line that --help shows, so that help imports none of them.
VERBS = {
    "export": ("export", "Lower a checkpoint to a device: the main job."),
    "compress": ("compress", "Prune a checkpoint and train it back: a smaller checkpoint."),
    "sensitivity": ("sensitivity", "What quantizing each layer costs, and a mixed-precision recipe."),
    "profile": ("profile", "Memory of an artifact or a checkpoint against a device's budget."),
    "check": ("check", "Accuracy of an artifact on the CPU, beside the checkpoint's."),
    "bench": ("bench", "Latency of an artifact on this machine, or of several turn about."),
    "compare": ("compare", "NoiseFormer beside GPT-2 by one recipe: size, memory, latency."),
    "sweep": ("sweep", "One model by several recipes: size, memory, latency, answers."),
    "inspect": ("inspect", "What an artifact is made of and needs; verifies and loads it."),
    "sign": ("sign", "Sign an artifact with a key of yours."),
    "verify": ("verify", "Verify an artifact's signature, and every file of it."),
    "generate": ("generate", "Continue a text with a language model, token by token."),
    "import": ("import_", "Turn a nanoGPT or Hugging Face GPT-2 into a checkpoint."),
    "init": ("init", "Write a checkpoint of a given shape with random weights."),
    "train": ("train", "Train a checkpoint by a training recipe."),
    "recipes": ("recipes", "List, show and check recipes."),
    "devices": ("devices", "List, show and check device files."),
    "kernels": ("kernels", "Build the kernels that nf- recipes call, for here or for a board."),
    "backends": ("backends", "What lowers and runs here, and for which recipes."),
    "doctor": ("doctor", "Versions, what works on this machine, and how to get what is missing."),
}

# What a disk refuses for reasons of its own; any other OSError that gets this far is a bug.
NOT_OUR_FAULT = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT}

EXIT_CODES = """\b
Exit codes:
  0 ok                       4 over the memory budget
  1 a bug of nf-edge         5 beyond the accuracy limit
  2 wrong usage              6 a tool is missing (the message
  3 bad input of any kind      has the command that gets it)
"""


class Verbs(click.Group):
    """A group whose commands are imported only when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        module, _ = VERBS[name]
        return importlib.import_module(f"nf_edge.commands.{module}").command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            from difflib import get_close_matches

            close = get_close_matches(args[0], VERBS, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            ctx.fail(f"No such command {args[0]!r}.{hint}")
        # Else `--device "$BOARD"` would be no device, and nothing would be held against its memory.
        if any(not arg or (arg.startswith("--") and arg.endswith("=")) for arg in args):
            ctx.fail("An argument is empty: give a value, or leave its option out.")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in VERBS.items()])


@click.group(cls=Verbs, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="nf-edge")
def cli() -> None:
    """Put a trained NoiseFormer on a phone, a board or a microcontroller.

    \b
    Start with:
      nf-edge export digits --recipe xnnpack-8da8w --device rpi-zero-2w -o digits-pi
      nf-edge profile digits-pi --device rpi-5
      nf-edge check digits-pi --data digits:test
    """


def main() -> None:
    """Entry point of `nf-edge`: turns a user's mistake into one message and its exit code."""
    try:
        # Outside its standalone mode click returns the code of `ctx.exit()`, as --help and --version use it.
        code = cli.main(standalone_mode=False)
    except NfEdgeError as error:
        # The report of a gate that was not passed is on stdout already, and one document stays one.
        if error.reported:
            click.echo(f"nf-edge: {error}", err=True)
            sys.exit(error.exit_code)
        _fail(str(error), error.exit_code)
    except click.ClickException as error:
        error.show()
        _print_json_error(error.format_message(), error.exit_code)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _fail("interrupted", 130)
    except OSError as error:
        if error.errno not in NOT_OUR_FAULT:
            raise
        _fail(f"{error.filename or 'a file'}: {error.strerror}", BadInput.exit_code)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> None:
    click.echo(f"nf-edge: {message}", err=True)
    _print_json_error(message, code)
    sys.exit(code)


def _print_json_error(message: str, code: int) -> None:
    """With --json, whoever reads stdout learns of the failure there too."""
    if "--json" in sys.argv:
        document: dict[str, Any] = {"schema": "nf-edge/1", "error": {"message": message, "exit_code": code}}
        click.echo(strict_json.dumps(document))
