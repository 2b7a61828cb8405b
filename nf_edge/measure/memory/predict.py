"""The memory of a checkpoint before it is exported.  It imports no PyTorch."""

from dataclasses import dataclass

from nf_edge.backends.input_shape import InputShape
from nf_edge.backends.spec import BackendSpec
from nf_edge.core.device import Device
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.measure.memory.accounts import Account, missing_account
from nf_edge.measure.memory.context import context_memories, run_shape
from nf_edge.measure.memory.memory_report import MemoryReport
from nf_edge.measure.memory.plan_account import account_of_plan
from nf_edge.measure.memory.verdict import Verdict, judge
from nf_edge.model import ModelConfig


@dataclass(frozen=True)
class Prediction:
    """The accounts of an artifact that does not exist yet; they are the same for every device.

    Attributes:
        run: the input shape of the largest run, which the figures of the process are for.
        accounts: predicted, planned and measured; only the first has figures.
        notes: remarks about the figures.
    """

    spec: BackendSpec
    config: ModelConfig
    recipe: Recipe
    input_shape: InputShape
    run: InputShape
    accounts: list[Account]
    notes: tuple[str, ...]

    def verdict(self, device: Device) -> Verdict:
        return judge(device, self.recipe, self.accounts)

    def report(self, device: Device | None) -> MemoryReport:
        contexts = context_memories(self.spec, self.config, self.input_shape, self.recipe)
        return MemoryReport.of(
            self.accounts, self.recipe, self.input_shape, device, self.notes, self.run, contexts
        )


def predict(
    spec: BackendSpec, config: ModelConfig, recipe: Recipe, at: int | None = None, batch: int = 1
) -> Prediction:
    """The prediction for a checkpoint's config and a recipe that the backend supports.

    Args:
        at: tokens in the context; None: the longest context.
        batch: rows in one run.

    Raises:
        BadInput: the recipe's length exceeds the model's positions, the context exceeds that length, the
            batch exceeds one row that the artifact takes, one of the recipe's rules has no effect, or the
            backend has no cache for this model.
    """
    input_shape = InputShape.of(recipe, config)
    run = run_shape(input_shape, at, batch)
    spec.cache_dtype(config, input_shape, recipe)
    longest = spec.predict(config, input_shape, recipe)
    plan = spec.at(longest, config, input_shape, recipe, run)
    missing = missing_account("there is no artifact yet")
    predicted = account_of_plan(
        plan, spec.process_bytes, "predicted", private_process_bytes=spec.private_process_bytes
    )
    accounts = [predicted, missing, missing]
    return Prediction(spec, config, recipe, input_shape, run, accounts, plan.notes)


def predict_memory(
    spec: BackendSpec, config: ModelConfig, recipe: Recipe, device: Device | None
) -> MemoryReport:
    """The memory report of a checkpoint without an artifact, from its config; raises as `predict` does.

    Args:
        device: the device to compare with; None: the report has no verdict.
    """
    return predict(spec, config, recipe).report(device)
