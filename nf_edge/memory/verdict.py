"""Does it fit: the largest of the three accounts against what a device lets one process have."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from nf_edge.device import Device, Memory
from nf_edge.errors import OverBudget
from nf_edge.matching import unsupported
from nf_edge.memory.accounts import Account
from nf_edge.recipe import Recipe
from nf_edge.report import Figure, format_bytes


@dataclass(frozen=True)
class Share:
    """One memory of the device against what is needed of it, in bytes.

    Attributes:
        need: the largest figure of the three accounts.
        budget: what the device lets a model have.
        unverified: facts that the budget leans on and nobody has seen in a source, with their sources.
    """

    memory: str
    kind: str
    need: Figure
    budget: int
    unverified: dict[str, str]

    @property
    def fits(self) -> bool:
        return (self.need.value or 0) <= self.budget

    @property
    def used(self) -> float:
        """Need as a share of the budget."""
        return (self.need.value or 0) / self.budget


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
    def outcome(self) -> Literal["fits", "over budget", "does not run"]:
        if self.problem:
            return "does not run"
        return "fits" if all(share.fits for share in self.shares) else "over budget"

    def to_json(self) -> dict[str, Any]:
        shares = [asdict(s) | {"need": s.need.to_json(), "fits": s.fits, "used": s.used} for s in self.shares]
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
        shares = [_share(device.working_memory, [account.process_total for account in accounts])]
    else:
        shares = [
            _share(device.working_memory, [account.heap for account in accounts]),
            _share(storage, [account.file_total for account in accounts]),
        ]
    return Verdict(device.id, device.name, tuple(shares), unsupported(device, recipe))


def _share(memory: Memory, needs: list[Figure]) -> Share:
    known = [figure for figure in needs if figure.value is not None]
    return Share(
        memory=memory.name,
        kind=memory.kind,
        need=max(known, key=lambda figure: figure.value or 0),
        budget=memory.budget_bytes,
        unverified={path: fact.source for path, fact in memory.unverified_budget().items()},
    )


def enforce_budget(verdict: Verdict) -> None:
    """Raises OverBudget where the device has no room for it, or cannot run it."""
    if verdict.outcome == "over budget":
        over = [share for share in verdict.shares if not share.fits]
        lines = "; ".join(
            f"needs {share.need} of {share.memory} ({share.need.how}) of {format_bytes(share.budget)} allowed"
            for share in over
        )
        raise OverBudget(
            f"does not fit {verdict.device}: {lines}",
            fix="use a recipe that quantizes more, a smaller model, or fewer tokens (shapes.length)",
        )
    if verdict.outcome == "does not run":
        raise OverBudget(f"does not run on {verdict.device}: {verdict.problem}")
