"""Free what PyTorch keeps of an exported program: its shapes, its operators and its Python code.

Without this every export in a process would keep its symbolic shapes, its cache of operators (1.4 MB for a
model of two layers), the code of its graphs (0.3 MB) and, in a `.pte`, its weights.
"""

import linecache
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakSet

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.fx.graph_module import _loader

# The shapes of exported programs that are still alive.
_shape_envs = WeakSet[ShapeEnv]()


def collectable(exported: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """The same program, which Python's garbage collector can free.

    A `ShapeEnv` lists the fake tensors of the inputs, for the guards that `torch.export` makes.  Their
    symbolic sizes refer to the `ShapeEnv` from C++, where the collector does not see the cycle.
    """
    for node in exported.graph.nodes:
        value = node.meta.get("val")
        if isinstance(value, FakeTensor) and value.fake_mode.shape_env is not None:
            value.fake_mode.shape_env.tracked_fakes = []
            _shape_envs.add(value.fake_mode.shape_env)
    return exported


@contextmanager
def programs_forgotten() -> Iterator[None]:
    """Clear what PyTorch's caches keep of the programs that the block exports.

    The keys of `ShapeEnv`'s caches contain the `ShapeEnv`.  The keys of `FakeTensorMode`'s cache of operators
    contain the delegates of lowered programs, with their weights.  The code of graphs is kept for tracebacks.
    """
    earlier = set(_loader.eval_cache)
    try:
        yield
    finally:
        for name in _loader.eval_cache.keys() - earlier:
            del _loader.eval_cache[name]
            linecache.cache.pop(name, None)
        FakeTensorMode.cache_clear()
        for shape_env in list(_shape_envs):
            shape_env.tracked_fakes = []
            shape_env.fake_tensor_cache.clear()
        for method in vars(ShapeEnv).values():
            if hasattr(method, "cache_clear"):
                method.cache_clear()
