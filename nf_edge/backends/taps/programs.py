"""Read the outputs of layers of a quantized program in PyTorch: of its modules, or of its captured graph."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Interpreter, Node

from nf_edge.backends.taps.points import Point, TapRunner, Taps, record

# The starts of names of operators that only round.
ROUNDING = ("quantize_", "dequantize_", "choose_qparams_")


# Makes the arguments of a program from token ids and mask.
Called = Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]]


def runner_of(program: nn.Module, points: list[Point], called: Called) -> TapRunner:
    """A runner for a quantized program in PyTorch, which reads the values of its points.

    Args:
        points: the points of the float program before quantization.
        called: makes the program's arguments from token ids and mask.
    """
    if isinstance(program, GraphModule):
        return _Graph(program, points, called)
    return _Modules(program, points, called)


class _Modules:
    """Runs a program of PyTorch modules; hooks read and replace the modules' outputs."""

    through = "the quantized program in PyTorch"

    def __init__(self, program: nn.Module, points: list[Point], called: Called) -> None:
        self._program, self._points, self._called = program, points, called

    def free(self, inputs: tuple[Tensor, ...]) -> Taps:
        return self._run(inputs, {})

    def exact(self, inputs: tuple[Tensor, ...], reference: Mapping[str, Tensor]) -> Taps:
        return self._run(inputs, reference)

    def _run(self, inputs: tuple[Tensor, ...], replaced: Mapping[str, Tensor]) -> Taps:
        given = self._called(inputs)
        return record(self._program, self._points, lambda: self._program(*given), replaced)


class _Graph:
    """Runs a captured graph operator by operator; reads and replaces the operators' outputs."""

    through = "the quantized program in PyTorch"

    def __init__(self, program: GraphModule, points: list[Point], called: Called) -> None:
        self._program, self._called = program, called
        named = {point.name: _node_of(program, point) for point in points}
        self._names = {node: name for name, node in reversed(named.items()) if node is not None}

    @torch.no_grad()
    def free(self, inputs: tuple[Tensor, ...]) -> Taps:
        return self._run(inputs, {})

    @torch.no_grad()
    def exact(self, inputs: tuple[Tensor, ...], reference: Mapping[str, Tensor]) -> Taps:
        return self._run(inputs, reference)

    def _run(self, inputs: tuple[Tensor, ...], replaced: Mapping[str, Tensor]) -> Taps:
        taps: Taps = {}
        names = self._names

        class Tapped(Interpreter):
            def run_node(self, node: Node) -> Any:
                value = super().run_node(node)
                if (name := names.get(node)) is None:
                    return value
                taps[name] = value.detach().clone()
                exact = replaced.get(name)
                return value if exact is None or exact.shape != value.shape else exact

        Tapped(self._program).run(*self._called(inputs))
        return taps


def _node_of(program: GraphModule, point: Point) -> Node | None:
    """The graph's operator whose result is a point's value; None if there is none."""
    inside = [node for node in program.graph.nodes if _is_inside(node, point.module)]
    if not inside:
        return None
    if point.side == "output":
        return inside[-1]
    source = inside[0].args[0]
    while isinstance(source, Node) and _rounds(source):
        source = source.args[0]
    return source if isinstance(source, Node) else None


def _is_inside(node: Node, module: str) -> bool:
    """Whether an operator belongs to a module; False for an operator that only rounds."""
    if node.op != "call_function" or _rounds(node):
        return False
    paths = [path for path, _ in node.meta.get("nn_module_stack", {}).values()]
    return any(path == module or path.startswith(f"{module}.") for path in paths)


def _rounds(node: Node) -> bool:
    # As text, an operator is NAMESPACE.NAME.OVERLOAD.
    return node.op == "call_function" and str(node.target).partition(".")[2].startswith(ROUNDING)
