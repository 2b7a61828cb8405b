"""`nf-edge check`: compare the accuracy of an artifact and its checkpoint."""

from pathlib import Path
from typing import Any

import click

from nf_edge.cli.gate_options import ci_options, explain_options, limits_options
from nf_edge.cli.options import PATH, json_option, on_option, resume_option, signature_options
from nf_edge.cli.output import finish
from nf_edge.cli.progress import progress_bar, warn
from nf_edge.cli.row_options import data_option, limit_option, row_format_options, stride_option
from nf_edge.cli.usage import refuse
from nf_edge.core.defaults import EMULATED_ROWS

EPILOG = """\b
Examples:
  nf-edge check digits-pi --data digits:test
  nf-edge check digits-pi --data digits:test --on rpi-zero-2w,rpi-5,pixel-8
  nf-edge check out --data dev.tsv --reference ./my-model --max-drop 0.5
  nf-edge check out --data dev.tsv --reference ./my-model --baseline shipped --junit gate.xml
  nf-edge check out --data dev.tsv --reference ./my-model --stages --layers
"""
# Options that only the gate has, and options that only explanations have.
GATE = ("baseline", "max_drop", "max_changed", "max_kl", "limits_on", "resume", "junit", "summary")
EXPLANATIONS = ("pruned", "calibrate", "html", "overwrite")


@click.command("check", epilog=EPILOG)
@click.argument("artifact", type=PATH)
@data_option(required=True)
@row_format_options
@click.option(
    "--reference",
    metavar="CHECKPOINT",
    show_default="the bundled model of its name",
    help="The checkpoint to compare with: the exported one, or its original before pruning.",
)
@limit_option(shown=f"all; {EMULATED_ROWS} with --on, or more if a limit needs them")
@stride_option
@limits_options
@click.option(
    "--baseline",
    type=PATH,
    metavar="ARTIFACT",
    help="The artifact that shipped last: a regression beyond the noise is exit code 5.",
)
@resume_option
@ci_options
@on_option(several=True)
@explain_options
@signature_options
@json_option
def command(artifact: Path, data: str, on: list[str] | None, as_json: bool, **options: Any) -> None:
    """Run an ARTIFACT's file on this CPU, and compare its accuracy with the accuracy of its checkpoint.

    Both run on the same rows.  The exit code is 5 if a limit does not hold, or if the rows are too few
    to show it.  The recipe's limits apply unless options replace them.  --max-drop f1=1,mse=0.02 limits the
    loss of single metrics: in points for shares and correlations, in percent for perplexity, and in squared
    error for mse.  Rows without labels need --max-changed or --max-kl.

    With --on, the file also runs on emulated cores.  Each core must meet the same limits.  The report
    compares the answers on the core with the answers on this machine.

    A check saves its progress every 10 seconds.  --resume continues an interrupted check of the same files,
    rows and options.

    --stages and --layers lower the checkpoint again as the manifest says.  --stages names the step of the
    export that loses most accuracy, and --layers names the first bad layer.
    """
    from nf_edge.pipeline.api.explain import check_and_explain
    from nf_edge.render.explained import explained_parts

    explains = options["stages"] or options["layers"]
    refuse(
        (on and options["baseline"], "--baseline compares files on this machine; leave out --on."),
        (
            not explains and any(options[name] for name in EXPLANATIONS),
            "--pruned, --calibrate, --html and --overwrite need --stages or --layers.",
        ),
    )
    options["gate"] = {name: options.pop(name) for name in GATE}
    with progress_bar() as progress:
        report = check_and_explain(artifact, data, on or (), progress=progress, notify=warn, **options)
    finish("check", report, as_json, explained_parts)
