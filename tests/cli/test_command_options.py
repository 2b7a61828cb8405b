"""Every option is declared once, and a command only parses, calls one job, renders and exits."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from nf_edge import cli

ROOM = Path(cli.__file__).parent
MOST_LINES = 25


def trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(ROOM.glob("*.py")):
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def decorators_of(node: ast.FunctionDef) -> set[str]:
    """`command` of `@click.command("export")` and of `@command.command()`; the same of other methods."""
    functions = [each.func if isinstance(each, ast.Call) else each for each in node.decorator_list]
    return {each.attr for each in functions if isinstance(each, ast.Attribute)}


COMMANDS = [
    (f"{path.stem}.{node.name}", node)
    for path, tree in trees()
    for node in tree.body
    if isinstance(node, ast.FunctionDef) and decorators_of(node) & {"command", "group"}
]


@pytest.mark.parametrize("command", [node for _, node in COMMANDS], ids=[name for name, _ in COMMANDS])
def test_a_command_has_a_short_body(command: ast.FunctionDef) -> None:
    body = command.body[1:] if ast.get_docstring(command) else command.body
    lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0  # type: ignore[operator]
    assert lines <= MOST_LINES


def test_an_option_is_declared_in_one_place() -> None:
    flags: Counter[str] = Counter()
    for _, tree in trees():
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "click.option":
                texts = [each.value for each in call.args if isinstance(each, ast.Constant)]
                flags.update(text for text in texts if isinstance(text, str) and text.startswith("-"))
    assert {"--device", "--recipe", "-o", "--json"} <= flags.keys()
    # `init --layers` is a number, `check --layers` a flag.
    assert [flag for flag, times in flags.items() if times > 1] == ["--layers"]


def commands(command: click.Command) -> Iterator[click.Command]:
    if not isinstance(command, click.Group):
        yield command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        child = command.get_command(context, name)
        assert child is not None
        yield from commands(child)


def test_an_option_has_a_help_text_and_the_same_one_in_every_command() -> None:
    texts: dict[str, set[str]] = {}
    for command in commands(cli.cli):
        for option in command.params:
            if isinstance(option, click.Option):
                assert option.help, (command.name, option.name)
                texts.setdefault(option.opts[-1], set()).add(option.help.partition(" Repeat the")[0])
    # OUT differs: an artifact, a checkpoint, a recipe, a folder.  `init --layers` is a number.
    assert {flag for flag, each in texts.items() if len(each) > 1} == {"--layers", "--out"}
