"""The points of a network whose values are compared: tables, norms, linear layers, attention, residuals."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

# The values of points by name, in the order of the run.
Taps = dict[str, Tensor]

LAYERS = {"wte", "wpe", "ln_1", "ln_2", "ln_f", "norm", "c_kv", "c_attn", "q", "k", "v", "c_fc", "c_proj"}
HEADS = {"score", "lm_head", "head"}
BLOCK = re.compile(r"(.*\.)?(h|layers)\.\d+")
# Modules of a static-shape program that it does not call by these names.
UNCALLED = re.compile(r"lookup\.transformer\.(h|ln_f)\b")
# Names in the programs of several backends → names in the network.
RENAMED = (
    (r"^(model\.|lookup\.)", ""),
    (r"^(body\.)?layers\.(\d+)", r"transformer.h.\2"),
    (r"^(transformer\.h\.\d+)\.(c_fc|c_proj)$", r"\1.mlp.\2"),
    (r"^(body\.)?norm$", "transformer.ln_f"),
    (r"^(wte|wpe)$", r"transformer.\1"),
    (r"^answer\.", ""),
    (r"^body\.head$", "lm_head"),
)


@dataclass(frozen=True)
class Point:
    """A tensor of a program: the output of a module, or its first input.

    Attributes:
        name: the name in reports; for a module's output, the module's name in the network.
        module: the module's name in the program.
    """

    name: str
    module: str
    side: Literal["output", "input"]


class TapRunner(Protocol):
    """Runs a quantized model and returns the outputs of its layers.

    Attributes:
        through: the program or file, and the software that runs it, in words for reports.
    """

    through: str

    def free(self, inputs: tuple[Tensor, ...]) -> Taps:
        """Run the model as usual, and return the outputs of its layers by name."""

    def exact(self, inputs: tuple[Tensor, ...], reference: Mapping[str, Tensor]) -> Taps:
        """Run each layer on float32 inputs, and return the layers' outputs by name.

        Args:
            reference: the outputs of all layers in float32; a layer's inputs are the outputs before it.
        """


class FileTaps(Protocol):
    """A model file that shows the outputs of some layers.

    Attributes:
        through: the file and the software that runs it, in words for reports.
    """

    through: str

    def run(self, inputs: tuple[Tensor, ...]) -> Taps:
        """Run the file as usual, and return the outputs of the layers that it shows."""


def points_of(program: nn.Module) -> list[Point]:
    """The points of a program that is not quantized, in the order of its modules."""
    points = []
    for path, module in program.named_modules(remove_duplicate=False):
        last = path.rpartition(".")[2]
        if UNCALLED.match(path) or isinstance(module, nn.Identity):
            continue
        if path.endswith("attn.c_proj"):
            points.append(Point(network_name(path.removesuffix(".c_proj")), path, "input"))
        if last == "ln_2":
            points.append(Point(f"{network_name(path.removesuffix('.ln_2'))} after attention", path, "input"))
        if last in LAYERS or last in HEADS or BLOCK.fullmatch(path):
            points.append(Point(network_name(path), path, "output"))
    return points


def network_name(path: str) -> str:
    """The network's name of a module, from its name in a backend's program."""
    for pattern, name in RENAMED:
        path = re.sub(pattern, name, path)
    return path


@torch.no_grad()
def record(
    program: nn.Module,
    points: list[Point],
    run: Callable[[], object],
    replaced: Mapping[str, Tensor] = MappingProxyType({}),
) -> Taps:
    """Run a program and return the value of each point.

    Args:
        run: calls the program.
        replaced: maps the name of a point to a value that replaces the computed one in the rest of the run.
            The result has the computed value.
    """
    taps: Taps = {}

    def note(point: Point, value: Tensor) -> Tensor | None:
        taps[point.name] = value.detach().clone()
        return replaced.get(point.name)

    def listen(point: Point) -> torch.utils.hooks.RemovableHandle:
        module = program.get_submodule(point.module)
        if point.side == "output":
            return module.register_forward_hook(lambda _, __, output: note(point, output))

        def before(_: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
            value = note(point, given[0])
            return None if value is None else (value, *given[1:])

        return module.register_forward_pre_hook(before)

    handles = [listen(point) for point in points]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return taps
