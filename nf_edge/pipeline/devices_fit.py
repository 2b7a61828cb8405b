"""`nf-edge devices fit`: which recipes of a checkpoint fit which devices.  It imports no PyTorch."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf
from typing import Any

from nf_edge.core.compatibility import incompatibility
from nf_edge.core.device import Device
from nf_edge.core.errors import BadInput, OverBudget
from nf_edge.core.figures import Figure
from nf_edge.core.notebook import HtmlValue
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.measure.memory.predict import Prediction
from nf_edge.measure.memory.verdict import Share, Verdict
from nf_edge.model.checkpoint_outline import CheckpointOutline
from nf_edge.pipeline.prediction import predicted


@dataclass(frozen=True)
class Fit:
    """Whether a device can run the artifact of a recipe, and what would help if its memory is too small.

    Attributes:
        file: bytes of the model file; unavailable if the recipe does not suit the checkpoint.
        context: the largest number of tokens in `tried_lengths` with which the artifact would fit; None if
            it already fits, or if it fits with none of them.
        smaller: the recipe with the next smaller need that fits; "" if the artifact fits, or if none does.
    """

    recipe: str
    verdict: Verdict
    file: Figure
    context: int | None = None
    smaller: str = ""

    @property
    def share(self) -> Share | None:
        """The device's memory with the worst outcome, and its use; None if no memory was compared."""
        return self.verdict.deciding

    @property
    def runs(self) -> bool:
        return not self.verdict.problem

    def to_json(self) -> dict[str, Any]:
        verdict = {"recipe": self.recipe, "outcome": self.verdict.outcome, "problem": self.verdict.problem}
        if self.share is None or not self.runs:
            return verdict
        return verdict | {
            "memory": self.share.memory,
            "need": self.share.need.to_json(),
            "unknown": list(self.share.unknown),
            "budget": self.share.budget,
            "headroom": self.share.headroom,
            "file": self.file.to_json(),
            "longest_context": self.context,
            "next_smaller_recipe": self.smaller or None,
        }


@dataclass(frozen=True)
class DeviceFits:
    """The verdicts on all recipes for one device, in the order of the recipes."""

    device: Device
    fits: tuple[Fit, ...]

    @property
    def passing(self) -> list[Fit]:
        return [fit for fit in self.fits if fit.verdict.passes]

    @property
    def best(self) -> Fit | None:
        """The least compressed recipe that fits: the one with the largest file; None if none fits.

        A recipe whose memory is completely known comes before one that fits as far as known.
        """
        order = [(fit.verdict.outcome == "fits", fit.file.value or 0, fit) for fit in self.passing]
        return max(order, key=lambda each: each[:2])[2] if order else None

    @property
    def nearest(self) -> Fit | None:
        """The recipe that exceeds the memory least; None if one fits, or if no need is known."""
        # A budget of 0 has no share that is used.
        over = [
            (fit.share.used or inf, fit) for fit in self.fits if fit.runs and fit.share and fit.share.problem
        ]
        return min(over, key=lambda each: each[0])[1] if over and not self.passing else None

    def to_json(self) -> dict[str, Any]:
        unverified = {path for memory in self.device.budgets for path in memory.unverified_budget()}
        return {
            "device": self.device.id,
            "device_name": self.device.name,
            "class": self.device.class_,
            "unverified": sorted(unverified),
            "recipes": [fit.to_json() for fit in self.fits],
        }


@dataclass(frozen=True)
class DevicesFit(HtmlValue):
    """The verdicts of every device and recipe.

    Attributes:
        recipes: the recipes, in the order of each device's `fits`.
        gated: whether the report fails if no recipe fits one of the devices.
    """

    checkpoint: str
    recipes: tuple[Recipe, ...]
    devices: tuple[DeviceFits, ...]
    gated: bool

    @property
    def passed(self) -> bool:
        """Whether at least one recipe fits on every device."""
        return all(each.passing for each in self.devices)

    @property
    def failure(self) -> OverBudget | None:
        """The memory gate's error; None if `gated` is false, or if a recipe fits on every device."""
        if self.passed or not self.gated:
            return None
        failing = [each for each in self.devices if not each.passing]
        if len(self.devices) == 1 and len(self.recipes) == 1:
            return failing[0].fits[0].verdict.failure
        what = f"no recipe fits {', '.join(each.device.id for each in failing)}"
        if not any(fit.runs for each in failing for fit in each.fits):
            return OverBudget(what, fix="the recipes do not run there; use another device, or other recipes")
        return OverBudget(
            what, fix="use a recipe that quantizes more, a smaller model, or fewer tokens (shapes.length)"
        )

    def to_json(self) -> dict[str, Any]:
        return {"checkpoint": self.checkpoint, "devices": [each.to_json() for each in self.devices]}


