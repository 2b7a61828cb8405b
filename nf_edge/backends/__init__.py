"""The backends: one module each, imported when it is asked for.

A new backend is one module and one line here.
"""

import importlib

from nf_edge.backends.base import Backend, Bounds, Coverage, Plan, Session
from nf_edge.errors import BadInput
from nf_edge.recipe import Recipe

# Name → class, in the order in which they are listed.
REGISTRY = {
    "xnnpack": "nf_edge.backends.xnnpack:Xnnpack",
    "onnx_cpu": "nf_edge.backends.onnx_cpu:OnnxCpu",
}

__all__ = ["REGISTRY", "Backend", "Bounds", "Coverage", "Plan", "Session", "backend_for", "get_backend"]


def get_backend(name: str) -> Backend:
    """The backend of a name.

    Raises:
        BadInput: there is none of that name.
    """
    if name not in REGISTRY:
        raise BadInput(f"unknown backend {name!r}", fix=f"backends: {', '.join(REGISTRY)}")
    module, class_name = REGISTRY[name].split(":")
    backend: Backend = getattr(importlib.import_module(module), class_name)()
    return backend


def backend_for(recipe: Recipe) -> Backend:
    """The backend of a recipe, once it has agreed to all of it.

    Raises:
        BadInput: the backend is unknown, or cannot do what the recipe asks; lists everything.
    """
    backend = get_backend(recipe.backend)
    problems = backend.problems(recipe)
    if recipe.runtime != backend.runtime:
        problems.insert(0, f"runtime is {recipe.runtime}, but backend {backend.name} is of {backend.runtime}")
    if problems:
        raise BadInput.listing(problems, where=f"recipe {recipe.name}")
    return backend
