"""A mixed-precision recipe that meets a size or a loss, proven on the artifact that it makes.

It is found in three steps, each nearer to what ships than the one before.  The costs of single units give
the order in which to make units more precise; PyTorch, with all of them rounded at once, says how far to go;
and the artifact, lowered and asked from its file, says whether that is enough.
"""

import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from nf_edge.accuracy.answers import ask_both
from nf_edge.accuracy.compare import Comparison, compare
from nf_edge.accuracy.faithful import OVERFLOWS, not_finite_text
from nf_edge.backends.base import Bounds, Session
from nf_edge.compress.allocate import Allocation, Choice, fill, path, trim
from nf_edge.compress.fates import Fate
from nf_edge.compress.mixture import FLOAT, mixture
from nf_edge.errors import AccuracyGate, OverBudget
from nf_edge.lowering import Lowered, lower, rounded
from nf_edge.model import Decoder
from nf_edge.progress import Progress, silent
from nf_edge.recipe import Recipe
from nf_edge.report import format_bytes
from nf_edge.sensitivity import Cost, Sensitivity, Subject, Unit, change_of
from nf_edge.staging import scratch_folder
from nf_edge.strict_json import number

# Artifacts that are made, after which the best of them is what there is.
MOST_PROOFS = 8
# Units that are tried at less once a loss is met.
MOST_TRIALS = 24
# Times a loss that PyTorch may expect of what is made all the same: an artifact may lose less.
HOPELESS = 3


@dataclass(frozen=True)
class Target:
    """What a recipe has to meet: a size of the model file in bytes, or a loss of its answers.

    Attributes:
        of: `size`; `kl`, in nats; or `drop`, of accuracy, in points.
        most: the largest that will do.
    """

    of: Literal["size", "kl", "drop"]
    most: float


@dataclass(frozen=True)
class Proof:
    """A recipe, what was expected of it, and what its artifact is.

    Attributes:
        chosen: what each unit is kept as; None where that is float32.
        summed: nats that its units cost one by one.
        predicted_bytes: of the model file.
        simulated: its answers in PyTorch beside the checkpoint's.
        bytes, measured: of the artifact, from its file.
    """

    recipe: Recipe
    chosen: Mapping[Unit, Cost | None]
    fates: tuple[Fate, ...]
    summed: float
    predicted_bytes: int
    simulated: Comparison
    bytes: int
    measured: Comparison

    def meets(self, target: Target) -> bool:
        value = self.bytes if target.of == "size" else loss(self.measured, target)
        return not self.measured.not_finite and value <= target.most

    def to_json(self) -> dict[str, Any]:
        predicted = {
            "file_bytes": self.predicted_bytes,
            "kl_summed": self.summed,
            "kl": number(self.simulated.faithful.kl),
            "drop": self.simulated.drop,
        }
        chosen = {unit.name: cost.dtype if cost else "float32" for unit, cost in self.chosen.items()}
        return {
            "chosen": chosen,
            "quantization": [fate.to_json() for fate in self.fates],
            "predicted": predicted,
            "measured": {"file_bytes": self.bytes, **self.measured.to_json()},
        }


@dataclass(frozen=True)
class Mix:
    """What was found.

    Attributes:
        best: the recipe that meets the target, or where none does the one that comes nearest.
        made: artifacts that were made on the way.
    """

    target: Target
    met: bool
    best: Proof
    made: int

    def to_json(self) -> dict[str, Any]:
        target = {"of": self.target.of, "most": self.target.most}
        return {"target": target, "met": self.met, "artifacts_made": self.made, **self.best.to_json()}


def loss(answers: Comparison, target: Target) -> float:
    """What a target bounds; infinite where an answer is not finite."""
    if answers.not_finite:
        return math.inf
    return answers.drop if target.of == "drop" else answers.faithful.kl


