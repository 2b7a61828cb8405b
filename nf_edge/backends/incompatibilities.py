"""List what a recipe requests and its backend does not support."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from nf_edge.backends.support import GROUPS, PER_CHANNEL, Kernel, Support
from nf_edge.core.recipe.precision import POSITIONS, TOKENS, Activations, Precision, granularity_of
from nf_edge.core.recipe.quantize import Quantize
from nf_edge.core.recipe.recipe import Recipe

ACTIVATIONS: tuple[Activations, ...] = ("none", "int8_dynamic", "int8_static", "int16_static")


def incompatibilities(recipe: Recipe, support: Support) -> list[str]:
    """List everything in a recipe that its backend does not support.

    Returns:
        One message per problem: the key, the problem, and the fix.
    """
    problems = [*_header(recipe, support), *_shapes(recipe, support)]
    if recipe.quantize is None:
        if not support.float_layers:
            written = "; ".join(map(_keys, support.layers))
            problems.append(
                f"quantize: backend {support.backend} supports only quantized weights; add the section, "
                f"with {written}"
            )
        return problems
    return [
        *problems,
        *_layers(recipe.quantize, support),
        *_tables(recipe.quantize, support),
        *_other_keys(recipe.quantize, support),
    ]


def _header(recipe: Recipe, support: Support) -> Iterator[str]:
    name = support.backend
    if not recipe.is_stock and not support.own_kernels:
        yield f"name: backend {name} calls no kernel of nf-edge; write a name without the prefix nf-"
    if recipe.is_stock and support.own_kernels:
        yield f"name: backend {name} calls kernels of nf-edge; write nf-{recipe.name}"
    if recipe.runtime != support.runtime:
        yield f"runtime: backend {name} needs `runtime: {support.runtime}`"
    if support.targets and recipe.target not in support.targets:
        yield f"target: backend {name} needs a target; write {_either(support.targets)}"
    if not support.targets and recipe.target:
        yield f"target: backend {name} has no targets; leave target out"


def _shapes(recipe: Recipe, support: Support) -> Iterator[str]:
    if recipe.shapes.batch == "dynamic" and not support.any_batch:
        yield f"shapes.batch: backend {support.backend} has no dynamic batch; write 1"
    if recipe.shapes.length == "dynamic" and not support.dynamic_length:
        yield f"shapes.length: backend {support.backend} has no dynamic length; write full, or a number"


def _layers(quantize: Quantize, support: Support) -> Iterator[str]:
    """Messages about precisions of linear layers that the backend does not support."""
    name = support.backend
    if quantize.rules and not support.rules:
        yield f"quantize.rules: backend {name} quantizes all layers in the same way; leave rules out"
    for where, precision in quantize.layers:
        if precision.bits is None:
            if not support.float_layers:
                yield (
                    f"{where}.weights: backend {name} has no float32 linear layers; leave the rule out, or "
                    f"use it for {TOKENS} or {POSITIONS}"
                )
        elif support.layer_kernel(precision) is None:
            yield f"{where}: backend {name} has no kernel for {_words(precision)}; {_fix(precision, support)}"
        elif support.mixed_static == "none" and precision.activations != quantize.activations:
            yield (
                f"{where}.activations: backend {name} needs the same activations for all linear layers; "
                "leave activations out of the rule"
            )
        elif quantize.static and not support.mixes(precision):
            yield (
                f"{where}: backend {name} combines int8_static layers only with int8 per_channel or float32 "
                "layers; write one of these"
            )


def _tables(quantize: Quantize, support: Support) -> Iterator[str]:
    """Messages about requested precisions of embedding tables that the backend has no kernel for.

    If the backend can leave layers in floating point, the check covers only two requests: the recipe's
    `embeddings`, and rules with the token table's exact name.  A table that only a pattern
    matches then stays in floating point, without a message.
    """
    widths = {bits for kernel in support.tables for bits in kernel.bits}
    for where, dtype, bits in _requested_tables(quantize, support):
        if bits is not None and bits not in widths:
            allowed = ["float32", *(f"int{width}" for width in sorted(widths))]
            yield f"{where}: backend {support.backend} has no {dtype} tables; write {_either(allowed)}"


def _requested_tables(quantize: Quantize, support: Support) -> Iterator[tuple[str, str, int | None]]:
    """The recipe key, dtype and bits of each requested precision of a table; bits are None for float32."""
    rules = list(enumerate(quantize.rules))
    if support.float_layers:
        rules = [(index, rule) for index, rule in rules if rule.modules == TOKENS]
        yield "quantize.embeddings", quantize.embeddings, quantize.table(None).bits
    else:
        applied = [quantize.rule_for(name) for name in (TOKENS, POSITIONS)]
        rules = [(index, rule) for index, rule in rules if any(rule is other for other in applied)]
        if None in applied:
            yield "quantize.embeddings", quantize.embeddings, quantize.table(None).bits
    for index, rule in rules:
        yield f"quantize.rules.{index}.weights", rule.weights, quantize.table(rule).bits


def _other_keys(quantize: Quantize, support: Support) -> Iterator[str]:
    name = support.backend
    for where in () if support.zero_points else quantize.asymmetric:
        yield (
            f"{where}.symmetric: backend {name} supports only symmetric weights; leave symmetric out"
            f"{_elsewhere(lambda other: other.zero_points)}"
        )
    if quantize.method not in support.methods:
        yield f"quantize.method: backend {name} has no {quantize.method}; write {_either(support.methods)}"
    if quantize.attention not in support.attention:
        yield (
            f"quantize.attention: backend {name} has no {quantize.attention} attention; leave attention out"
            f"{_elsewhere(lambda other: quantize.attention in other.attention)}"
        )
    if quantize.kv_cache not in ("float32", *support.caches):
        yield (
            f"quantize.kv_cache: backend {name} has no {quantize.kv_cache} cache; leave kv_cache out"
            f"{_elsewhere(lambda other: quantize.kv_cache in other.caches)}"
        )


def _elsewhere(supports: Callable[[Support], bool]) -> str:
    """The part of a message that names the backends for which `supports` is true; "" if there is none."""
    from nf_edge.backends import all_specs

    names = [name for name, spec in all_specs().items() if supports(spec.support)]
    return f", or use backend {_either(names)}" if names else ""


def _fix(precision: Precision, support: Support) -> str:
    """The fix, in words, for a precision that no kernel of the backend supports.

    It suggests other values of one key if one change is enough, else the keys and values of all kernels.
    """
    groups, widths = (*PER_CHANNEL, *GROUPS), range(2, 9)
    alternatives: dict[str, dict[str, Precision]] = {
        "activations": {value: replace(precision, activations=value) for value in ACTIVATIONS},
        "granularity": {granularity_of(group): replace(precision, group=group) for group in groups},
        "weights": {f"int{bits}": replace(precision, bits=bits) for bits in widths},
    }
    for key, candidates in alternatives.items():
        values = [value for value, other in candidates.items() if support.layer_kernel(other)]
        if values:
            return f"write {key}: {_either(values)}"
    return f"write {'; or '.join(map(_keys, support.layers))}"


def _words(precision: Precision) -> str:
    return f"int{precision.bits} {granularity_of(precision.group)} with activations {precision.activations}"


def _keys(kernel: Kernel) -> str:
    """The recipe keys and values that a kernel supports, as text for a message."""
    return (
        f"weights: {_either(f'int{bits}' for bits in kernel.bits)}, "
        f"granularity: {_either(map(granularity_of, kernel.groups))}, "
        f"activations: {_either(kernel.activations)}"
    )


def _either(values: Iterable[str]) -> str:
    *others, last = values
    return f"{', '.join(others)} or {last}" if others else last
