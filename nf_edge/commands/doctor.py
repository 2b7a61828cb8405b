"""`nf-edge doctor`."""

import click

from nf_edge.commands.common import json_option, print_json, print_lines, print_table


@click.command("doctor")
@json_option
def command(as_json: bool) -> None:
    """Report versions, what works on this machine, and the command that gets what is missing.

    \b
    Example:
      nf-edge doctor
    """
    from nf_edge.doctor import examine

    findings = examine()
    if as_json:
        print_json("doctor", [finding.to_json() for finding in findings])
        return
    marks = {True: "ok", False: "missing"}
    print_table(
        ("what", "", "version or state", "for"),
        [(f.name, marks[f.ok], f.state, f.needed_for) for f in findings],
    )
    fixes = [f"{finding.name}: {finding.fix}" for finding in findings if finding.fix]
    if fixes:
        print_lines(fixes, title="To get what is missing")
    else:
        click.echo("Nothing is missing.")
