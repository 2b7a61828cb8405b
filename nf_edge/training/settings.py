"""What the training loop takes: a section of training, recovery and QAT recipes alike."""

from pydantic import Field, model_validator

from nf_edge.core.recipe.prune import HIGHEST_RATE
from nf_edge.core.yaml_schema import Closed


class Optimizer(Closed):
    """AdamW (Loshchilov and Hutter, 2019) with clipped gradients."""

    learning_rate: float = Field(gt=0, le=HIGHEST_RATE, description="the highest, reached after warm-up")
    weight_decay: float = Field(ge=0, description="on matrices only")
    gradient_clip: float = Field(1.0, gt=0, description="largest norm of the whole gradient")


class Schedule(Closed):
    """Linear warm-up, then a half cosine down to a share of the highest learning rate."""

    warmup_steps: int = Field(ge=0)
    final_share: float = Field(0.0, ge=0, le=1)


class Settings(Closed):
    """How long and how fast `fit` trains."""

    steps: int = Field(ge=1, description="optimizer steps")
    batch_size: int = Field(ge=1, description="rows, or blocks of text, a step")
    validate_every: int = Field(
        ge=1, description="steps between validations; also what an interruption loses"
    )
    bucket: int | None = Field(
        None, ge=2, description="batches among which rows are sorted by length, to pad less; null: none are"
    )
    optimizer: Optimizer
    schedule: Schedule

    @model_validator(mode="after")
    def _consistent(self) -> "Settings":
        if self.schedule.warmup_steps >= self.steps:
            raise ValueError(f"schedule.warmup_steps must be less than steps {self.steps}")
        return self
