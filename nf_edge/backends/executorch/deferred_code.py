"""Write the Python code of PyTorch's graphs only when a graph is called.

Each change of a graph writes the code of the graph and of all its delegates, compiles it and, in a lowering,
drops it: the passes read the graph.  In December 2026, the code took 12 s of the 59 s of CPU in which 12
layers of width 64 were lowered.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from torch.fx import GraphModule
from torch.fx.graph import _PyTreeCodeGen


@contextmanager
def code_deferred() -> Iterator[None]:
    """Make changed graphs write their code when they are called, while the block runs and for its graphs."""
    write = GraphModule.recompile

    def call(module: GraphModule, *args: Any, **options: Any) -> Any:
        write(module)  # sets `forward` of the module's class, which no other module has
        return module.forward(*args, **options)

    def defer(module: GraphModule) -> None:
        codegen = module.graph._codegen
        if isinstance(codegen, _PyTreeCodeGen):
            module._in_spec, module._out_spec = codegen.pytree_info.in_spec, codegen.pytree_info.out_spec
        module._code = "# The code is written when this graph is called."  # ExecuTorch logs it
        type(module).forward = call

    with patch.object(GraphModule, "recompile", defer):
        yield
