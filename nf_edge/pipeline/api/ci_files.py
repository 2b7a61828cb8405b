"""The files in which `check` and `export` report the gates to continuous integration."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from nf_edge.core.errors import BadInput, printable
from nf_edge.core.files import created_folder, utf8_text, write_bytes
from nf_edge.core.output_checks import ANOTHER_PATH, check_file, resolved
from nf_edge.core.system_errors import explaining
from nf_edge.pipeline.api.arguments import Named, optional_path, place_of

if TYPE_CHECKING:
    from nf_edge.render.gate import GateReport

XML = (b"<?xml", b"<testsuite")


@dataclass(frozen=True)
class CiFiles:
    """The files to write; None: do not write this file.

    Attributes:
        junit: a JUnit file, which replaces an earlier one.
        summary: a Markdown file to append to.
    """

    junit: Path | None
    summary: Path | None

    def write(self, report: "GateReport", title: str) -> None:
        """Write the files.

        Args:
            title: the name of the artifact.

        Raises:
            BadInput: a file cannot be written.
        """
        from nf_edge.render.gate import junit_xml, summary_markdown

        title = printable(utf8_text(title))
        if self.junit is not None:
            write_bytes(self.junit, junit_xml(report, title))
        if self.summary is not None:
            with explaining(self.summary):
                self.summary.parent.mkdir(parents=True, exist_ok=True)
                with self.summary.open("a", encoding="utf-8") as file:
                    file.write(summary_markdown(report, title))


def ci_files(junit: Named | None, summary: Named | None, *read: object, out: Path | None = None) -> CiFiles:
    """The files to write, checked before the work; an earlier JUnit file is removed.

    Args:
        read: arguments that name the inputs of the command.
        out: the folder that the command writes; None if it writes none.

    Raises:
        BadInput: a file cannot be written, is an input, or is inside `out`; both are the same file; or
            `junit` exists and is not a JUnit file.
    """
    files = CiFiles(optional_path(junit), optional_path(summary))
    sources = [place for each in read for place in place_of("", each)]
    for target in filter(None, (files.junit, files.summary)):
        check_file(target, overwrite=True, sources=sources)
        if out is not None and resolved(out) in (resolved(target), *resolved(target).parents):
            raise BadInput(f"is inside the output folder {out}", where=target, fix=ANOTHER_PATH)
        _require_writable(target)
    if files.junit and files.summary and resolved(files.junit) == resolved(files.summary):
        raise BadInput("cannot be both the JUnit file and the summary", where=files.junit, fix=ANOTHER_PATH)
    if files.junit is not None and files.junit.is_file():
        with explaining(files.junit), files.junit.open("rb") as file:
            start = file.read(64).lstrip()
        if start and not start.startswith(XML):
            what = "exists and is not a JUnit file, so it is not replaced"
            raise BadInput(what, where=files.junit, fix=ANOTHER_PATH)
        # If this run ends without a verdict, the earlier file must not show its own.
        files.junit.unlink()
    return files


def _require_writable(target: Path) -> None:
    """Raise BadInput if a file cannot be written, or the folders above it cannot be created."""
    place = resolved(target)
    with created_folder(place.parent), explaining(target):
        if place.is_file():
            place.open("ab").close()
        else:
            TemporaryFile(dir=place.parent).close()
