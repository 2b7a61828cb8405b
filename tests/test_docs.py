"""What README and docs say is so: pages, links, commands and the generated reference."""

import re
import runpy
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import click
import pytest

from nf_edge import cli
from nf_edge.backends import REGISTRY
from nf_edge.core.memory_outcome import Outcome
from nf_edge.core.resources import names
from nf_edge.measure.memory.accounts import FILE_PARTS, PROCESS_PARTS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(
    [*(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG")), *DOCS.rglob("*.md")]
)
WRITTEN = [page for page in PAGES if page.parent.name != "reference"]
PROGRAMS = ("nf-edge", "make", "pip", "source", "python", "openssl", ".venv/bin/pytest")
# Stands before a block that no test runs, and says why.
NOT_RUN = re.compile(r"<!-- not run here: .+ -->")


@dataclass(frozen=True)
class Block:
    """An indented block of commands on a page."""

    page: Path
    line: int
    commands: tuple[str, ...]
    run: bool


def blocks(page: Path) -> list[Block]:
    found: list[Block] = []
    lines = page.read_text(encoding="utf-8").splitlines()
    start, fenced = None, False
    for number, line in enumerate([*lines, ""]):
        if line.startswith("```"):
            fenced = not fenced
        indented = not fenced and line.startswith("    ") and line.strip() != ""
        if indented and start is None:
            start = number
        elif not indented and start is not None:
            commands = tuple(text.strip() for text in lines[start:number])
            if commands[0].startswith(PROGRAMS):
                before = next((text for text in reversed(lines[:start]) if text.strip()), "")
                found.append(Block(page, start + 1, commands, not NOT_RUN.fullmatch(before)))
            start = None
    return found


ALL_BLOCKS = [block for page in WRITTEN for block in blocks(page)]


def place(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=place)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = page if not path else page.parent / path
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def test_the_readme_is_one_screen_of_text() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_the_generated_reference_is_what_the_code_gives() -> None:
    pages = runpy.run_path(str(DOCS / "generate.py"))["pages"]()
    there = {path.name: path.read_text(encoding="utf-8") for path in (DOCS / "reference").iterdir()}
    assert there == pages, "run `make docs`"


THINGS = (
    *(f"nf-edge {verb}" for verb in cli.VERBS),
    *(name for kind in ("recipes", "devices") for name in names(kind)),
    *REGISTRY,
    *(*get_args(Outcome), *FILE_PARTS, *PROCESS_PARTS),
    *(f"benchmarks/{path.name}" for path in (ROOT / "benchmarks").glob("*.py")),
)


@pytest.mark.parametrize("name", THINGS)
def test_every_command_recipe_device_backend_and_outcome_is_on_a_page(name: str) -> None:
    """By its whole name: `onnx-int4-gptq` does not count for `onnx-int4`."""
    whole = re.compile(rf"(?<![\w-]){re.escape(name)}(?![\w-])")
    pages = [page for page in WRITTEN if page.name != "CHANGELOG.md"]
    assert any(whole.search(page.read_text(encoding="utf-8")) for page in pages)


def test_pages_name_no_benchmark_that_is_not_there() -> None:
    for page in WRITTEN:
        for script in re.findall(r"benchmarks/\w+\.py", page.read_text(encoding="utf-8")):
            assert (ROOT / script).is_file(), f"{place(page)}: {script}"


def test_pages_name_no_recipe_that_is_not_there() -> None:
    prefix = re.compile(r"`((?:xnnpack|onnx|nf|openvino|coreml|vulkan|ethos-u\d+|qnn|cortex-m)-[a-z0-9-]+)`")
    others = {"nf-edge", "ethos-u-vela", "onnxruntime-genai"}
    named = {name for page in WRITTEN for name in prefix.findall(page.read_text(encoding="utf-8"))}
    targets = {name for name in named if re.fullmatch(r"ethos-u\d+-\d+|cortex-m-(mve|dsp)", name)}
    assert named - others - targets <= set(names("recipes"))


@pytest.mark.parametrize("block", ALL_BLOCKS, ids=lambda block: f"{place(block.page)}:{block.line}")
def test_commands_on_pages_have_options_that_there_are(block: Block) -> None:
    for line in block.commands:
        if not line.startswith("nf-edge "):
            continue
        words = shlex.split(line.split(" # ")[0].replace("…", ""))[1:]
        command: click.Command = cli.cli
        while isinstance(command, click.Group) and words:
            found = command.get_command(click.Context(command), words[0])
            assert found is not None, line
            command, words = found, words[1:]
        known = {option for param in command.params for option in (*param.opts, *param.secondary_opts)}
        used = {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert used <= known | {"-h", "--help"}, line


RUNNING = sorted({block.page for block in ALL_BLOCKS if block.run})


def commands_to_run(page: Path) -> list[str]:
    return [line for block in blocks(page) if block.run for line in block.commands]


@pytest.mark.parametrize("page", RUNNING, ids=place)
def test_a_command_that_runs_here_needs_no_shell(page: Path) -> None:
    """It means the same with and without one: no variable, pattern, pipe or second command."""
    for line in commands_to_run(page):
        command = line.partition(" #")[0]
        assert command.startswith("nf-edge "), f"{line}: say why it is not run"
        assert not re.search(r"[$`\\|&;<>(){}*?\[\]~!#]", command), f"{line}: say why it is not run"


@pytest.mark.slow
@pytest.mark.parametrize("page", RUNNING, ids=place)
def test_the_commands_of_a_page_run_one_after_the_other(page, run, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for line in commands_to_run(page):
        done = run(*shlex.split(line, comments=True)[1:])
        assert done.code == 0, f"{line}\n{done.out[-2000:]}\n{done.err[-2000:]}"
