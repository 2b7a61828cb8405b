"""The likely fix for operators that a backend leaves: another backend whose library has them, on devices that
both are for."""

from nf_edge.backends import all_backends
from nf_edge.core.compatibility import devices_for, incompatibility
from nf_edge.core.recipe.recipe import Recipe, bundled_recipes


def fixes_for(recipe: Recipe) -> dict[str, str]:
    """What to write instead of a recipe's backend, by PyTorch's names of operators that it may leave; without
    those that no bundled recipe has taken.

    Of several backends it is the one that is for most of the devices that the recipe is for.
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
        fix = f"recipe {' or '.join(recipes[name])}, whose backend {name} has it"
        fixes |= {operator: fix for operator in backends[name].covers if operator not in fixes}
    return fixes
