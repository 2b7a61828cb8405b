"""What quantizing each unit of a checkpoint alone costs its answers, all others being float32.

A unit is what is quantized together: a linear layer, K with its noise (which stays float32, but is multiplied
with the rounded K), a table, or a table and the head tied to it.  Its cost is the mean Kullback-Leibler
divergence of the answers from the checkpoint's, its weights and inputs being rounded as a runtime will.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from nf_edge.backends import backend_for
from nf_edge.backends.input_shape import InputShape
from nf_edge.backends.precisions import HEAD, precisions
from nf_edge.core.errors import BadInput
from nf_edge.core.figures import Figure
from nf_edge.core.progress import Progress, silent
from nf_edge.core.recipe.precision import TOKENS, Precision
from nf_edge.core.recipe.quantize import Rule
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.core.strict_json import number
from nf_edge.measure.accuracy.predictions import PROBED, pad, require_finite
from nf_edge.model import Checkpoint, ModelConfig
from nf_edge.model.data.rows import Rows
from nf_edge.pipeline.lowering import Job, Lowered, rounded
from nf_edge.pipeline.mixed_precision.recipe import alone, offers, uniform
from nf_edge.pipeline.mixed_precision.simulate import Change, divergences
from nf_edge.pruning.provenance import require_done
from nf_edge.quantization.calibration import may_calibrate
from nf_edge.quantization.layer_report import LayerReport
from nf_edge.quantization.snr import with_errors


@dataclass(frozen=True)
class SensitivityJob:
    """What is weighed.

    Attributes:
        recipe: whose backend, activations and shapes are kept, and whose weights are varied.
        rows: the data that answers are compared on.
        calibrate: data to calibrate on, where the recipe does; the checkpoint's examples where None.
    """

    checkpoint: Checkpoint
    recipe: Recipe
    rows: Rows
    calibrate: Rows | None = None

    def require_weighable(self) -> None:
        """Raises BadInput where the checkpoint is still to be pruned, nothing is quantized, the backend does
        not mix precisions, a row does not fit, or the answers have no probabilities to compare."""
        config, rows = self.checkpoint.config, self.rows
        require_done(self.checkpoint, self.recipe)
        if self.recipe.quantize is None:
            raise BadInput(
                "has no section `quantize`, so there is nothing to weigh",
                where=f"recipe {self.recipe.name}",
                fix="use one that quantizes (nf-edge recipes list)",
            )
        backend = backend_for(self.recipe)
        if not backend.support.float_layers:
            raise BadInput(
                f"backend {backend.name} quantizes all linear layers or none, so none of them can be "
                "weighed alone",
                where=f"recipe {self.recipe.name}",
                fix="weigh them by a recipe of another backend (nf-edge recipes list)",
            )
        rows.require_at_most(InputShape.of(self.recipe, config).length)
        if config.task not in ("classification", "language modelling"):
            raise BadInput(
                f"a {config.kind} answers with no probabilities of which a divergence could be taken",
                where=rows.source,
            )
        if config.is_language_model and all(len(row.input_ids) < 2 for row in rows.rows):
            raise BadInput("no row has two tokens, so there is no next token to predict", where=rows.source)

    def job(self, recipe: Recipe) -> Job:
        """The job of a variant of the recipe, which may have less to calibrate."""
        return Job.of(self.checkpoint, recipe, self.calibrate if may_calibrate(recipe) else None)

    def file_bytes(self, recipe: Recipe) -> int:
        """Predicted of a variant's model file."""
        job = self.job(recipe)
        return job.backend.predict(self.checkpoint.config, job.input_shape, recipe).file


@dataclass(frozen=True)
class Unit:
    """Modules that are quantized together."""

    modules: tuple[str, ...]

    @property
    def name(self) -> str:
        return " + ".join(self.modules)


@dataclass(frozen=True)
class Cost:
    """Of quantizing one unit to one precision.

    Attributes:
        rule: what asks for it.
        dtype: what its weights become, in words.
        kl: mean divergence of the answers from the checkpoint's, in nats; infinite where one is not finite.
        kl_error: its standard error; None where one text is all that was asked.
        output_snr: signal of its output against what the rounding of its weights adds; of several modules,
            the lowest.
        saved: bytes of the model file less than in float32.
    """

    rule: Rule
    dtype: str
    kl: float
    kl_error: float | None
    output_snr: Figure
    saved: int

    @property
    def kl_per_kb(self) -> float | None:
        """Nats for each kB that it saves; None where it saves nothing."""
        return self.kl / (self.saved / 1000) if self.saved > 0 else None

    def to_json(self) -> dict[str, Any]:
        return {
            "dtype": self.dtype,
            "kl": number(self.kl),
            "kl_error": self.kl_error,
            "output_snr": self.output_snr.to_json(),
            "saved_bytes": self.saved,
            "kl_per_saved_kb": number(self.kl_per_kb),
        }


@dataclass(frozen=True)
class UnitCosts:
    """What each precision of a unit but float32 costs, the widest first."""

    unit: Unit
    costs: tuple[Cost, ...]

    @property
    def usable(self) -> tuple[Cost, ...]:
        """Those after which the answers are still finite."""
        return tuple(cost for cost in self.costs if math.isfinite(cost.kl))

    def to_json(self) -> dict[str, Any]:
        return {
            "unit": self.unit.name,
            "modules": list(self.unit.modules),
            "costs": [cost.to_json() for cost in self.costs],
        }


