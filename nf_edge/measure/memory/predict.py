"""The memory of a checkpoint before it is exported.  It imports no PyTorch."""

from dataclasses import dataclass

from nf_edge.backends.input_shape import InputShape
from nf_edge.backends.spec import BackendSpec
from nf_edge.core.device import Device
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.measure.memory.accounts import Account, account_of_plan, missing_account
from nf_edge.measure.memory.memory_report import MemoryReport
from nf_edge.measure.memory.verdict import Verdict, judge
from nf_edge.model import ModelConfig


@dataclass(frozen=True)
class Prediction:
    """The accounts of an artifact that does not exist yet; they are the same for every device.

    Attributes:
        accounts: predicted, planned and measured; only the first has figures.
        notes: remarks about the figures.
    """

    recipe: Recipe
    input_shape: InputShape
    accounts: list[Account]
    notes: tuple[str, ...]

    def verdict(self, device: Device) -> Verdict:
        return judge(device, self.recipe, self.accounts)

    def report(self, device: Device | None) -> MemoryReport:
        return MemoryReport.of(self.accounts, self.recipe, self.input_shape, device, "", self.notes)


def predict(spec: BackendSpec, config: ModelConfig, recipe: Recipe) -> Prediction:
    """The prediction for a checkpoint's config and a recipe that the backend supports.

    Raises:
        BadInput: the recipe's length exceeds the model's positions, one of its rules has no effect, or the
            backend has no cache for this model.
    """
    input_shape = InputShape.of(recipe, config)
    spec.cache_dtype(config, input_shape, recipe)
    plan = spec.predict(config, input_shape, recipe)
    missing = missing_account("there is no artifact yet")
    accounts = [account_of_plan(plan, spec.process_bytes, "predicted"), missing, missing]
    return Prediction(recipe, input_shape, accounts, plan.notes)


def predict_memory(
    spec: BackendSpec, config: ModelConfig, recipe: Recipe, device: Device | None
) -> MemoryReport:
    """The memory report of a checkpoint without an artifact; raises as `predict` does."""
    return predict(spec, config, recipe).report(device)
