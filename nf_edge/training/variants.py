"""Variants of a recipe with other attention, to compare NoiseFormer, symmetric attention and GPT-2."""

from nf_edge.model.config import ModelConfig
from nf_edge.training.recipe import Noise, TrainingRecipe

# Kinds of attention to compare with: symmetric without noise, symmetric with pairwise noise (both from
# Courtois et al.), and GPT-2's.
COMPARED = ("none", "pairwise", "standard")


def attention_name(config: ModelConfig) -> str:
    """The name of a model's attention: `standard`, or the kind of the learned noise."""
    return "standard" if config.attention == "standard" else config.noise.kind


def variants(recipe: TrainingRecipe) -> list[TrainingRecipe]:
    """Copies of the recipe with another kind of attention, one for each other kind to compare.

    A variant without learned noise has no random noise either.
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
