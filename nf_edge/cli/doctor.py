"""`nf-edge doctor`."""

import click

from nf_edge.cli.output import json_option, print_json, print_lines, print_table, progress_bar


@click.command("doctor")
@click.option(
    "--fix",
    type=click.Choice(["emulation"]),
    help="Get and build what emulating a device's cores takes: downloads the runtimes' libraries for them.",
)
@json_option
def command(fix: str | None, as_json: bool) -> None:
    """Report versions, what works on this machine, and the command that gets what is missing.

    \b
    Examples:
      nf-edge doctor
      nf-edge doctor --fix emulation
    """
    from nf_edge.pipeline.doctor import examine

    if fix:
        from nf_edge.measure.emulation import set_up

        with progress_bar() as progress:
            set_up(progress)
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
