"""Options that exclude or need each other."""

import click

OVERWRITE_ALONE = "--overwrite needs -o / --out."


def refuse(*checks: tuple[object, str]) -> None:
    """End with exit code 2 and the message of every check that is true.

    Raises:
        UsageError: at least one is.
    """
    if messages := [message for wrong, message in checks if wrong]:
        raise click.UsageError("\n  ".join(messages))
