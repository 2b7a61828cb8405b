"""The memory verdict: compare the largest of the predicted, planned and measured figures with a
device's budget.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from nf_edge.core.compatibility import incompatibility
from nf_edge.core.device import Device, Memory
from nf_edge.core.errors import OverBudget
from nf_edge.core.figures import Figure, format_bytes
from nf_edge.core.memory_outcome import FITTING, OUTCOMES, Outcome
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.measure.memory.accounts import HEAP_PARTS, Account, Phase

NO_FIRMWARE = "nothing was measured on a microcontroller for this backend"


@dataclass(frozen=True)
class Share:
    """One memory of the device, and the bytes that the artifact needs in it.

    Attributes:
        memory: name of the memory.
        kind: kind of the memory: `dram`, `sram` or `flash`.
        need: the largest figure of the three accounts; unavailable if no account has one.
        unknown: maps each part of unknown size to the reason; `need` does not include these parts.
        budget: bytes that the device allows a model.
        unverified: unverified facts of the device that the budget depends on; maps each to its source.
        phase: the phase of the process that needs it: the steady state, or the peak of loading; None on a
            microcontroller.
    """

    memory: str
    kind: str
    need: Figure
    unknown: dict[str, str]
    budget: int
    unverified: dict[str, str]
    phase: Phase | None = None

    @property
    def outcome(self) -> Outcome:
        if self.need.value is None:
            return "unknown"
        if not self.need.value <= self.budget:
            return "over budget"
        return "fits as far as known" if self.unknown else "fits"

    @property
    def fits(self) -> bool:
        """Whether the need is completely known and within the budget."""
        return self.outcome == "fits"

    @property
    def used(self) -> float | None:
        """Need as a share of the budget; None if the need is unknown or the budget is 0."""
        return None if self.need.value is None or not self.budget else self.need.value / self.budget

    @property
    def headroom(self) -> float | None:
        """Bytes of the budget that the artifact leaves; negative if it is too large, None if unknown."""
        return None if self.need.value is None else self.budget - self.need.value

    @property
    def origin(self) -> str:
        """The origin of the need, such as `planned`, with the phase that needs it, such as `load peak`."""
        return f"{self.need.how}, {self.phase}" if self.phase else self.need.how

    @property
    def problem(self) -> str:
        """The reason why the memory gate fails; "" if it passes."""
        if self.outcome in FITTING:
            return ""
        if self.need.value is None:
            return f"the need for {self.memory} is unknown ({self.need.note})"
        return (
            f"it needs {self.need} of {self.memory} ({self.origin}), but "
            f"{format_bytes(self.budget)} are allowed"
        )


@dataclass(frozen=True)
class Verdict:
    """Whether a device can run the artifact, and the reasons.

    Attributes:
        device: id of the device.
        device_name: name of the device.
        shares: the device's memories and the artifact's needs.
        problem: the reason why the device cannot run the artifact; "" if it can.
    """

    device: str
    device_name: str
    shares: tuple[Share, ...]
    problem: str

    @property
    def outcome(self) -> Outcome | Literal["does not run"]:
        """The worst outcome of all memories; "does not run" if the device cannot run the artifact."""
        if self.problem:
            return "does not run"
        return max((share.outcome for share in self.shares), key=OUTCOMES.index)

    @property
    def passes(self) -> bool:
        """Whether the memory gate passes: all that is known fits, and the device runs the artifact."""
        return self.outcome in FITTING

    @property
    def deciding(self) -> Share | None:
        """The memory with the worst outcome, and of these the fullest; None if no memory was compared."""
        if not self.shares:
            return None
        return max(self.shares, key=lambda share: (OUTCOMES.index(share.outcome), share.used or 0))

    @property
    def failure(self) -> OverBudget | None:
        """The memory gate's error; None if the artifact passes.

        The gate fails if the memory is too small, a need is unknown, or the device cannot run the artifact.
        """
        if self.passes:
            return None
        problems = "; ".join(share.problem for share in self.shares if share.outcome == self.outcome)
        if self.outcome == "over budget":
            return OverBudget(
                f"the artifact does not fit {self.device}: {problems}",
                fix="use a recipe that quantizes more, a smaller model, or fewer tokens (shapes.length)",
            )
        if self.outcome == "unknown":
            return OverBudget(
                f"it is unknown whether the artifact fits {self.device}: {problems}",
                fix="run nf-edge doctor, which lists the tools that measure memory on this machine",
            )
        return OverBudget(
            f"the artifact does not run on {self.device}: {self.problem}",
            fix="use a recipe whose backend the device has; nf-edge backends lists each backend's devices",
        )

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
    """Compare the accounts with the memory of a device.

    On a phone or a board the complete process counts as main memory, in the phase that needs more.  On a
    microcontroller the file and the code stay in flash.  SRAM holds the program's pools, the stack and the
    inputs.
    """
    storage = device.storage_memory
    if storage is None:
        needs = [_Need(account.process_total, account.uncounted, account.phase) for account in accounts]
        shares = [_share(device.working_memory, needs)]
    else:
        shares = [
            _share(device.working_memory, [_sram_need(account) for account in accounts]),
            _share(storage, [_flash_need(account) for account in accounts]),
        ]
    return Verdict(device.id, device.name, tuple(shares), incompatibility(device, recipe))


@dataclass(frozen=True)
class _Need:
    """One account's need of a memory, its unknown parts with reasons, and the phase of the process."""

    figure: Figure
    unknown: dict[str, str]
    phase: Phase | None = None


def _sram_need(account: Account) -> _Need:
    """The SRAM that the model needs on a microcontroller, according to one account."""
    uncounted = {name: reason for name, reason in account.uncounted.items() if name in HEAP_PARTS}
    if account.firmware is None:
        return _Need(account.heap, {**uncounted, "stack and variables": NO_FIRMWARE})
    return _Need(account.firmware.sram, uncounted)


def _flash_need(account: Account) -> _Need:
    """The flash that the model needs on a microcontroller, according to one account."""
    if account.firmware is None:
        return _Need(account.file_total, {"code": NO_FIRMWARE})
    return _Need(account.firmware.flash, account.firmware.uncounted)


def _share(memory: Memory, needs: Sequence[_Need]) -> Share:
    """Compare a memory's budget with the largest known need; `needs` has one need per account."""
    known = [(need.figure.value, need) for need in needs if need.figure.value is not None]
    if known:
        _, largest = max(known, key=lambda each: each[0])
    else:
        reasons = dict.fromkeys(need.figure.note for need in needs)
        largest = _Need(Figure.unavailable("bytes", "; ".join(reasons)), {})
    # A run includes every part, so nothing is unknown.
    complete = any(need.figure.how in ("measured", "emulated") and not need.unknown for _, need in known)
    return Share(
        memory=memory.name,
        kind=memory.kind,
        need=largest.figure,
        unknown={} if complete else largest.unknown,
        budget=memory.budget_bytes,
        unverified={path: fact.source for path, fact in memory.unverified_budget().items()},
        phase=largest.phase,
    )
