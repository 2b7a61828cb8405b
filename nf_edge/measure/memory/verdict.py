"""Does it fit: the largest of the three accounts against what a device lets one process have."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from nf_edge.artifact.manifest import FITTING
from nf_edge.core.compatibility import unsupported
from nf_edge.core.device import Device, Memory
from nf_edge.core.errors import OverBudget
from nf_edge.core.figures import Figure, format_bytes
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.measure.memory.accounts import HEAP_PARTS, Account

Outcome = Literal["fits", "fits as far as known", "unknown", "over budget"]
WORST_LAST: tuple[Outcome, ...] = get_args(Outcome)


@dataclass(frozen=True)
class Share:
    """One memory of the device against what is needed of it, in bytes.

    Attributes:
        need: the largest figure of the three accounts; unavailable where none of them has one.
        unknown: parts that are not in `need` because nobody knows their bytes, with the reasons.
        budget: what the device lets a model have.
        unverified: facts that the budget leans on and nobody has seen in a source, with their sources.
    """

    memory: str
    kind: str
    need: Figure
    unknown: dict[str, str]
    budget: int
    unverified: dict[str, str]

    @property
    def outcome(self) -> Outcome:
        if self.need.value is None:
            return "unknown"
        if not self.need.value <= self.budget:
            return "over budget"
        return "fits as far as known" if self.unknown else "fits"

    @property
    def fits(self) -> bool:
        """Whether all that is needed is known, and there is room for it."""
        return self.outcome == "fits"

    @property
    def used(self) -> float | None:
        """Need as a share of the budget; None where it is not known, or there is no budget."""
        return None if self.need.value is None or not self.budget else self.need.value / self.budget


@dataclass(frozen=True)
class Verdict:
    """Whether a device runs the artifact.

    Attributes:
        problem: why it cannot run there at all; "" where it can.
    """

    device: str
    device_name: str
    shares: tuple[Share, ...]
    problem: str

    @property
    def outcome(self) -> Outcome | Literal["does not run"]:
        """That of the memory of which it is worst."""
        if self.problem:
            return "does not run"
        return max((share.outcome for share in self.shares), key=WORST_LAST.index)

    def to_json(self) -> dict[str, Any]:
        shares = [
            asdict(s) | {"need": s.need.to_json(), "outcome": s.outcome, "fits": s.fits, "used": s.used}
            for s in self.shares
        ]
        return {
            "device": self.device,
            "device_name": self.device_name,
            "outcome": self.outcome,
            "problem": self.problem,
            "memory": shares,
        }


def judge(device: Device, recipe: Recipe, accounts: list[Account]) -> Verdict:
    """Hold the accounts against a device.

    On a phone or a board all of the process counts against its main memory.  On a microcontroller the
    file and the code rest in flash and are executed there, so working memory has to hold the heap only.
    """
    storage = device.storage_memory
    if storage is None:
        needs = [(account.process_total, account.uncounted) for account in accounts]
        shares = [_share(device.working_memory, needs)]
    else:
        shares = [
            _share(device.working_memory, [(account.heap, _of_heap(account)) for account in accounts]),
            _share(storage, [(account.file_total, {}) for account in accounts]),
        ]
    return Verdict(device.id, device.name, tuple(shares), unsupported(device, recipe))


def _of_heap(account: Account) -> dict[str, str]:
    return {name: reason for name, reason in account.uncounted.items() if name in HEAP_PARTS}


def _share(memory: Memory, needs: Sequence[tuple[Figure, dict[str, str]]]) -> Share:
    """A memory against the figures of the accounts, each with what is unknown of it."""
    known = [(figure.value, figure, unknown) for figure, unknown in needs if figure.value is not None]
    if known:
        _, need, unknown = max(known, key=lambda each: each[0])
    else:
        reasons = dict.fromkeys(figure.note for figure, _ in needs)
        need, unknown = Figure.unavailable("bytes", "; ".join(reasons)), {}
    if any(figure.how in ("measured", "emulated") and not without for _, figure, without in known):
        # A run has all that there is.
        unknown = {}
    return Share(
        memory=memory.name,
        kind=memory.kind,
        need=need,
        unknown=unknown,
        budget=memory.budget_bytes,
        unverified={path: fact.source for path, fact in memory.unverified_budget().items()},
    )


def failure_of(verdict: Verdict) -> OverBudget | None:
    """Why the artifact does not pass on the device: it has no room, the need is unknown, or it cannot run
    there; None where it passes."""
    if verdict.outcome in FITTING:
        return None
    if verdict.outcome == "over budget":
        over = [share for share in verdict.shares if share.outcome == "over budget"]
        lines = "; ".join(
            f"needs {share.need} of {share.memory} ({share.need.how}) of {format_bytes(share.budget)} allowed"
            for share in over
        )
        return OverBudget(
            f"does not fit {verdict.device}: {lines}",
            fix="use a recipe that quantizes more, a smaller model, or fewer tokens (shapes.length)",
        )
    if verdict.outcome == "unknown":
        lines = "; ".join(
            f"{share.memory}: {share.need.note}" for share in verdict.shares if share.outcome == "unknown"
        )
        return OverBudget(
            f"it is not known whether it fits {verdict.device}: {lines}",
            fix="nf-edge doctor tells what measures memory here",
        )
    return OverBudget(f"does not run on {verdict.device}: {verdict.problem}")


def enforce_budget(verdict: Verdict) -> None:
    """Raises what `failure_of` gives."""
    if (failure := failure_of(verdict)) is not None:
        raise failure