@dataclass(frozen=True)
class Sensitivity:
    """The costs of all units, in the model's order, and what they were found on.

    Attributes:
        float_bytes: predicted of the model file with all weights in float32.
        truncated: rows that were cut to the model's length.
    """

    recipe: str
    units: tuple[UnitCosts, ...]
    float_bytes: int
    data: str
    data_sha256: str
    rows: int
    truncated: int

    @property
    def worst_first(self) -> list[tuple[Unit, Cost]]:
        every = [(each.unit, cost) for each in self.units for cost in each.costs]
        return sorted(every, key=lambda pair: -pair[1].kl)

    def to_json(self) -> dict[str, Any]:
        return {
            "recipe": self.recipe,
            "data": self.data,
            "data_sha256": self.data_sha256,
            "rows": self.rows,
            "truncated_rows": self.truncated,
            "float32_file_bytes": self.float_bytes,
            "units": [unit.to_json() for unit in self.units],
        }


def units_of(config: ModelConfig) -> list[Unit]:
    """The units of a model."""
    tied = config.is_language_model and config.tie_word_embeddings
    together = (TOKENS, HEAD) if tied else (TOKENS,)
    others = [name for name in config.matrix_shapes() if name not in together]
    return [Unit(together), *(Unit((name,)) for name in others)]


def sensitivity(subject: SensitivityJob, progress: Progress = silent) -> Sensitivity:
    """Quantize each unit alone, to each precision that the recipe's runtime has for it.

    Raises:
        BadInput: the recipe or the rows are not for this, or the checkpoint's own answers are not finite.
    """
    subject.require_weighable()
    recipe, config, rows = subject.recipe, subject.checkpoint.config, subject.rows.rows
    model = subject.checkpoint.model()
    require_finite(model, [row.input_ids for row in rows[:PROBED]], subject.rows.source)
    variants = []
    rules = offers(recipe)
    for done, rule in enumerate(rules):
        progress("rounding", done, len(rules))
        variants.append(_Variant.of(subject, rule))
    progress("rounding", len(rules), len(rules))
    asked = [(unit, variant) for unit in units_of(config) for variant in _distinct(unit, variants)]
    changes = [variant.change(unit) for unit, variant in asked]
    found = divergences(model, changes, subject.rows, progress)
    whole = subject.file_bytes(alone(recipe, (), rules[0]))
    costs: dict[Unit, list[Cost]] = {}
    for (unit, variant), lost in zip(asked, found, strict=True):
        saved = whole - subject.file_bytes(alone(recipe, unit.modules, variant.rule))
        cost = Cost(variant.rule, variant.dtype(unit), lost.kl, lost.error, variant.output_snr(unit), saved)
        costs.setdefault(unit, []).append(cost)
    return Sensitivity(
        recipe=recipe.name,
        units=tuple(UnitCosts(unit, tuple(its)) for unit, its in costs.items()),
        float_bytes=whole,
        data=subject.rows.source,
        data_sha256=subject.rows.sha256,
        rows=len(rows),
        truncated=subject.rows.truncated,
    )


@dataclass(frozen=True)
class _Variant:
    """All modules with one precision, where they can have it."""

    rule: Rule
    whole: Change
    layer_reports: Mapping[str, LayerReport]

    @classmethod
    def of(cls, subject: SensitivityJob, rule: Rule) -> "_Variant":
        recipe, config = uniform(subject.recipe, rule), subject.checkpoint.config
        lowered = rounded(subject.job(recipe))
        seen = [pad([row], config.pad_token_id) for row in subject.rows.rows]
        layer_reports = with_errors(lowered.layer_reports, lowered.plain, lowered.weights, seen)
        return cls(
            rule,
            change_of(recipe, lowered),
            {layer_report.module: layer_report for layer_report in layer_reports},
        )

    def precisions(self, unit: Unit) -> tuple[Precision, ...]:
        return tuple(self.whole.precisions[module] for module in unit.modules)

    def change(self, unit: Unit) -> Change:
        return replace(self.whole, weights={module: self.whole.weights[module] for module in unit.modules})

    def dtype(self, unit: Unit) -> str:
        # The activations are the same for all that the table has.
        return self.layer_reports[unit.modules[-1]].dtype.split(";")[0]

    def output_snr(self, unit: Unit) -> Figure:
        figures = [self.layer_reports[module].output_snr for module in unit.modules]
        known = [figure for figure in figures if figure is not None]
        return min(known, key=lambda figure: math.inf if figure.value is None else figure.value)


def _distinct(unit: Unit, variants: Iterable[_Variant]) -> list[_Variant]:
    """Those that differ for a unit: it may fall back to what another asks for."""
    found: dict[tuple[Precision, ...], _Variant] = {}
    for variant in variants:
        found.setdefault(variant.precisions(unit), variant)
    return list(found.values())


def change_of(recipe: Recipe, lowered: Lowered) -> Change:
    """All that a recipe rounds."""
    config = lowered.plain.config
    row_scales = backend_for(recipe).support.row_scales
    return Change(lowered.plain, lowered.weights, precisions(recipe, config), row_scales)
