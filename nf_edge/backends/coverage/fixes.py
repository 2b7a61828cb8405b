"""Likely fixes for operators that a backend leaves: backends that execute them on the same devices."""

from nf_edge.backends import all_backends
from nf_edge.core.compatibility import devices_for, incompatibility
from nf_edge.core.recipe.recipe import Recipe, bundled_recipes


def fixes_for(recipe: Recipe) -> dict[str, str]:
    """Another recipe for each operator that a recipe's backend may leave, by PyTorch's name of the operator.

    Operators that no bundled recipe accelerates are not included.  If several backends are possible, the one
    that shares the most devices with the recipe is suggested.
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
