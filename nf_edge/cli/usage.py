"""Checks for options that exclude or require each other."""

import click

OVERWRITE_ALONE = "--overwrite needs -o / --out."


def refuse(*checks: tuple[object, str]) -> None:
    """Raise a UsageError (exit code 2) if options are used wrongly.

    Args:
        checks: pairs of a condition, which is true if the usage is wrong, and the message.

    Raises:
        UsageError: at least one condition is true; the error has the messages of all true conditions.
    """
    if messages := [message for wrong, message in checks if wrong]:
        raise click.UsageError("\n  ".join(messages))
