"""Settings of the training loop, shared by training and recovery."""

from pydantic import Field, model_validator

from nf_edge.core.recipe.prune import HIGHEST_RATE
from nf_edge.core.yaml_schema import Closed


class Optimizer(Closed):
    """AdamW (Loshchilov and Hutter, 2019) with clipped gradients."""

    learning_rate: float = Field(gt=0, le=HIGHEST_RATE, description="highest learning rate, after warm-up")
    weight_decay: float = Field(ge=0, description="weight decay of matrices; vectors have none")
    gradient_clip: float = Field(1.0, gt=0, description="largest norm of the gradient of all parameters")


class Schedule(Closed):
    """The learning rate: linear warm-up, then a half cosine down to a share of the highest rate."""

    warmup_steps: int = Field(ge=0, description="steps of warm-up")
    final_share: float = Field(
        0.0, ge=0, le=1, description="learning rate of the last step, as a share of the highest"
    )


class Settings(Closed):
    """The length of a training, its batches and its learning rate."""

    steps: int = Field(ge=1, description="optimizer steps")
    batch_size: int = Field(ge=1, description="rows, or blocks of text, per step")
    validate_every: int = Field(
        ge=1, description="steps between validations; an interruption loses at most this many steps"
    )
    bucket: int | None = Field(
        None,
        ge=2,
        description="sort rows by length within this many batches, which reduces padding; null: no sorting",
    )
    optimizer: Optimizer
    schedule: Schedule

    @model_validator(mode="after")
    def _consistent(self) -> "Settings":
        if self.schedule.warmup_steps >= self.steps:
            raise ValueError(f"schedule.warmup_steps must be less than steps {self.steps}")
        return self
