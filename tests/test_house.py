"""The rooms of the house: what each holds is in `docs/developing.md`; here, who may import whom."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import nf_edge

PACKAGE = Path(nf_edge.__file__).parent
# A room imports only from those before it, and `core` imports no torch.
ROOMS = (
    "core",
    "model",
    "kernels",
    "training",
    "backends",
    "quantization",
    "measure",
    "artifact",
    "pruning",
    "render",
    "pipeline",
    "cli",
)
# Whoever imports these pays for PyTorch.
HEAVY = ("torch", "torchao", "executorch", "onnx", "onnxruntime")


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0]


def imports(path: Path) -> Iterator[str]:
    """Dotted names of what a module imports when it runs; annotations alone import nothing."""

    def walk(node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: name the room, or nobody sees which it is"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        for child in ast.iter_child_nodes(node):
            yield from walk(child)

    yield from walk(ast.parse(path.read_text(encoding="utf-8")))


def test_the_package_has_its_rooms_and_the_checkpoints_and_nothing_else() -> None:
    entries = {path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"}
    copied_into_wheels = {"recipes", "devices"}
    # Its CMakeLists.txt leads to the kernels, for one release.
    moved = {"attention"}
    assert entries - copied_into_wheels - moved == {
        *ROOMS,
        "__init__.py",
        "__main__.py",
        "py.typed",
        "checkpoints",
    }


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_its_room_and_those_before_it(path: Path) -> None:
    room = room_of(path)
    if room not in ROOMS:
        return
    later = ROOMS[ROOMS.index(room) + 1 :]
    up = [name for name in imports(path) if name.startswith("nf_edge.") and name.split(".")[1] in later]
    assert not up, f"{room} is before what it imports: {up}"


def test_core_imports_no_torch() -> None:
    heavy = {
        (path.name, name)
        for path in (PACKAGE / "core").rglob("*.py")
        for name in imports(path)
        if name.split(".")[0] in HEAVY
    }
    assert not heavy


def modules_after(*arguments: str) -> set[str]:
    """The modules of a new process that ran a command; the tests' own process has torch already."""
    code = (
        "import sys; from nf_edge.cli import main\ntry: main()\nfinally: print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


@pytest.mark.parametrize(
    "command",
    [
        ("profile", "sst2", "--recipe", "nf-int8", "--device", "rpi-5"),
        ("devices", "fit", "sst2", "--json"),
        ("recipes", "check"),
    ],
    ids=" ".join,
)
def test_a_verdict_before_the_export_imports_no_torch(command: tuple[str, ...]) -> None:
    assert not modules_after(*command) & set(HEAVY)


def test_the_page_for_developers_has_the_same_list() -> None:
    page = (PACKAGE.parent / "docs" / "developing.md").read_text(encoding="utf-8")
    assert " → ".join(reversed(ROOMS)) in page.replace("\n", " ")
