"""Checks for options that exclude or require each other."""

import click

OVERWRITE_ALONE = "--overwrite needs -o / --out."


def refuse(*checks: tuple[object, str]) -> None:
    """Raise a UsageError (exit code 2) with the messages of all checks that are true.

    Raises:
        UsageError: at least one check is true.
    """
    if messages := [message for wrong, message in checks if wrong]:
        raise click.UsageError("\n  ".join(messages))
