"""Skip passes of ExecuTorch over a complete program that would change nothing.

Each pass traces the program again.  In December 2026, the three passes took 5 s of the 45 s of CPU in which
12 layers of width 64 were lowered.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch.fx import GraphModule, Node
from torch.fx.passes.infra.pass_base import PassResult

# A function that says whether a pass may change a node.
MayChange = Callable[[Node], bool]


def _is_transpose(node: Node) -> bool:
    return node.target == torch.ops.aten.t.default


def _is_view(node: Node) -> bool:
    return bool(getattr(node.target, "is_view", False))


@contextmanager
def needed_passes_only() -> Iterator[None]:
    """Make ExecuTorch skip passes over a program that would change nothing, while the block runs."""
    from executorch.exir.passes.legalize_portable_dim_order_pass import LegalizePortableDimOrderPass
    from executorch.exir.passes.normalize_transpose_pass import NormalizeTransposePass
    from executorch.exir.passes.replace_broken_ops_with_function_ops_pass import (
        ReplaceBrokenOpsWithFunctionalOpsPass,
    )

    def has_other_order(node: Node) -> bool:
        """Whether a node has an operator that needs the default order of dimensions, and an input without."""
        if node.target not in LegalizePortableDimOrderPass._target_ops:
            return False
        value = node.all_input_nodes[0].meta.get("val") if node.all_input_nodes else None
        return not isinstance(value, torch.Tensor) or value.dim_order() != tuple(range(value.ndim))

    looks_for: dict[type, MayChange] = {
        NormalizeTransposePass: _is_transpose,
        ReplaceBrokenOpsWithFunctionalOpsPass: _is_view,
        LegalizePortableDimOrderPass: has_other_order,
    }
    with ExitStack() as stack:
        for kind, may_change in looks_for.items():
            stack.enter_context(patch.object(kind, "call", _skipping(kind.call, may_change)))  # type: ignore[attr-defined]
        yield


def _skipping(call: Callable[..., PassResult], may_change: MayChange) -> Callable[..., PassResult]:
    """The method `call` of a pass, without work on a program in which the pass may change no node."""

    def run(self: Any, program: GraphModule) -> PassResult:
        graphs = [module.graph for module in program.modules() if isinstance(module, GraphModule)]
        if any(may_change(node) for graph in graphs for node in graph.nodes):
            return call(self, program)
        return PassResult(program, False)

    return run
