"""A mixed-precision recipe that meets a size or a loss, proven on the artifact that it makes.

Recipes that treat all modules alike are made and measured too, so that none of them beats what is found;
where one is best, it is what is found.

A mixture is found in three steps, each nearer to what ships than the one before.  The costs of single units
give the order in which to make units more precise; PyTorch, with all of them rounded at once, says how far
to go; and the artifact, lowered and asked from its file, says whether that is enough.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, isfinite
from pathlib import Path
from typing import Any, Literal

from nf_edge.backends.base import Session
from nf_edge.backends.input_shape import InputShape
from nf_edge.core.errors import AccuracyGate, BadInput, MissingTool, OverBudget
from nf_edge.core.figures import format_bytes
from nf_edge.core.notebook import Shown
from nf_edge.core.progress import Progress, silent
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.core.staging import scratch_folder
from nf_edge.core.strict_json import number
from nf_edge.measure.accuracy.compare import Comparison, compare
from nf_edge.measure.accuracy.divergence import OVERFLOWS, not_finite_text
from nf_edge.measure.accuracy.predictions import predict_both
from nf_edge.model import Decoder
from nf_edge.pipeline.lowering import Lowered, lower, rounded
from nf_edge.pipeline.mixed_precision.knapsack import Allocation, Choice, fill, path, trim
from nf_edge.pipeline.mixed_precision.recipe import FLOAT, mixture
from nf_edge.pipeline.mixed_precision.sensitivity import Cost, Sensitivity, SensitivityJob, Unit, change_of
from nf_edge.pipeline.mixed_precision.uniform import uniform_recipes
from nf_edge.quantization.layer_report import LayerReport

# Artifacts of mixtures that are made, after which the best of them is what there is.
MOST_PROOFS = 8
# Units that are tried at less once a loss is met.
MOST_TRIALS = 24
# Share of a file's size by which it may be smaller than predicted.
MISPREDICTED = 0.1


@dataclass(frozen=True)
class SearchTarget:
    """What a recipe has to meet: a size of the model file in bytes, or a loss of its answers.

    Attributes:
        of: `size`; `kl`, in nats; or `drop`, of accuracy, in points.
        most: the largest that will do.
    """

    of: Literal["size", "kl", "drop"]
    most: float


@dataclass(frozen=True)
class Candidate:
    """A recipe, what was expected of it, and what its artifact is.

    Attributes:
        uniform: what it is known by where it treats all units alike; None of a mixture.
        chosen: in words, what each unit is kept as, by its name.
        summed: nats that the units of a mixture cost one by one.
        predicted_bytes: of the model file.
        simulated: the answers of a mixture in PyTorch beside the checkpoint's.
        bytes, measured: of the artifact, from its file.
    """

    recipe: Recipe
    uniform: str | None
    chosen: Mapping[str, str]
    layer_reports: tuple[LayerReport, ...]
    summed: float | None
    predicted_bytes: int
    simulated: Comparison | None
    bytes: int
    measured: Comparison

    def meets(self, target: SearchTarget) -> bool:
        return self.point(target).meets(target)

    def point(self, target: SearchTarget) -> "SizeAndLoss":
        kl = inf if self.measured.not_finite else self.measured.divergence.kl
        return SizeAndLoss(self.bytes, loss(self.measured, target), kl)

    def to_json(self) -> dict[str, Any]:
        predicted = {
            "file_bytes": self.predicted_bytes,
            "kl_summed": self.summed,
            "kl": number(self.simulated.divergence.kl) if self.simulated else None,
            "drop": self.simulated.drop if self.simulated else None,
        }
        return {
            "uniform": self.uniform,
            "chosen": dict(self.chosen),
            "quantization": [layer_report.to_json() for layer_report in self.layer_reports],
            "predicted": predicted,
            "measured": {"file_bytes": self.bytes, **self.measured.to_json()},
        }


@dataclass(frozen=True)
class SizeAndLoss:
    """What an artifact is chosen by: bytes of its file, the loss that a target is of, and the divergence."""

    bytes: int
    loss: float
    kl: float

    def meets(self, target: SearchTarget) -> bool:
        return isfinite(self.kl) and (self.bytes if target.of == "size" else self.loss) <= target.most

    def rank(self, target: SearchTarget) -> tuple[float, ...]:
        """The least is the best of those that meet a target; no other of them is behind it in nothing."""
        return (self.kl, self.bytes) if target.of == "size" else (self.bytes, self.loss, self.kl)


def choose(points: Sequence[SizeAndLoss], target: SearchTarget) -> tuple[int, bool]:
    """The place of the point that meets a target best, or where none does of the one that comes nearest; and
    whether it meets it."""
    met = [place for place, point in enumerate(points) if point.meets(target)]
    if met:
        return min(met, key=lambda place: points[place].rank(target)), True
    places = range(len(points))
    if target.of == "size":
        return min(places, key=lambda place: points[place].bytes), False
    # What is not a number is last.
    return min(places, key=lambda place: (not isfinite(points[place].loss), points[place].loss)), False


@dataclass(frozen=True)
class Unmade:
    """A recipe that treats all alike and was not made, and why."""

    uniform: str
    reason: str


@dataclass(frozen=True)
class SearchResult:
    """What was found.

    Attributes:
        best: the recipe that meets the target, or where none does the one that comes nearest.
        made: artifacts that were made on the way.
        uniform: of the recipes that treat all modules alike, those that were made.
        not_made: the others of them.
    """

    target: SearchTarget
    met: bool
    best: Candidate
    made: int
    uniform: tuple[Candidate, ...]
    not_made: tuple[Unmade, ...]

    def to_json(self) -> dict[str, Any]:
        target = {"of": self.target.of, "most": self.target.most}
        found = {"target": target, "met": self.met, "artifacts_made": self.made, **self.best.to_json()}
        uniform: list[dict[str, Any]] = [
            {
                "recipe": each.uniform,
                "file_bytes": each.bytes,
                "kl": number(each.measured.divergence.kl),
                "drop": each.measured.drop,
                "met": each.meets(self.target),
            }
            for each in self.uniform
        ]
        uniform += [{"recipe": each.uniform, "not_made": each.reason} for each in self.not_made]
        return found | {"uniform_recipes": uniform}


@dataclass(frozen=True)
class SensitivityReport(Shown):
    """The costs of all units, and where a target was given the recipe that meets it.

    Attributes:
        mix: what was found for the target; None where there was none.
        path: the recipe file that was written; None where none was.
    """

    sensitivity: Sensitivity
    mix: SearchResult | None
    path: Path | None

    @property
    def failure(self) -> OverBudget | AccuracyGate | None:
        """What the gate says where the target is not met."""
        return failure_of(self.mix) if self.mix else None

    @property
    def passed(self) -> bool:
        """Whether a target was given, and is met."""
        return self.mix is not None and self.failure is None

    def to_json(self) -> dict[str, Any]:
        mix = None
        if self.mix is not None:
            mix = self.mix.to_json() | {"recipe": str(self.path) if self.path else None}
        return self.sensitivity.to_json() | {"mix": mix}


def loss(answers: Comparison, target: SearchTarget) -> float:
    """What a target bounds; infinite where an answer is not finite."""
    if answers.not_finite:
        return inf
    return answers.drop if target.of == "drop" else answers.divergence.kl


def mix(
    subject: SensitivityJob,
    weighed: Sensitivity,
    target: SearchTarget,
    name: str,
    progress: Progress = silent,
) -> SearchResult:
    """Find the recipe that meets a target: of a size, with the least loss; of a loss, the smallest.

    Args:
        weighed: what `sensitivity` found of the subject.
        name: of the recipe.
    """
    search = _Search(subject, weighed, name, progress)
    mixed = search.by_size(target) if target.of == "size" else search.by_loss(target)
    uniform, not_made = search.uniform(target, mixed)
    # Of two with equal figures, the one that is not mixed.
    candidates = [*uniform, *mixed]
    place, met = choose([candidate.point(target) for candidate in candidates], target)
    return SearchResult(target, met, candidates[place], len(candidates), tuple(uniform), tuple(not_made))


def failure_of(found: SearchResult) -> OverBudget | AccuracyGate | None:
    """What the gate says, with the best that there is, where the target is not met."""
    if found.met:
        return None
    best, most = found.best, found.target.most
    if lost := best.measured.not_finite:
        return AccuracyGate(
            f"of the best recipe {not_finite_text(lost, best.measured.artifact.total, 'answers')}; "
            "no recipe was written",
            fix=OVERFLOWS,
        )
    if found.target.of == "size":
        return OverBudget(
            f"the smallest model file that could be made takes {format_bytes(best.bytes)}, more than the "
            f"{format_bytes(most)} allowed; no recipe was written",
            fix="raise --file-size, begin with a recipe of smaller groups or fewer bits, or prune "
            "(nf-edge compress)",
        )
    if found.target.of == "kl":
        least, wanted = f"{best.measured.divergence.kl:.4g} nats", f"{most:g}"
    else:
        least, wanted = f"{best.measured.drop:.2f} points", f"{most:g}"
    return AccuracyGate(
        f"the best recipe loses {least}, more than the {wanted} allowed; no recipe was written",
        fix="allow more, or begin with a recipe whose activations are rounded less",
    )


class _Search:
    def __init__(self, subject: SensitivityJob, weighed: Sensitivity, name: str, progress: Progress) -> None:
        self._subject, self._weighed, self._name, self._progress = subject, weighed, name, progress
        self._reference = subject.checkpoint.model()
        self._simulated: dict[str, Comparison] = {}
        # A unit's bytes are told by what it saves, so float32 is 0 and the rest is less.
        self._choices = {
            each.unit.name: [Choice(0, 0.0), *(Choice(-cost.saved, cost.kl) for cost in each.usable)]
            for each in weighed.units
        }
        self._path = path(self._choices)

    def by_size(self, target: SearchTarget) -> list[Candidate]:
        """Artifacts made until one fits and another that is expected to fit is none that was made."""
        found: dict[str, Candidate] = {}
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
            found[key] = candidate = self._prove(allocation)
            more = candidate.bytes - candidate.predicted_bytes
        return list(found.values())

    def by_loss(self, target: SearchTarget) -> list[Candidate]:
        """Artifacts made until none smaller than one that meets the target is expected to; and one with units
        made smaller again that the path had made more precise than it takes."""
        found: list[Candidate] = []
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
            expected = found[-1].simulated
            assert expected is not None  # it is a mixture
            more = loss(found[-1].measured, target) - loss(expected, target)
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
        return found

    def uniform(
        self, target: SearchTarget, mixed: Sequence[Candidate]
    ) -> tuple[list[Candidate], list[Unmade]]:
        """Recipes that treat all units alike: those that were made, and those that were not since they are
        far too large to be chosen, or do not suit the checkpoint or this machine."""
        most = target.most
        if target.of != "size":
            most = min((candidate.bytes for candidate in mixed if candidate.meets(target)), default=inf)
        made: list[Candidate] = []
        not_made: list[Unmade] = []
        for each in uniform_recipes(self._subject.recipe, self._subject.checkpoint.config, self._name):
            try:
                predicted = self._subject.file_bytes(each.recipe)
                if predicted <= most * (1 + MISPREDICTED):
                    made.append(self._measured(each.recipe, predicted, each.label))
                else:
                    reason = f"too large: {format_bytes(predicted)} predicted"
                    not_made.append(Unmade(each.label, reason))
            except (BadInput, MissingTool) as error:
                not_made.append(Unmade(each.label, error.what))
        return made, not_made

    def _first(self, target: SearchTarget, low: int, high: int, more: float) -> int:
        """The first place of the path, from `low` on, that is expected to meet a loss; `high` where none."""

        def enough(place: int) -> bool:
            return self._expected(self._path[place], target, more)

        return bisect_left(range(high), True, lo=low, key=enough)

    def _expected(self, allocation: Allocation, target: SearchTarget, more: float) -> bool:
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
            self._simulated[key] = self._ask(
                change, InputShape(False, length, True, False), "trying in PyTorch"
            )
        return self._simulated[key]

    def _prove(self, allocation: Allocation) -> Candidate:
        recipe = self._recipe(allocation)
        made = self._measured(recipe, self._bytes(allocation), None)
        return replace(
            made,
            chosen={
                unit.name: cost.dtype if cost else "float32" for unit, cost in self._costs(allocation).items()
            },
            summed=sum(choice.loss for choice in self._chosen(allocation)),
        )

    def _measured(self, recipe: Recipe, predicted: int, uniform: str | None) -> Candidate:
        """What comes of a recipe; only of a mixture is known what is expected of its answers."""
        job = self._subject.job(recipe)
        with scratch_folder() as folder:
            file = folder / job.backend.model_file
            self._progress("lowering", 0, 1)
            lowered = lower(job, file)
            self._progress("lowering", 1, 1)
            simulated = None if uniform else self._simulate(recipe, lowered)
            artifact = job.backend.load(file, job.input_shape)
            measured = self._ask(artifact, job.input_shape, "asking the artifact")
            size = file.stat().st_size
        return Candidate(
            recipe=recipe,
            uniform=uniform,
            chosen=self._kept(lowered.layer_reports),
            layer_reports=lowered.layer_reports,
            summed=None,
            predicted_bytes=predicted,
            simulated=simulated,
            bytes=size,
            measured=measured,
        )

    def _kept(self, layer_reports: Sequence[LayerReport]) -> dict[str, str]:
        dtypes = {layer_report.module: layer_report.dtype.split(";")[0] for layer_report in layer_reports}
        return {each.unit.name: dtypes[each.unit.modules[-1]] for each in self._weighed.units}

    def _ask(self, artifact: Session | Decoder, input_shape: InputShape, step: str) -> Comparison:
        rows = self._subject.rows.rows

        def tell(_: str, done: int, total: int) -> None:
            self._progress(step, done, total)

        answered = predict_both(
            self._reference, artifact, input_shape, rows, rows, tell, source=self._subject.rows.source
        )
        return compare(answered, self._subject.checkpoint.config.is_language_model)
