"""GPT-2's names of tensors, whatever a training framework has put around them.

Two rules, for all sources: parts that wrappers add are left out wherever they stand, and what is before the
model's own names is left out where it is the same for all of them.
"""

from collections import Counter
from collections.abc import Iterable

from nf_edge.model.importers.adapters import is_of_adapter

# Of torch.compile, DistributedDataParallel, FSDP, activation checkpointing and Lightning Fabric.
WRAPPERS = {
    "_orig_mod",
    "module",
    "_fsdp_wrapped_module",
    "_checkpoint_wrapped_module",
    "_forward_module",
}
# The first parts of GPT-2's names: those below `transformer`, and the heads.
BODY, HEADS = {"wte", "wpe", "h", "ln_f"}, {"lm_head", "score"}
SHOWN = 3


def own_names(keys: Iterable[str], problems: list[str], notes: list[str]) -> dict[str, str]:
    """Our name of each key, or the key itself where it is none of GPT-2's.

    Args:
        problems: takes why the keys are not those of one model.
        notes: takes what was left out of all of them.
    """
    names: dict[str, str] = {}
    prefixes: Counter[str] = Counter()
    for key in keys:
        prefix, names[key] = _split(key)
        if prefix is not None:
            prefixes[prefix] += 1
    if adapted := list(filter(is_of_adapter, names)):
        problems.append(
            f"holds an adapter that is not merged ({adapted[0]}): save what peft's merge_and_unload() returns"
        )
    elif len(prefixes) > 1:
        listed = ", ".join(f"{count} with {prefix!r}" for prefix, count in prefixes.most_common())
        problems.append(f"names of several models: {listed} before GPT-2's own names; keep those of one")
    else:
        problems += _twice(names)
        notes += [f"names begin with {prefix!r}, which is left out" for prefix in prefixes if prefix]
    return names


def _split(key: str) -> tuple[str | None, str]:
    """What stands before GPT-2's own name, None where there is no such name, and that name."""
    parts = [part for part in key.split(".") if part not in WRAPPERS]
    first = next((i for i, part in enumerate(parts) if part in BODY | HEADS), None)
    if first is None:
        return None, ".".join(parts)
    before, own = parts[:first], parts[first:]
    if own[0] in BODY:
        # A bare GPT2Model, and the files on the hub that were saved from one, lack it.
        before, own = before[:-1] if before[-1:] == ["transformer"] else before, ["transformer", *own]
    return "".join(f"{part}." for part in before), ".".join(own)


def _twice(names: dict[str, str]) -> list[str]:
    """What is wrong where two keys have one name."""
    keys: dict[str, list[str]] = {}
    for key, name in names.items():
        keys.setdefault(name, []).append(key)
    twice = {name: its for name, its in keys.items() if len(its) > 1}
    problems = [
        f"{' and '.join(its)} are both {name}: keep one of them" for name, its in list(twice.items())[:SHOWN]
    ]
    if len(twice) > SHOWN:
        problems.append(f"and {len(twice) - SHOWN} more tensors are there twice")
    return problems