def mix(
    subject: Subject, weighed: Sensitivity, target: Target, name: str, progress: Progress = silent
) -> Mix:
    """Find the recipe that meets a target: of a size, with the least loss; of a loss, the smallest.

    Args:
        weighed: what `sensitivity` found of the subject.
        name: of the recipe.
    """
    search = _Search(subject, weighed, name, progress)
    proofs = search.by_size(target) if target.of == "size" else search.by_loss(target)
    met = [proof for proof in proofs if proof.meets(target)]
    if target.of == "size":
        best = min(met, key=lambda proof: proof.measured.faithful.kl, default=None)
        nearest = min(proofs, key=lambda proof: proof.bytes)
    else:
        best = min(met, key=lambda proof: proof.bytes, default=None)
        nearest = min(proofs, key=lambda proof: loss(proof.measured, target))
    return Mix(target, best is not None, best or nearest, len(proofs))


def enforce(found: Mix) -> None:
    """Raises OverBudget or AccuracyGate, saying what the best is, where the target is not met."""
    if found.met:
        return
    best, most = found.best, found.target.most
    if lost := best.measured.not_finite:
        raise AccuracyGate(
            f"of the best recipe {not_finite_text(lost, best.measured.artifact.total, 'answers')}; "
            "no recipe was written",
            fix=OVERFLOWS,
        )
    if found.target.of == "size":
        raise OverBudget(
            f"the smallest model file that could be made takes {format_bytes(best.bytes)}, more than the "
            f"{format_bytes(most)} allowed; no recipe was written",
            fix="raise --file-size, begin with a recipe of smaller groups or fewer bits, or prune "
            "(nf-edge compress)",
        )
    if found.target.of == "kl":
        least, wanted = f"{best.measured.faithful.kl:.4g} nats", f"{most:g}"
    else:
        least, wanted = f"{best.measured.drop:.2f} points", f"{most:g}"
    raise AccuracyGate(
        f"the best recipe loses {least}, more than the {wanted} allowed; no recipe was written",
        fix="allow more, or begin with a recipe whose activations are rounded less",
    )


