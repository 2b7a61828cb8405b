"""MODEL_CARD.md: a checkpoint's task, scores and data, and the command that trains it again."""

import math
from pathlib import Path

import torch

from nf_edge import __version__
from nf_edge.core.intervals import exp
from nf_edge.model.config import ModelConfig
from nf_edge.model.data.sources import NAMED
from nf_edge.training.evaluate import Evaluation
from nf_edge.training.recipe import Distillation, TrainingRecipe
from nf_edge.training.training_report import Trained, TrainingReport

NOISE_NAMES = {
    "none": "none (symmetric attention)",
    "lowrank": "low-rank (NoiseFormer)",
    "pairwise": "pairwise",
    "relative": "relative position",
    "standard": "none (standard attention, GPT-2)",
}


def model_card(recipe: TrainingRecipe, report: TrainingReport, sha256: dict[str, str]) -> str:
    """The model card as Markdown.

    Args:
        sha256: maps each source in the recipe to the SHA-256 of its file.
    """
    parts = [
        f"# {recipe.name}\n\n{recipe.description.strip()}",
        _summary(recipe, report),
        _noise(recipe.model, report.model),
    ]
    if report.comparison:
        parts.append(_comparison((report.model, *report.comparison)))
    parts += [_data(recipe, report, sha256), _reproduce(recipe, report)]
    return "\n\n".join(parts) + "\n"


def _summary(recipe: TrainingRecipe, report: TrainingReport) -> str:
    config, model, training = recipe.model, report.model, recipe.training
    lines = [f"- Held-out score: {model.test}, on `{recipe.data.test}`, used for no decision"]
    if report.bytes_per_token is not None:
        lines.append(_per_byte(model.test, report.bytes_per_token))
    lines += [
        _validation(recipe, model.valid),
        f"- Task: {_task(config)}",
        f"- Shape: n_layer {config.n_layer}, n_head {config.n_head} of {config.head_size} channels, "
        f"n_embd {config.n_embd}, n_inner {config.layer_sizes[0][1]}, n_positions {config.n_positions}",
        f"- Size: {model.parameters:,} parameters, saved as {recipe.dtype}",
        f"- Training: seed {recipe.seed}, step {model.best_step:,} of {training.steps:,} kept, "
        f"batch size {training.batch_size}, {model.seconds:.0f} s",
        f"- Made by: nf-edge {__version__}, PyTorch {torch.__version__}",
    ]
    if recipe.distill is not None:
        lines.insert(-1, _teachers(recipe, recipe.distill, report))
    return "\n".join(lines)


def _validation(recipe: TrainingRecipe, score: Evaluation) -> str:
    training, source = recipe.training, recipe.data.valid
    if recipe.data.refit:
        return (
            f"- No validation score: `{source}` chose the recipe while it was held out; the final model was "
            "trained on these rows too"
        )
    # If training is validated only once, the last step is kept.
    chose = (
        "the step and the recipe" if training.validate_every < training.steps else "the recipe, not the step"
    )
    return f"- Validation score: {score}, on `{source}`; it chose {chose}"


def _teachers(recipe: TrainingRecipe, distill: Distillation, report: TrainingReport) -> str:
    each = "; ".join(f"{teacher.description} (weight {teacher.weight:g})" for teacher in distill.teachers)
    return (
        f"- Distilled at temperature {distill.temperature:g} from the mean probabilities of "
        f"teachers trained on the labels: {each}"
        + ("" if recipe.data.refit else f"; their validation score: {report.teachers}")
    )


def _per_byte(test: Evaluation, bytes_per_token: float) -> str:
    """The card's line with the perplexity per byte, exp(loss / bytes per token).

    It can be compared between models with different vocabularies.
    """
    loss, error = test.loss / bytes_per_token, (test.standard_error or math.nan) / bytes_per_token
    perplexity = exp(loss)
    return (
        f"- The same per byte: perplexity {perplexity:.4g} ± {perplexity * error:.2g} (standard error), "
        f"{loss / math.log(2):.4g} bits, at {bytes_per_token:.3g} bytes per token"
    )


def _task(config: ModelConfig) -> str:
    if config.is_language_model:
        return config.kind
    direction = "causal" if config.causal else "bidirectional"
    return f"{direction} {config.kind}, pooling {config.pooled_token}"


def _noise(config: ModelConfig, model: Trained) -> str:
    rank = f", rank {config.noise.rank}" if config.noise.kind == "lowrank" else ""
    text = f"## Noise on the attention scores\n\nLearned noise: {NOISE_NAMES[model.attention]}{rank}."
    if config.noise.kind != "none":
        text += (
            " NoiseFormer (Nyshadham et al., arXiv 2601.11619, 2026) proposes a small learned noise on "
            "symmetric scores without a formula; the formula here is nf-edge's."
        )
    if model.sigma is not None:
        layers = "; ".join(" ".join(f"{sigma:.3f}" for sigma in layer) for layer in model.sigma)
        text += (
            "\n\nIn training each score also received ε·σ, ε ~ N(0, 1), with σ learned under the prior "
            f"N(0, 0.1²); its final values are (heads; layers) {layers}. Inference uses no random noise."
        )
    return text


def _comparison(models: tuple[Trained, ...]) -> str:
    rows = [f"| {NOISE_NAMES[model.attention]} | {model.parameters:,} | {model.test} |" for model in models]
    return "\n".join(
        [
            "## Compared with other attention\n",
            "The same recipe and seed, one training each; random noise only together with learned noise. "
            "One seed cannot rank models whose intervals overlap.\n",
            "| learned noise | parameters | held-out score |",
            "|---|---:|---|",
            *rows,
        ]
    )


def _data(recipe: TrainingRecipe, report: TrainingReport, sha256: dict[str, str]) -> str:
    lines = [f"## Data\n\n{recipe.data.attribution.strip()}\n"]
    lines += [f"- `{_shown(source)}`: SHA-256 {digest}" for source, digest in sha256.items()]
    lines += [f"- {note}" for note in report.notes]
    if recipe.data.examples is not None:
        score = f": {report.examples}" if report.examples is not None else ""
        lines.append(f"\n`examples.jsonl` is `{_shown(recipe.data.examples)}`{score}.")
    return "\n".join(lines)


def _reproduce(recipe: TrainingRecipe, report: TrainingReport) -> str:
    compare = " --compare" if report.comparison else ""
    files = [source.file for source in (recipe.data.train, recipe.data.valid, recipe.data.test)]
    root = "" if all(file in NAMED for file in files) else " --data-root DATA"
    command = f"nf-edge train {recipe.name} --seed {recipe.seed}{root}{compare} -o {recipe.name}"
    return f"## Reproduce\n\n    {command}"


def _shown(source: str) -> str:
    """The name of a source without its folders, because the folders exist only on this machine."""
    return Path(source).name if Path(source).is_absolute() else source
