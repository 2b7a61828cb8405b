"""Recover GPT-2's tensor names from the names that training frameworks write.

Two rules apply to all sources.  Name parts that wrappers add are removed everywhere.  A prefix before GPT-2's
names is removed if all tensors have the same prefix.
"""

from collections import Counter
from collections.abc import Iterable

from nf_edge.model.importers.adapters import is_of_adapter

# Name parts of torch.compile, DistributedDataParallel, FSDP, activation checkpointing and Lightning Fabric.
WRAPPERS = {
    "_orig_mod",
    "module",
    "_fsdp_wrapped_module",
    "_checkpoint_wrapped_module",
    "_forward_module",
}
# The first parts of GPT-2's names: inside `transformer`, and heads.
BODY, HEADS = {"wte", "wpe", "h", "ln_f"}, {"lm_head", "score"}
SHOWN = 3


def gpt2_names(keys: Iterable[str], problems: list[str], notes: list[str]) -> dict[str, str]:
    """Map each key to its name in GPT-2.  If a key has no such name, only the parts of wrappers are removed.

    Args:
        problems: receives the reasons why the keys do not belong to one model.
        notes: receives the prefix that was removed from all names.
    """
    names: dict[str, str] = {}
    prefixes: Counter[str] = Counter()
    for key in keys:
        prefix, names[key] = _split(key)
        if prefix is not None:
            prefixes[prefix] += 1
    if adapted := list(filter(is_of_adapter, names)):
        problems.append(
            f"contains an adapter that is not merged ({adapted[0]}); save the result of peft's "
            "merge_and_unload() instead"
        )
    elif len(prefixes) > 1:
        listed = ", ".join(f"{count} with {prefix!r}" for prefix, count in prefixes.most_common())
        problems.append(
            f"has tensors of several models (prefixes of GPT-2's names: {listed}); keep those of one model"
        )
    else:
        problems += _twice(names)
        notes += [f"the prefix {prefix!r} is removed from all tensor names" for prefix in prefixes if prefix]
    return names


def _split(key: str) -> tuple[str | None, str]:
    """The prefix before GPT-2's name, and the name.

    If the key has no such name: None, and the key without the parts of wrappers.
    """
    parts = [part for part in key.split(".") if part not in WRAPPERS]
    first = next((i for i, part in enumerate(parts) if part in BODY | HEADS), None)
    if first is None:
        return None, ".".join(parts)
    prefix, name = parts[:first], parts[first:]
    if name[0] in BODY:
        # Files saved from a bare GPT2Model lack `transformer`.
        prefix, name = prefix[:-1] if prefix[-1:] == ["transformer"] else prefix, ["transformer", *name]
    return "".join(f"{part}." for part in prefix), ".".join(name)


def _twice(names: dict[str, str]) -> list[str]:
    """One problem for each tensor that occurs under several keys.

    Args:
        names: maps each key to the name of its tensor in GPT-2.
    """
    keys: dict[str, list[str]] = {}
    for key, name in names.items():
        keys.setdefault(name, []).append(key)
    twice = {name: same for name, same in keys.items() if len(same) > 1}
    problems = [
        f"{' and '.join(same)} are the same tensor, {name}; keep one of them"
        for name, same in list(twice.items())[:SHOWN]
    ]
    if len(twice) > SHOWN:
        problems.append(f"{len(twice) - SHOWN} more tensors occur under several names")
    return problems
