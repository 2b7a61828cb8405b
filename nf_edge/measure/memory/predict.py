"""The memory report of a checkpoint before it is exported.  It imports no PyTorch."""

from nf_edge.backends.input_shape import InputShape
from nf_edge.backends.spec import BackendSpec
from nf_edge.core.device import Device
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.measure.memory.accounts import account_of_plan, missing_account
from nf_edge.measure.memory.memory_report import MemoryReport
from nf_edge.model import ModelConfig


def predict_memory(
    spec: BackendSpec, config: ModelConfig, recipe: Recipe, device: Device | None
) -> MemoryReport:
    """The memory report of a checkpoint without an artifact: only predicted figures.

    Raises:
        BadInput: the recipe's length exceeds the model's positions.
    """
    input_shape = InputShape.of(recipe, config)
    predicted = spec.predict(config, input_shape, recipe)
    accounts = [
        account_of_plan(predicted, spec.process_bytes, "predicted"),
        missing_account("there is no artifact yet"),
        missing_account("there is no artifact yet"),
    ]
    return MemoryReport.of(accounts, recipe, input_shape, device, "", predicted.notes)
