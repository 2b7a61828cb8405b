"""A recipe that gives every layer and table its own precision, in as few rules as will do."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import yaml

from nf_edge.backends import registered_backend
from nf_edge.backends.precisions import Precisions, precisions
from nf_edge.core.recipe.precision import POSITIONS, TOKENS, granularity_of
from nf_edge.core.recipe.quantize import Rule
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.model import ModelConfig

FLOAT = Rule(modules="*", weights="float32")
LAYER = re.compile(r"transformer\.h\.(\d+)\.(.+)")
# By module.
Wanted = Mapping[str, Rule]


def offers(recipe: Recipe) -> list[Rule]:
    """Precisions that a module may have in addition to float32, the widest first.

    The backend has a kernel for each, with the recipe's activations and its size of groups.
    """
    assert recipe.quantize is not None
    support, rules = registered_backend(recipe.backend).support, []
    for weights in ("int8", "int4", "int2"):
        precision = recipe.quantize.layer(Rule(modules="*", weights=weights))
        kernel = support.layer_kernel(precision)
        if kernel is not None and kernel.stored == precision.bits:
            granularity = granularity_of(precision.group)
            rules.append(
                Rule.model_validate({"modules": "*", "weights": weights, "granularity": granularity})
            )
    return rules


def uniform(recipe: Recipe, rule: Rule) -> Recipe:
    """The recipe with one precision for all, where a module can have it."""
    return _with(recipe, {"rules": (rule,)})


def alone(recipe: Recipe, modules: Sequence[str], rule: Rule) -> Recipe:
    """The recipe with some modules quantized and all others in float32."""
    rules = [rule.model_copy(update={"modules": name}) for name in modules]
    return _with(recipe, {"rules": (*rules, FLOAT)})


def mixture(recipe: Recipe, config: ModelConfig, wanted: Wanted, name: str) -> Recipe:
    """A recipe of a name that gives every module what is wanted, and is else as `recipe`.

    Args:
        wanted: of every layer and table; the patterns of these rules say nothing.
    """
    description = f"as {recipe.name}, but with a precision for each layer and table"
    recipe = recipe.model_copy(update={"name": name, "description": description})
    if all(rule.weights == "float32" for rule in wanted.values()):
        return recipe.model_copy(update={"quantize": None})
    targets = {
        module: precisions(uniform(recipe, rule), config)[module]
        for rule in set(wanted.values())
        for module, its in wanted.items()
        if its == rule
    }
    found = []
    for section in _sections(wanted):
        base = _with(recipe, section | {"rules": ()})
        found.append(_with(base, {"rules": tuple(_rules(base, config, wanted, targets))}))
    return min(found, key=lambda each: len(each.quantize.rules) if each.quantize else 0)


def _with(recipe: Recipe, keys: Mapping[str, Any]) -> Recipe:
    assert recipe.quantize is not None
    return recipe.model_copy(update={"quantize": recipe.quantize.model_copy(update=dict(keys))})


def _sections(wanted: Wanted) -> list[dict[str, Any]]:
    """Keys that could stand for all that no rule names: what layers get that are quantized, that of the most
    layers first, and what the tokens get."""
    quantized = Counter(
        rule for name, rule in wanted.items() if name not in (TOKENS, POSITIONS) and rule.granularity
    )
    keys: dict[str, Any] = {"embeddings": wanted[TOKENS].weights}
    if {rule.weights for rule in wanted.values()} <= {"int8", "float32"}:
        keys["method"] = "nearest"
    layers = [
        {"weights": rule.weights, "granularity": rule.granularity} for rule, _ in quantized.most_common()
    ]
    return [keys | each for each in layers or [{}]]


def _rules(base: Recipe, config: ModelConfig, wanted: Wanted, targets: Precisions) -> list[Rule]:
    """The rules that make `targets` of what the section says, each for as many modules as it can."""
    floats = sum(precision.bits is None for precision in targets.values())
    tail = [FLOAT] if 2 * floats > len(targets) else []

    def made(rules: list[Rule]) -> Precisions:
        return precisions(_with(base, {"rules": tuple(rules)}), config)

    variants = _variants(wanted)
    results = [made([rule]) for rule in variants]
    now, free, rules = made(tail), set(targets), []
    todo = {name for name in targets if now[name] != targets[name]}
    while todo:
        found = [
            (len(matched & todo), -place, -len(pattern), pattern)
            for pattern in _patterns(todo, wanted)
            if (matched := {name for name in free if fnmatchcase(name, pattern)}) & todo
            for place, result in enumerate(results)
            if all(result[name] == targets[name] for name in matched)
        ]
        _, place, _, pattern = max(found)
        rules.append(variants[-place].model_copy(update={"modules": pattern}))
        matched = {name for name in free if fnmatchcase(name, pattern)}
        free, todo = free - matched, todo - matched
    return rules + tail


def _variants(wanted: Wanted) -> list[Rule]:
    """What rules may say: no granularity, where it goes without saying, or one."""
    every = dict.fromkeys(wanted.values())
    short = dict.fromkeys(rule.model_copy(update={"granularity": None}) for rule in every)
    return [*short, *every]


def _patterns(todo: set[str], wanted: Wanted) -> set[str]:
    """Patterns of names: one module; a kind of module in all layers or in some; a layer, or its half."""
    found = set(todo)
    layers = defaultdict(set)
    for name in todo:
        if place := LAYER.fullmatch(name):
            index, rest = place.groups()
            half, _, last = rest.partition(".")
            found |= {f"*.{rest}", f"*.{half}.*", f"*.{last}"}
            found |= {f"transformer.h.{index}.*", f"transformer.h.{index}.{half}.*", "transformer.h.*"}
            layers[index[:-1], rest, wanted[name].weights].add(index[-1])
    return found | {
        f"transformer.h.{tens}[{''.join(sorted(ones))}].{rest}" for (tens, rest, _), ones in layers.items()
    }


class _Flow(dict[str, Any]):
    """A mapping that is written in one line."""


class _Dumper(yaml.SafeDumper):
    pass


_Dumper.add_representer(
    _Flow,
    lambda dumper, mapping: dumper.represent_mapping("tag:yaml.org,2002:map", mapping, flow_style=True),
)


def as_yaml(recipe: Recipe, comments: Sequence[str]) -> str:
    """The text of a recipe's file, under lines of comment."""
    document = recipe.model_dump(mode="json", exclude_defaults=True)
    quantize = document.get("quantize", {})
    if "rules" in quantize:
        quantize["rules"] = [_Flow(rule) for rule in quantize["rules"]]
    body = yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)
    return "".join(f"# {line}\n" for line in comments) + body