class _Search:
    def __init__(self, subject: Subject, weighed: Sensitivity, name: str, progress: Progress) -> None:
        self._subject, self._weighed, self._name, self._progress = subject, weighed, name, progress
        self._reference = subject.checkpoint.model()
        self._simulated: dict[str, Comparison] = {}
        # A unit's bytes are told by what it saves, so float32 is 0 and the rest is less.
        self._choices = {
            each.unit.name: [Choice(0, 0.0), *(Choice(-cost.saved, cost.kl) for cost in each.usable)]
            for each in weighed.units
        }
        self._path = path(self._choices)

    def by_size(self, target: Target) -> list[Proof]:
        """Artifacts made until one fits and another that is expected to fit is none that was made."""
        found: dict[str, Proof] = {}
        # What files have more than is predicted of them.
        more = 0
        while len(found) < MOST_PROOFS:
            spare = [target.most - more - self._bytes(allocation) for allocation in self._path]
            fitting = [place for place, left in enumerate(spare) if left >= 0]
            allocation = self._path[0]
            if fitting:
                place = fitting[-1]
                allocation = fill(self._path[place], self._choices, int(spare[place]))
            recipe = self._recipe(allocation)
            key = recipe.model_dump_json()
            if key in found:
                break
            found[key] = proof = self._prove(allocation)
            more = proof.bytes - proof.predicted_bytes
        return list(found.values())

    def by_loss(self, target: Target) -> list[Proof]:
        """Artifacts made until none smaller than one that meets the target is expected to; one with units
        made smaller again that the path had made more precise than it takes; and those whose units are all
        alike, which the path may miss, for single costs do not add up to theirs."""
        found: list[Proof] = []
        # Places on the path that do not meet it, and that do.
        short, enough = -1, len(self._path)
        # What answers of artifacts have lost more than PyTorch says.
        more = 0.0
        while short + 1 < enough and len(found) < MOST_PROOFS:
            place = self._first(target, short + 1, enough, more)
            if place == enough < len(self._path):
                break
            if place == len(self._path) or (enough == len(self._path) and len(found) == MOST_PROOFS - 1):
                place = len(self._path) - 1
            found.append(self._prove(self._path[place]))
            more = loss(found[-1].measured, target) - loss(found[-1].simulated, target)
            if found[-1].meets(target):
                enough = place
            else:
                short = place
        if enough < len(self._path):
            smaller = trim(
                self._path[enough],
                self._choices,
                lambda trial: self._expected(trial, target, more),
                MOST_TRIALS,
            )
            if smaller != self._path[enough]:
                found.append(self._prove(smaller))
        for allocation in self._alike():
            least = min((proof.bytes for proof in found if proof.meets(target)), default=None)
            if least is not None and self._bytes(allocation) >= least:
                break
            if loss(self._simulate(self._recipe(allocation)), target) <= HOPELESS * target.most:
                found.append(self._prove(allocation))
        return found

    def _alike(self) -> list[Allocation]:
        """Allocations that give all units that have it one width, the smallest first."""
        costs = {each.unit.name: [cost.rule.weights for cost in each.usable] for each in self._weighed.units}
        widths = {width for its in costs.values() for width in its}
        found = [
            {unit: its.index(width) + 1 if width in its else 0 for unit, its in costs.items()}
            for width in widths
        ]
        return sorted(found, key=self._bytes)

    def _first(self, target: Target, low: int, high: int, more: float) -> int:
        """The first place of the path, from `low` on, that is expected to meet a loss; `high` where none."""

        def enough(place: int) -> bool:
            return self._expected(self._path[place], target, more)

        return bisect_left(range(high), True, lo=low, key=enough)

    def _expected(self, allocation: Allocation, target: Target, more: float) -> bool:
        """Whether an allocation is expected to meet a loss, an artifact losing so much more than PyTorch."""
        return loss(self._simulate(self._recipe(allocation)), target) + more <= target.most

    def _bytes(self, allocation: Allocation) -> int:
        return self._weighed.float_bytes + sum(choice.bytes for choice in self._chosen(allocation))

    def _chosen(self, allocation: Allocation) -> Iterator[Choice]:
        return (self._choices[unit][place] for unit, place in allocation.items())

    def _costs(self, allocation: Allocation) -> dict[Unit, Cost | None]:
        places = {each.unit: (None, *each.usable) for each in self._weighed.units}
        return {unit: its[allocation[unit.name]] for unit, its in places.items()}

    def _recipe(self, allocation: Allocation) -> Recipe:
        wanted = {
            module: cost.rule if cost else FLOAT
            for unit, cost in self._costs(allocation).items()
            for module in unit.modules
        }
        return mixture(self._subject.recipe, self._subject.checkpoint.config, wanted, self._name)

    def _simulate(self, recipe: Recipe, lowered: Lowered | None = None) -> Comparison:
        key = recipe.model_dump_json()
        if key not in self._simulated:
            change = change_of(recipe, lowered or rounded(self._subject.job(recipe)))
            length = self._subject.checkpoint.config.n_positions
            self._simulated[key] = self._ask(change, Bounds(False, length, True, False), "trying in PyTorch")
        return self._simulated[key]

    def _prove(self, allocation: Allocation) -> Proof:
        recipe = self._recipe(allocation)
        job = self._subject.job(recipe)
        with scratch_folder() as folder:
            file = folder / job.backend.model_file
            self._progress("lowering", 0, 1)
            lowered = lower(job, file)
            self._progress("lowering", 1, 1)
            simulated = self._simulate(recipe, lowered)
            artifact = job.backend.load(file, job.bounds)
            measured = self._ask(artifact, job.bounds, "asking the artifact")
            size = file.stat().st_size
        return Proof(
            recipe=recipe,
            chosen=self._costs(allocation),
            fates=lowered.fates,
            summed=sum(choice.loss for choice in self._chosen(allocation)),
            predicted_bytes=self._bytes(allocation),
            simulated=simulated,
            bytes=size,
            measured=measured,
        )

    def _ask(self, artifact: Session | Decoder, bounds: Bounds, step: str) -> Comparison:
        rows = self._subject.rows.rows

        def tell(_: str, done: int, total: int) -> None:
            self._progress(step, done, total)

        answered = ask_both(
            self._reference, artifact, bounds, rows, rows, tell, source=self._subject.rows.source
        )
        return compare(answered, self._subject.checkpoint.config.is_language_model)
