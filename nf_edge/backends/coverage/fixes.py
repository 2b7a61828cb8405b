"""Suggest recipes of other backends that execute the operators that a backend leaves."""

from nf_edge.backends import all_backends
from nf_edge.core.compatibility import devices_for, incompatibility
from nf_edge.core.recipe.recipe import Recipe, bundled_recipes


def fixes_for(recipe: Recipe) -> dict[str, str]:
    """Map PyTorch's name of an operator to a sentence that suggests bundled recipes of another backend.

    That backend always executes the operator.  If several backends do, the sentence suggests the backend that
    shares the most devices with `recipe`.
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
