"""Suggest recipes of other backends, if a backend's accelerated library does not execute an operator."""

from nf_edge.backends import all_backends
from nf_edge.core.compatibility import devices_for, incompatibility
from nf_edge.core.recipe.recipe import Recipe, bundled_recipes


def fixes_for(recipe: Recipe) -> dict[str, str]:
    """Map PyTorch's name of an operator to a sentence that suggests bundled recipes of another backend.

    The library of that backend always executes the operator.  If several libraries do, the sentence suggests
    the backend that runs on the most devices of `recipe`.
    """
    devices, backends = devices_for(recipe), all_backends()
    recipes: dict[str, list[str]] = {}
    shared: dict[str, int] = {}
    for other in bundled_recipes():
        common = sum(not incompatibility(device, other) for device in devices)
        if common and other.backend != recipe.backend and not other.shrinks:
            recipes.setdefault(other.backend, []).append(other.name)
            shared[other.backend] = max(common, shared.get(other.backend, 0))
    fixes: dict[str, str] = {}
    for name in sorted(shared, key=lambda name: shared[name], reverse=True):
        fix = f"recipe {' or '.join(recipes[name])}: its backend {name} executes this operator"
        fixes |= {operator: fix for operator in backends[name].covers if operator not in fixes}
    return fixes
