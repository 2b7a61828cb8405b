"""The memory of a checkpoint before it is exported.  It imports no PyTorch."""

from dataclasses import dataclass
from functools import cached_property

from nf_edge.backends.input_shape import InputShape
from nf_edge.backends.memory_plan import MemoryPlan
from nf_edge.backends.spec import BackendSpec
from nf_edge.core.device import Device
from nf_edge.core.device.processor import processor_for
from nf_edge.core.figures import Figure
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.measure.memory.accounts import Account, missing_account
from nf_edge.measure.memory.context import context_memories, run_shape
from nf_edge.measure.memory.memory_report import MemoryReport
from nf_edge.measure.memory.plan_account import account_of_plan
from nf_edge.measure.memory.verdict import Verdict, judge
from nf_edge.model import ModelConfig


@dataclass(frozen=True)
class Prediction:
    """The memory of an artifact that does not exist yet.

    Attributes:
        run: the input shape of the largest run, which the figures of the process are for.
        plan: the memory on any processor.
    """

    spec: BackendSpec
    config: ModelConfig
    recipe: Recipe
    input_shape: InputShape
    run: InputShape
    plan: MemoryPlan

    @cached_property
    def _accounts(self) -> dict[MemoryPlan, list[Account]]:
        """The accounts by plan: most devices share one."""
        return {}

    @property
    def file_total(self) -> Figure:
        """The size of the file, which is the same for every device."""
        return self.accounts(None)[0].file_total

    def accounts(self, device: Device | None) -> list[Account]:
        """The accounts on a device's processor, or on this machine's without a device.

        They are predicted, planned and measured; only the first has figures.
        """
        processor = processor_for(device)
        plan = self.spec.on(self.plan, self.config, self.input_shape, self.recipe, processor)
        if plan not in self._accounts:
            missing = missing_account("there is no artifact yet")
            predicted = account_of_plan(plan, self.spec.runtime_memory, "predicted")
            self._accounts[plan] = [predicted, missing, missing]
        return self._accounts[plan]

    def verdict(self, device: Device) -> Verdict:
        return judge(device, self.recipe, self.accounts(device))

    def report(self, device: Device | None) -> MemoryReport:
        processor = processor_for(device)
        return MemoryReport.of(
            self.accounts(device),
            self.recipe,
            self.input_shape,
            device,
            self.plan.notes,
            self.run,
            context_memories(self.spec, self.config, self.input_shape, self.recipe, processor),
            processor,
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
    return Prediction(spec, config, recipe, input_shape, run, plan)


def predict_memory(
    spec: BackendSpec, config: ModelConfig, recipe: Recipe, device: Device | None
) -> MemoryReport:
    """The memory report of a checkpoint without an artifact, from its config; raises as `predict` does.

    Args:
        device: the device to compare with; None: the report has no verdict.
    """
    return predict(spec, config, recipe).report(device)
