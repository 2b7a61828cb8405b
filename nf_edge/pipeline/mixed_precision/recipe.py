"""Recipes that give each layer and table its own precision, with as few rules as possible."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import yaml

from nf_edge.backends import backend_spec
from nf_edge.backends.precisions import Precisions, precisions
from nf_edge.core.recipe.precision import POSITIONS, TOKENS, granularity_of
from nf_edge.core.recipe.quantize import Rule
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.model import ModelConfig

FLOAT = Rule(modules="*", weights="float32")
LAYER = re.compile(r"transformer\.h\.(\d+)\.(.+)")
# Module name → the module's rule.
Rules = Mapping[str, Rule]


def weight_choices(recipe: Recipe) -> list[Rule]:
    """The precisions that a module can have in addition to float32, widest first.

    The backend has a kernel for each of them with the recipe's activations and group size.
    """
    assert recipe.quantize is not None
    support, rules = backend_spec(recipe.backend).support, []
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
    """The recipe with the precision of `rule` for all modules that support it."""
    return _with(recipe, {"rules": (rule,)})


def quantize_only(recipe: Recipe, modules: Sequence[str], rule: Rule) -> Recipe:
    """The recipe with `modules` in the precision of `rule`, and all others in float32."""
    rules = [rule.model_copy(update={"modules": name}) for name in modules]
    return _with(recipe, {"rules": (*rules, FLOAT)})


def mixture(recipe: Recipe, config: ModelConfig, by_module: Rules, name: str) -> Recipe:
    """A recipe that gives every module its precision; all other keys are copied from `recipe`.

    Args:
        by_module: a rule for every layer and table; the patterns in these rules are ignored.
        name: the name of the new recipe.
    """
    description = f"as {recipe.name}, but with a precision for each layer and table"
    recipe = recipe.model_copy(update={"name": name, "description": description})
    if all(rule.weights == "float32" for rule in by_module.values()):
        return recipe.model_copy(update={"quantize": None})
    by_rule = {rule: precisions(uniform(recipe, rule), config) for rule in set(by_module.values())}
    targets = {module: by_rule[rule][module] for module, rule in by_module.items()}
    candidates = []
    for section in _sections(by_module):
        base = _with(recipe, section | {"rules": ()})
        candidates.append(_with(base, {"rules": tuple(_rules(base, config, by_module, targets))}))
    return min(candidates, key=lambda each: len(each.quantize.rules) if each.quantize else 0)


def _with(recipe: Recipe, keys: Mapping[str, Any]) -> Recipe:
    assert recipe.quantize is not None
    return recipe.model_copy(update={"quantize": recipe.quantize.model_copy(update=dict(keys))})


def _sections(by_module: Rules) -> list[dict[str, Any]]:
    """Candidate `quantize` sections without rules.

    A section sets the precision of all layers and tables that no rule matches.  There is one candidate for
    each precision of quantized layers, the most frequent first.  Each candidate gives all tables the token
    table's precision.
    """
    quantized = Counter(
        rule for name, rule in by_module.items() if name not in (TOKENS, POSITIONS) and rule.granularity
    )
    keys: dict[str, Any] = {"embeddings": by_module[TOKENS].weights}
    if {rule.weights for rule in by_module.values()} <= {"int8", "float32"}:
        keys["method"] = "nearest"
    layers = [
        {"weights": rule.weights, "granularity": rule.granularity} for rule, _ in quantized.most_common()
    ]
    return [keys | each for each in layers or [{}]]


def _rules(base: Recipe, config: ModelConfig, by_module: Rules, targets: Precisions) -> list[Rule]:
    """Rules that change a section's precisions to `targets`; each rule covers as many modules as possible.

    Args:
        base: the recipe with this section.
        by_module: a rule with the requested precision for each module.
        targets: the precision that each module must get.
    """
    floats = sum(precision.bits is None for precision in targets.values())
    tail = [FLOAT] if 2 * floats > len(targets) else []

    def made(rules: list[Rule]) -> Precisions:
        return precisions(_with(base, {"rules": tuple(rules)}), config)

    variants = _variants(by_module)
    results = [made([rule]) for rule in variants]
    now, free, rules = made(tail), set(targets), []
    todo = {name for name in targets if now[name] != targets[name]}
    while todo:
        options = [
            (len(matched & todo), -place, -len(pattern), pattern)
            for pattern in _patterns(todo, by_module)
            if (matched := {name for name in free if fnmatchcase(name, pattern)}) & todo
            for place, result in enumerate(results)
            if all(result[name] == targets[name] for name in matched)
        ]
        _, place, _, pattern = max(options)
        rules.append(variants[-place].model_copy(update={"modules": pattern}))
        matched = {name for name in free if fnmatchcase(name, pattern)}
        free, todo = free - matched, todo - matched
    return rules + tail


def _variants(by_module: Rules) -> list[Rule]:
    """Candidate rules: each rule once without its granularity, and once with it.

    Rules without a granularity come first, because they are shorter.  They get the default granularity.
    """
    every = dict.fromkeys(by_module.values())
    short = dict.fromkeys(rule.model_copy(update={"granularity": None}) for rule in every)
    return [*short, *every]


def _patterns(todo: set[str], by_module: Rules) -> set[str]:
    """Candidate patterns for rules that cover the modules in `todo`.

    A pattern matches one of these:

    - one module
    - the modules of one name in all layers
    - the modules of one name and one dtype in layers 0 to 9, or in 10 to 19, and so on
    - the attention or the MLP of one layer or of all layers
    - one layer, or all layers
    """
    patterns = set(todo)
    layers = defaultdict(set)
    for name in todo:
        if place := LAYER.fullmatch(name):
            index, rest = place.groups()
            half, _, last = rest.partition(".")
            patterns |= {f"*.{rest}", f"*.{half}.*", f"*.{last}"}
            patterns |= {f"transformer.h.{index}.*", f"transformer.h.{index}.{half}.*", "transformer.h.*"}
            layers[index[:-1], rest, by_module[name].weights].add(index[-1])
    return patterns | {
        f"transformer.h.{tens}[{''.join(sorted(ones))}].{rest}" for (tens, rest, _), ones in layers.items()
    }


class _Flow(dict[str, Any]):
    """A mapping that is written as YAML on one line."""


class _Dumper(yaml.SafeDumper):
    pass


_Dumper.add_representer(
    _Flow,
    lambda dumper, mapping: dumper.represent_mapping("tag:yaml.org,2002:map", mapping, flow_style=True),
)


def as_yaml(recipe: Recipe, comments: Sequence[str]) -> str:
    """The YAML text of a recipe, with comments at the top."""
    document = recipe.model_dump(mode="json", exclude_defaults=True)
    quantize = document.get("quantize", {})
    if "rules" in quantize:
        quantize["rules"] = [_Flow(rule) for rule in quantize["rules"]]
    body = yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)
    return "".join(f"# {line}\n" for line in comments) + body
