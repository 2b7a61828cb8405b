"""Search for a mixed-precision recipe that meets a size or a loss, and measure its artifact.

Uniform recipes, with one precision for all modules, are also exported and measured.  If one of them is best,
it is the result.

The search has three levels of increasing accuracy.  First, the costs of single units order the units by their
gain from more precision.  Second, PyTorch simulates all units rounded together and shows how many units must
be more precise.  Third, the artifact runs from its file and shows whether the target is met.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import inf

from nf_edge.backends.base import Session
from nf_edge.backends.input_shape import InputShape
from nf_edge.core.errors import BadInput, MissingTool
from nf_edge.core.figures import format_bytes
from nf_edge.core.progress import Progress, silent
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.core.staging import scratch_folder
from nf_edge.measure.accuracy.compare import Comparison, compare
from nf_edge.measure.accuracy.paired_rows import PairedRows
from nf_edge.measure.accuracy.predict import predict_both
from nf_edge.model import Decoder
from nf_edge.pipeline.lowering import Lowered, lower, rounded
from nf_edge.pipeline.mixed_precision.candidates import Candidate, SearchResult, Unmade, loss
from nf_edge.pipeline.mixed_precision.choice import SearchTarget, choose
from nf_edge.pipeline.mixed_precision.costs import Cost, Sensitivity, Unit
from nf_edge.pipeline.mixed_precision.knapsack import Allocation, Choice, fill, path, trim
from nf_edge.pipeline.mixed_precision.recipe import FLOAT, mixture
from nf_edge.pipeline.mixed_precision.sensitivity import SensitivityJob, change_of
from nf_edge.pipeline.mixed_precision.uniform import uniform_recipes
from nf_edge.quantization.layer_report import LayerReport

# Largest number of mixtures to export.
MOST_CANDIDATES = 8
# Largest number of units to try with less precision once a loss is met.
MOST_TRIALS = 24
# The share by which a file may be smaller than predicted.
MISPREDICTED = 0.1


def search(
    job: SensitivityJob,
    sensitivity: Sensitivity,
    target: SearchTarget,
    name: str,
    progress: Progress = silent,
) -> SearchResult:
    """Search for the best recipe that meets a target.

    If the target limits the file size, the best recipe has the least loss.  If the target limits the loss,
    the best recipe has the smallest file.

    Args:
        sensitivity: the costs of the job's units.
        name: the name of the recipe.
    """
    attempt = _Search(job, sensitivity, name, progress)
    mixed = attempt.by_size(target) if target.of == "size" else attempt.by_loss(target)
    uniform, not_made = attempt.uniform(target, mixed)
    # Uniform candidates come first: of two equal candidates the first wins.
    candidates = [*uniform, *mixed]
    place, met = choose([candidate.point(target) for candidate in candidates], target)
    return SearchResult(target, met, candidates[place], len(candidates), tuple(uniform), tuple(not_made))


class _Search:
    """One search; it caches the simulated predictions by recipe."""

    def __init__(self, job: SensitivityJob, sensitivity: Sensitivity, name: str, progress: Progress) -> None:
        self._job, self._sensitivity, self._name, self._progress = job, sensitivity, name, progress
        self._reference = job.checkpoint.reference()
        self._simulated: dict[str, Comparison] = {}
        # The predicted bytes of each choice minus the bytes in float32: 0 for float32, else negative.
        self._choices = {
            each.unit.name: [Choice(0, 0.0), *(Choice(-cost.saved, cost.kl) for cost in each.usable)]
            for each in sensitivity.units
        }
        self._path = path(self._choices)

    def by_size(self, target: SearchTarget) -> list[Candidate]:
        """Export candidates for a limit on the size, and return them.

        Each candidate is the best one that is expected to fit.  The size of its file then corrects the
        expected sizes.  The search ends when the best candidate stays the same, or after `MOST_CANDIDATES`
        exports.
        """
        made: dict[str, Candidate] = {}
        # Bytes by which files are larger than predicted.
        more = 0
        while len(made) < MOST_CANDIDATES:
            spare = [target.most - more - self._bytes(allocation) for allocation in self._path]
            fitting = [place for place, left in enumerate(spare) if left >= 0]
            allocation = self._path[0]
            if fitting:
                place = fitting[-1]
                allocation = fill(self._path[place], self._choices, int(spare[place]))
            recipe = self._recipe(allocation)
            key = recipe.model_dump_json()
            if key in made:
                break
            made[key] = candidate = self._made(allocation)
            more = candidate.bytes - candidate.predicted_bytes
        return list(made.values())

    def by_loss(self, target: SearchTarget) -> list[Candidate]:
        """Export candidates for a limit on the loss, and return them.

        The candidates are allocations of `_path`, a list from the smallest file to the most precise.  The
        search ends when no smaller candidate is expected to meet the target, or after `MOST_CANDIDATES`
        exports.  One more candidate follows if some units can be less precise (see `trim`).
        """
        made: list[Candidate] = []
        # Indices on the path: the last allocation that misses the target, and the first that meets it.
        short, enough = -1, len(self._path)
        # The loss of artifacts in excess of PyTorch's prediction.
        more = 0.0
        while short + 1 < enough and len(made) < MOST_CANDIDATES:
            place = self._first(target, short + 1, enough, more)
            if place == enough < len(self._path):
                break
            if place == len(self._path) or (enough == len(self._path) and len(made) == MOST_CANDIDATES - 1):
                place = len(self._path) - 1
            made.append(self._made(self._path[place]))
            expected = made[-1].simulated
            assert expected is not None  # only a uniform candidate has no simulation
            more = loss(made[-1].measured, target) - loss(expected, target)
            if made[-1].meets(target):
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
                made.append(self._made(smaller))
        return made

    def uniform(
        self, target: SearchTarget, mixed: Sequence[Candidate]
    ) -> tuple[list[Candidate], list[Unmade]]:
        """Export and measure the uniform recipes; return their candidates, and the recipes not exported.

        A recipe is not exported if its file would be too large, or if it does not suit the checkpoint or this
        machine.
        """
        most = target.most
        if target.of != "size":
            most = min((candidate.bytes for candidate in mixed if candidate.meets(target)), default=inf)
        made: list[Candidate] = []
        not_made: list[Unmade] = []
        for each in uniform_recipes(self._job.recipe, self._job.checkpoint.config, self._name):
            try:
                predicted = self._job.file_bytes(each.recipe)
                if predicted <= most * (1 + MISPREDICTED):
                    made.append(self._measured(each.recipe, predicted, each.label))
                else:
                    reason = f"too large: {format_bytes(predicted)} predicted"
                    not_made.append(Unmade(each.label, reason))
            except (BadInput, MissingTool) as error:
                not_made.append(Unmade(each.label, error.what))
        return made, not_made

    def _first(self, target: SearchTarget, low: int, high: int, more: float) -> int:
        """The index in `_path` of the smallest allocation that is expected to meet a limit on the loss.

        Only the indices from `low` to `high` − 1 are tried.  If none meets the limit, the result is `high`.

        Args:
            more: the loss of an artifact minus the loss simulated in PyTorch.
        """

        def enough(place: int) -> bool:
            return self._expected(self._path[place], target, more)

        return bisect_left(range(high), True, lo=low, key=enough)

    def _expected(self, allocation: Allocation, target: SearchTarget, more: float) -> bool:
        """Whether an allocation is expected to meet a limit on the loss.

        Args:
            more: the loss of an artifact minus the loss simulated in PyTorch.
        """
        return loss(self._simulate(self._recipe(allocation)), target) + more <= target.most

    def _bytes(self, allocation: Allocation) -> int:
        """Predicted bytes of the model file with this allocation."""
        return self._sensitivity.float_bytes + sum(choice.bytes for choice in self._chosen(allocation))

    def _chosen(self, allocation: Allocation) -> Iterator[Choice]:
        return (self._choices[unit][place] for unit, place in allocation.items())

    def _costs(self, allocation: Allocation) -> dict[Unit, Cost | None]:
        places = {each.unit: (None, *each.usable) for each in self._sensitivity.units}
        return {unit: costs[allocation[unit.name]] for unit, costs in places.items()}

    def _recipe(self, allocation: Allocation) -> Recipe:
        rules = {
            module: cost.rule if cost else FLOAT
            for unit, cost in self._costs(allocation).items()
            for module in unit.modules
        }
        return mixture(self._job.recipe, self._job.checkpoint.config, rules, self._name)

    def _simulate(self, recipe: Recipe, lowered: Lowered | None = None) -> Comparison:
        """Compare a recipe's predictions, simulated in PyTorch, with the checkpoint's.

        Args:
            lowered: the lowered weights of this recipe, if they exist; None: the weights are rounded now.
        """
        key = recipe.model_dump_json()
        if key not in self._simulated:
            change = change_of(recipe, lowered or rounded(self._job.job(recipe)))
            length = self._job.checkpoint.config.n_positions
            input_shape = InputShape(any_batch=False, length=length, dynamic_length=True, cached=False)
            self._simulated[key] = self._compare(change, input_shape, "predicting in PyTorch")
        return self._simulated[key]

    def _made(self, allocation: Allocation) -> Candidate:
        """Export and measure the recipe that gives each unit its precision in `allocation`."""
        recipe = self._recipe(allocation)
        candidate = self._measured(recipe, self._bytes(allocation), None)
        return replace(
            candidate,
            chosen={
                unit.name: cost.dtype if cost else "float32" for unit, cost in self._costs(allocation).items()
            },
            summed=sum(choice.loss for choice in self._chosen(allocation)),
        )

    def _measured(self, recipe: Recipe, predicted: int, uniform: str | None) -> Candidate:
        """Export and measure a recipe.

        Args:
            predicted: predicted bytes of the model file.
            uniform: the label of a uniform recipe, which is not simulated; None for a mixture.
        """
        job = self._job.job(recipe)
        with scratch_folder() as folder:
            file = folder / job.backend.model_file
            self._progress("lowering", 0, 1)
            lowered = lower(job, file)
            self._progress("lowering", 1, 1)
            simulated = None if uniform else self._simulate(recipe, lowered)
            artifact = job.backend.load(file, job.input_shape)
            measured = self._compare(artifact, job.input_shape, "running the artifact")
            size = file.stat().st_size
        return Candidate(
            recipe=recipe,
            uniform=uniform,
            chosen=self._unit_dtypes(lowered.layer_reports),
            layer_reports=lowered.layer_reports,
            summed=None,
            predicted_bytes=predicted,
            simulated=simulated,
            bytes=size,
            measured=measured,
        )

    def _unit_dtypes(self, layer_reports: Sequence[LayerReport]) -> dict[str, str]:
        """The dtype of each unit (modules that are quantized together) in words, by the unit's name."""
        dtypes = {layer_report.module: layer_report.dtype.split(";")[0] for layer_report in layer_reports}
        return {each.unit.name: dtypes[each.unit.modules[-1]] for each in self._sensitivity.units}

    def _compare(self, artifact: Session | Decoder, input_shape: InputShape, step: str) -> Comparison:
        """Compare an artifact's predictions with the checkpoint's; `step` names the step for progress."""

        def report(_: str, done: int, total: int) -> None:
            self._progress(step, done, total)

        rows = PairedRows(self._job.rows)
        predictions = predict_both(self._reference, artifact, input_shape, rows, report)
        return compare(predictions, self._job.checkpoint.config.task)
