"""The cost of quantizing each unit of a checkpoint while all other units stay float32.

A unit is a set of modules that are quantized together: a linear layer, a table, or a table with the tied
head.  A key projection and its noise form one unit: the noise stays float32 but multiplies the rounded keys.
The cost is the mean Kullback-Leibler divergence of the predictions from the checkpoint's.  Weights and inputs
are rounded like the runtime rounds them.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from nf_edge.backends import backend_for
from nf_edge.backends.input_shape import InputShape
from nf_edge.backends.precisions import HEAD, precisions
from nf_edge.core.errors import BadInput
from nf_edge.core.figures import Figure
from nf_edge.core.progress import Progress, silent
from nf_edge.core.recipe.precision import TOKENS, Precision
from nf_edge.core.recipe.quantize import Rule
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.measure.accuracy.predict import PROBED, require_finite
from nf_edge.model import Checkpoint, ModelConfig
from nf_edge.model.data.batches import pad
from nf_edge.model.data.rows import Rows
from nf_edge.pipeline.lowering import Job, Lowered, rounded
from nf_edge.pipeline.mixed_precision.costs import Cost, Sensitivity, Unit, UnitCosts
from nf_edge.pipeline.mixed_precision.recipe import quantize_only, uniform, weight_choices
from nf_edge.pipeline.mixed_precision.simulate import Change, divergences
from nf_edge.pruning.provenance import require_pruned
from nf_edge.quantization.calibration import may_calibrate
from nf_edge.quantization.layer_report import LayerReport
from nf_edge.quantization.snr import with_errors


@dataclass(frozen=True)
class SensitivityJob:
    """The inputs of a sensitivity measurement.

    Attributes:
        recipe: the recipe that sets backend, activations and shapes; the precision of weights is varied.
        rows: the rows that predictions are compared on.
        calibrate: calibration rows, if the recipe needs them; None: the checkpoint's examples.
    """

    checkpoint: Checkpoint
    recipe: Recipe
    rows: Rows
    calibrate: Rows | None = None

    def require_measurable(self) -> None:
        """Raise BadInput if the sensitivity cannot be measured.

        Raises:
            BadInput: the checkpoint is not pruned yet, the recipe quantizes nothing, the backend does not
                support mixed precision, a row is too long, or the predictions have no probabilities.
        """
        config, rows = self.checkpoint.config, self.rows
        require_pruned(self.checkpoint, self.recipe)
        if self.recipe.quantize is None:
            raise BadInput(
                "has no section `quantize`, so there is nothing to measure",
                where=f"recipe {self.recipe.name}",
                fix="use a recipe that quantizes (nf-edge recipes list)",
            )
        backend = backend_for(self.recipe)
        if not backend.support.float_layers:
            raise BadInput(
                f"backend {backend.name} quantizes all linear layers or none, so single layers cannot be "
                "measured",
                where=f"recipe {self.recipe.name}",
                fix="use a recipe of another backend (nf-edge recipes list)",
            )
        rows.require_at_most(InputShape.of(self.recipe, config).length)
        if config.task not in ("classification", "language modelling"):
            raise BadInput(
                f"a {config.kind} predicts no probabilities, so no KL divergence can be measured",
                where=self.checkpoint.path,
                fix="use a classifier or a language model",
            )
        if config.is_language_model and all(len(row.input_ids) < 2 for row in rows.rows):
            what = "no row has two tokens, so there is no next token to predict"
            raise BadInput(what, where=rows.source, fix="give longer texts")

    def job(self, recipe: Recipe) -> Job:
        """The lowering job of a variant of the recipe, without calibration rows if the variant needs none."""
        return Job.of(self.checkpoint, recipe, self.calibrate if may_calibrate(recipe) else None)

    def file_bytes(self, recipe: Recipe) -> int:
        """Predicted bytes of the model file of a variant of the recipe."""
        job = self.job(recipe)
        return job.backend.predict(self.checkpoint.config, job.input_shape, recipe).file


def units_of(config: ModelConfig) -> list[Unit]:
    """The parts of a model that get a precision each: every linear layer and table.

    A tied head shares the token table's unit.
    """
    tied = config.is_language_model and config.tie_word_embeddings
    together = (TOKENS, HEAD) if tied else (TOKENS,)
    others = [name for name in config.matrix_shapes() if name not in together]
    return [Unit(together), *(Unit((name,)) for name in others)]


def sensitivity(
    job: SensitivityJob, progress: Progress = silent, units: Sequence[Unit] | None = None
) -> Sensitivity:
    """Quantize each unit alone, to each precision that the recipe's runtime supports for it.

    Args:
        units: the units to measure; None: all.

    Raises:
        BadInput: the recipe or the rows do not suit the checkpoint, or logits of the checkpoint are not
            finite.
    """
    job.require_measurable()
    recipe, config, rows = job.recipe, job.checkpoint.config, job.rows.rows
    model = job.checkpoint.reference()
    require_finite(model, [row.input_ids for row in rows[:PROBED]], job.rows.source)
    variants = []
    rules = weight_choices(recipe)
    for done, rule in enumerate(rules):
        progress("rounding", done, len(rules))
        variants.append(_Variant.of(job, rule))
    progress("rounding", len(rules), len(rules))
    pairs = [(unit, variant) for unit in units or units_of(config) for variant in _distinct(unit, variants)]
    changes = [variant.change_of(unit) for unit, variant in pairs]
    measured = divergences(model, changes, job.rows, progress)
    float_bytes = job.file_bytes(quantize_only(recipe, (), rules[0]))
    costs: dict[Unit, list[Cost]] = {}
    for (unit, variant), lost in zip(pairs, measured, strict=True):
        saved = float_bytes - job.file_bytes(quantize_only(recipe, unit.modules, variant.rule))
        cost = Cost(variant.rule, variant.dtype(unit), lost.kl, lost.error, variant.output_snr(unit), saved)
        costs.setdefault(unit, []).append(cost)
    return Sensitivity(
        recipe=recipe.name,
        units=tuple(UnitCosts(unit, tuple(of_unit)) for unit, of_unit in costs.items()),
        float_bytes=float_bytes,
        data=job.rows.source,
        data_sha256=job.rows.sha256,
        rows=len(rows),
        truncated=job.rows.truncated,
    )


@dataclass(frozen=True)
class _Variant:
    """The rounding of all modules to one precision; modules that do not support it have another precision.

    Attributes:
        rule: the recipe rule with the precision.
        change: the rounding of all modules.
        layer_reports: maps each module to its layer report, with signal-to-noise ratios.
    """

    rule: Rule
    change: Change
    layer_reports: Mapping[str, LayerReport]

    @classmethod
    def of(cls, job: SensitivityJob, rule: Rule) -> "_Variant":
        recipe, config = uniform(job.recipe, rule), job.checkpoint.config
        lowered = rounded(job.job(recipe))
        inputs = [pad([row], config.pad_token_id) for row in job.rows.rows]
        layer_reports = with_errors(lowered.layer_reports, lowered.plain, lowered.weights, inputs)
        return cls(
            rule,
            change_of(recipe, lowered),
            {layer_report.module: layer_report for layer_report in layer_reports},
        )

    def precisions(self, unit: Unit) -> tuple[Precision, ...]:
        return tuple(self.change.precisions[module] for module in unit.modules)

    def change_of(self, unit: Unit) -> Change:
        """The change of a network that rounds only this unit to the variant's precision."""
        return replace(self.change, weights={module: self.change.weights[module] for module in unit.modules})

    def dtype(self, unit: Unit) -> str:
        # The dtype of activations, after the semicolon, is the same for all units, so it is left out.
        return self.layer_reports[unit.modules[-1]].dtype.split(";")[0]

    def output_snr(self, unit: Unit) -> Figure:
        figures = [self.layer_reports[module].output_snr for module in unit.modules]
        known = [figure for figure in figures if figure is not None]
        return min(known, key=lambda figure: math.inf if figure.value is None else figure.value)


def _distinct(unit: Unit, variants: Iterable[_Variant]) -> list[_Variant]:
    """The variants that give a unit different precisions.

    Several variants can give the same precision, because an unsupported precision falls back to another one.
    """
    by_precision: dict[tuple[Precision, ...], _Variant] = {}
    for variant in variants:
        by_precision.setdefault(variant.precisions(unit), variant)
    return list(by_precision.values())


def change_of(recipe: Recipe, lowered: Lowered) -> Change:
    """The change that a recipe makes to a network: the lowered weights, and rounded activations."""
    config = lowered.plain.config
    row_scales = backend_for(recipe).support.row_scales
    return Change(lowered.plain, dict(lowered.weights), precisions(recipe, config), row_scales)
