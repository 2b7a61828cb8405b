"""The command line.  Each command is one module, which is imported when the command is called."""

import contextlib
import importlib
import signal
import sys
from collections.abc import Iterator
from typing import Any

import click

from nf_edge import __version__
from nf_edge.core.errors import BadInput, NfEdgeError
from nf_edge.core.schemas import json_error_text
from nf_edge.core.signals import Terminated, ending_on_signals, exit_code_of
from nf_edge.core.streams import drop_streams, open_streams
from nf_edge.core.system_errors import explained

# Command → its module in this package, and its line in --help; so --help imports no command.
VERBS = {
    "export": ("export", "Export a checkpoint for a device: the main job."),
    "compress": ("compress", "Make a checkpoint smaller: prune it, recover its accuracy."),
    "sensitivity": (
        "sensitivity",
        "Measure the cost of quantizing each layer; mix precisions.",
    ),
    "profile": ("profile", "Show an artifact's or checkpoint's memory against a budget."),
    "check": ("check", "Check an artifact's accuracy against its checkpoint's."),
    "bench": ("bench", "Measure the latency of one or more artifacts on this machine."),
    "compare": ("compare", "Compare models exported with one recipe."),
    "sweep": ("sweep", "Compare recipes for one model: size, memory, latency, answers."),
    "inspect": ("inspect", "Verify and load an artifact; show its content."),
    "sign": ("sign", "Sign an artifact with your key."),
    "verify": ("verify", "Verify the signature and every file of an artifact."),
    "generate": ("generate", "Continue a text with a language model."),
    "import": ("import_", "Convert a nanoGPT or Hugging Face GPT-2 model to a checkpoint."),
    "init": ("init", "Write a checkpoint of a given shape with random weights."),
    "train": ("train", "Train a checkpoint with a training recipe."),
    "recipes": ("recipes", "List, show and check recipes."),
    "devices": ("devices", "List, check and describe devices; show which a model fits."),
    "kernels": ("kernels", "Build the kernels of nf- recipes for this machine or a board."),
    "backends": ("backends", "List the backends, and what works on this machine."),
    "doctor": ("doctor", "Report installed versions, and how to install missing tools."),
}

INTERRUPTED = exit_code_of(signal.SIGINT)
# The exit code if the program that reads the output has closed it, as `head` does.
CLOSED_PIPE = exit_code_of(signal.SIGPIPE)

EXIT_CODES = """\b
Exit codes:
  0 ok                       4 over the memory budget
  1 a bug of nf-edge         5 beyond the accuracy limit
  2 wrong usage              6 this machine lacks a tool, or memory,
  3 bad input                  and the message says what to do
Ended by a signal: 130 Ctrl-C, 143 SIGTERM, 129 SIGHUP, 141 closed pipe.
"""


class ClosedPipe(Exception):
    """Raised if the reader has closed the output.  Not an OSError, which click would turn into exit code
    1.
    """


@contextlib.contextmanager
def _closed_pipes_raised() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise ClosedPipe from None


class Verbs(click.Group):
    """The group of all commands; the module of a command is imported when the command is needed."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with _closed_pipes_raised():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        with _closed_pipes_raised():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        module, _ = VERBS[name]
        return importlib.import_module(f"nf_edge.cli.{module}").command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            from difflib import get_close_matches

            close = get_close_matches(args[0], VERBS, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            ctx.fail(f"No such command {args[0]!r}.{hint}")
        # An empty value would count as a missing option.  For example, `--device "$BOARD"` with an empty
        # BOARD would not check the memory.
        if any(not arg or (arg.startswith("--") and arg.endswith("=")) for arg in args):
            ctx.fail("An argument is empty; give it a value, or leave it out.")
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
    """Entry point of `nf-edge`: turns each error of the user into one message and an exit code."""
    open_streams()
    code = 0
    try:
        with ending_on_signals():
            code = _run()
            sys.stdout.flush()
            sys.stderr.flush()
    except BrokenPipeError:
        code = code or CLOSED_PIPE
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise  # a bug, not an error of stdout or stderr
        code = code or _failed(f"cannot write to stdout or stderr ({error.strerror})", BadInput.exit_code)
    except Terminated as end:  # the signal came while an error was being printed
        code = end.exit_code
    drop_streams()
    sys.exit(code)


def _run() -> int:
    """Run the command that the arguments of this process name; returns its exit code."""
    try:
        # Outside standalone mode, click returns the exit code of `ctx.exit()`, which --help and --version
        # call.
        code = cli.main(standalone_mode=False)
        return code if isinstance(code, int) else 0
    except NfEdgeError as error:
        # The result of a failed gate is already on stdout, so no second JSON document may follow.
        return _failed(str(error), error.exit_code, in_json=not error.reported)
    except click.ClickException as error:
        error.show()
        _print_json_error(error.format_message(), error.exit_code)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _failed("interrupted", INTERRUPTED)
    except Terminated as end:
        return _failed(f"ended by {end}", end.exit_code)
    except (ClosedPipe, BrokenPipeError):
        return CLOSED_PIPE
    except Exception as error:
        known = explained(error)
        if known is None:
            raise
        return _failed(str(known), known.exit_code)


def _failed(message: str, code: int, *, in_json: bool = True) -> int:
    """Print an error to stderr and, with `in_json` and --json, to stdout; returns `code`, its exit code."""
    with contextlib.suppress(OSError):
        click.echo(f"nf-edge: {message}", err=True)
    if in_json:
        with contextlib.suppress(OSError):
            _print_json_error(message, code)
    return code


def _print_json_error(message: str, code: int) -> None:
    """Print an error as a JSON document on stdout if the command line has --json."""
    if "--json" in sys.argv:
        click.echo(json_error_text(message, code))
