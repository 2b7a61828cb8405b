"""The same recipe with other attention, so that NoiseFormer, symmetric attention and GPT-2 compare."""

from nf_edge.model.config import ModelConfig
from nf_edge.training.recipe import Noise, TrainingRecipe

# What is learned beside K Kᵀ: nothing, a full matrix a head (both Courtois et al.), or, in GPT-2, the query.
COMPARED = ("none", "pairwise", "standard")


def attention_name(config: ModelConfig) -> str:
    """`standard`, or the kind of the learned noise."""
    return "standard" if config.attention == "standard" else config.noise.kind


def variants(recipe: TrainingRecipe) -> list[TrainingRecipe]:
    """The recipe with each of `COMPARED`, but for its own.

    Random noise is part of learned noise: a variant without the one is trained without the other.
    """
    others = [name for name in COMPARED if name != attention_name(recipe.model)]
    return [_variant(recipe, name) for name in others]


def _variant(recipe: TrainingRecipe, name: str) -> TrainingRecipe:
    noise = Noise(kind="pairwise" if name == "pairwise" else "none")
    attention = "standard" if name == "standard" else "symmetric"
    model = recipe.model.model_copy(update={"attention": attention, "noise": noise})
    prior = recipe.regularization.noise_prior if noise.kind != "none" else None
    regularization = recipe.regularization.model_copy(update={"noise_prior": prior})
    return recipe.model_copy(update={"model": model, "regularization": regularization})