def devices_fit(
    outline: CheckpointOutline, recipes: Sequence[Recipe], devices: Sequence[Device], *, gated: bool
) -> DevicesFit:
    """Compare the predicted memory of each recipe's artifact with each device.

    A recipe that does not suit the checkpoint runs on no device; the reason is in each verdict's `problem`.

    Args:
        gated: whether the report fails if no recipe fits one of the devices.
    """
    candidates = [_Candidate(outline, recipe) for recipe in recipes]
    rows = tuple(DeviceFits(device, _fits(candidates, device)) for device in devices)
    return DevicesFit(outline.path.resolve().name, tuple(recipes), rows, gated)


def tried_lengths(length: int) -> list[int]:
    """The numbers of tokens below `length` that are tried in ascending order: the powers of two, and the
    multiples of a sixteenth of `length`.

    They are few, so that the predictions of one device serve the others.
    """
    step = max(1, length // 16)
    powers = (2**power for power in range(step.bit_length()))
    return sorted({*powers, *range(step, length, step)} & set(range(1, length)))


class _Candidate:
    """A recipe and the predicted memory of its artifact, computed once for all devices."""

    def __init__(self, outline: CheckpointOutline, recipe: Recipe) -> None:
        self.recipe, self._outline = recipe, outline
        self._shorter: dict[int, Prediction] = {}

    @cached_property
    def prediction(self) -> Prediction | str:
        """The artifact's memory with the recipe's length, or why the recipe does not suit the checkpoint."""
        try:
            return predicted(self._outline, self.recipe)
        except BadInput as error:
            return "; ".join(line.strip() for line in str(error).splitlines())

    def fit(self, device: Device) -> Fit:
        prediction = self.prediction
        if isinstance(prediction, str):
            problem = incompatibility(device, self.recipe) or prediction
            unknown = Figure.unavailable("bytes", prediction)
            return Fit(self.recipe.name, Verdict(device.id, device.name, (), problem), unknown)
        verdict = prediction.verdict(device)
        context = self._longest(device) if verdict.outcome == "over budget" else None
        return Fit(self.recipe.name, verdict, prediction.file_total, context)

    def _longest(self, device: Device) -> int | None:
        """The largest of the tried numbers of tokens with which the artifact fits; None if none fits."""
        assert isinstance(self.prediction, Prediction)
        lengths = tried_lengths(self.prediction.input_shape.length)
        # Usually the weights alone are too large, and one prediction shows that for all devices.
        if not lengths or not self._passes(lengths[0], device):
            return None
        # Fewer tokens do not need more memory.  The result itself was tried, even where they would.
        longer = bisect_left(lengths, True, lo=1, key=lambda length: not self._passes(length, device))
        return lengths[longer - 1]

    def _passes(self, length: int, device: Device) -> bool:
        if length not in self._shorter:
            shapes = self.recipe.shapes.model_copy(update={"length": length})
            shorter = self.recipe.model_copy(update={"shapes": shapes})
            self._shorter[length] = predicted(self._outline, shorter)
        return self._shorter[length].verdict(device).passes


def _fits(candidates: Sequence[_Candidate], device: Device) -> tuple[Fit, ...]:
    fits = [candidate.fit(device) for candidate in candidates]
    return tuple(
        replace(fit, smaller=_next_smaller(fit, fits)) if fit.verdict.outcome == "over budget" else fit
        for fit in fits
    )


def _next_smaller(fit: Fit, fits: Sequence[Fit]) -> str:
    """The name of the fitting recipe with the largest need below a recipe's need; "" if there is none."""
    assert fit.share is not None
    most, memory = fit.share.need.value or 0, fit.share.memory
    needs = [
        (share.need.value, other.recipe)
        for other in fits
        if other.verdict.passes
        for share in other.verdict.shares
        if share.memory == memory and share.need.value is not None and share.need.value < most
    ]
    return max(needs)[1] if needs else ""
