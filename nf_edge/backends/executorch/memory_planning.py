"""Plan a program's arena without the copies of the cache that ExecuTorch's planner reserves for nothing."""

from collections.abc import Sequence
from typing import Any

import torch


def memory_planning_pass() -> Any:
    """ExecuTorch's memory planning with `plan` as its algorithm."""
    from executorch.exir.passes import MemoryPlanningPass

    return MemoryPlanningPass(memory_planning_algo=plan)


def plan(
    alignment: int, specs: Sequence[Any], graph_module: torch.fx.GraphModule, signature: Any, padding: int
) -> list[int]:
    """Place the tensors of a program; returns the bytes of each arena.

    The arguments are those of ExecuTorch's `MemoryPlanningAlgorithmSuite`, which places the tensors.  A
    program returns its cache, which operators update in place.  ExecuTorch 1.5 aliases the results of these
    operators to the cache, but not the description of the program's outputs: it reserves a second cache at
    the last instruction, and nothing uses it.  If the arena shrinks without these tensors, they are left out,
    and ExecuTorch's verifier checks the plan; otherwise the plan is ExecuTorch's.
    """
    from executorch.exir.memory_planning import MemoryPlanningAlgorithmSuite, Verifier, greedy

    def arena(placed: Sequence[Any]) -> int:
        return sum(greedy(alignment, placed, graph_module, signature, padding).bufsizes)

    output = next(node for node in graph_module.graph.nodes if node.op == "output")
    results = [node.meta["spec"] for node in output.args[0]]
    unused = set(output.meta["spec"]) - set(results)
    needed = [spec for spec in specs if spec not in unused]
    smaller = arena(needed) < arena(specs)
    if smaller:
        output.meta["spec"] = results
    sizes: list[int] = MemoryPlanningAlgorithmSuite()(
        alignment, needed if smaller else specs, graph_module, signature, padding
    )
    if smaller:
        Verifier(graph_module, True, True, True, signature).verify_storage_reuse()
    return sizes
