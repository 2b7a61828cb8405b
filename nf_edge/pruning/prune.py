"""The steps of a recipe's `prune` section: tokens, layers, heads and inner units."""

import math
from bisect import bisect_left
from collections.abc import Iterable
from pathlib import Path

from nf_edge.backends import backend_for
from nf_edge.core.device import parse_size
from nf_edge.core.errors import BadInput
from nf_edge.core.figures import format_bytes
from nf_edge.core.progress import Progress
from nf_edge.core.recipe.prune import Prune
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.measure.memory import predict_memory
from nf_edge.model import Checkpoint
from nf_edge.model.checkpoint_outline import TOKENIZER
from nf_edge.pruning.data import spread
from nf_edge.pruning.importance import importance
from nf_edge.pruning.select import Piece, first_of, pieces, remaining
from nf_edge.pruning.structured import all_kept, cut, cut_config, drop_layers
from nf_edge.pruning.vocabulary import count_tokens, drop_tokens, smaller_tokenizer, tokens_to_keep
from nf_edge.training.evaluate import label_loss
from nf_edge.training.examples import Examples


def prune_vocabulary(
    checkpoint: Checkpoint, least: int, documents: Iterable[tuple[int, ...]], folder: Path
) -> tuple[Checkpoint, list[int]]:
    """Drop the tokens that occur fewer than `least` times in the documents.

    Args:
        folder: the folder to write the smaller tokenizer to.

    Returns:
        The smaller checkpoint, and the original id of each new id.

    Raises:
        BadInput: the checkpoint has no tokenizer, or one that is not a byte-level BPE.
    """
    tokenizer = checkpoint.tokenizer_file
    if tokenizer is None:
        raise BadInput(
            "has no tokenizer.json, but prune.vocabulary needs one to count the tokens of texts",
            where=checkpoint.path,
            fix="remove prune.vocabulary from the recipe",
        )
    kept = tokens_to_keep(tokenizer, checkpoint.config, count_tokens(documents), least)
    config, tensors = drop_tokens(checkpoint.config, checkpoint.tensors, kept)
    (folder / TOKENIZER).write_text(smaller_tokenizer(tokenizer, kept), encoding="utf-8")
    return Checkpoint(folder, config, tensors), kept


def prune_layers(checkpoint: Checkpoint, count: int, examples: Examples, progress: Progress) -> Checkpoint:
    """Drop `count` layers, one at a time; each time, drop the layer whose removal increases the loss least.

    Raises:
        BadInput: the checkpoint has `count` layers or fewer.
    """
    layers = checkpoint.config.n_layer
    if count >= layers:
        raise BadInput(
            f"prune.layers is {count}, but the model has only {layers} layers and must keep at least one",
            where=checkpoint.path,
            fix=f"set prune.layers to at most {layers - 1}",
        )
    for done in range(count):
        without_one = [
            Checkpoint(checkpoint.path, *drop_layers(checkpoint.config, checkpoint.tensors, {i}))
            for i in range(checkpoint.config.n_layer)
        ]
        checkpoint = min(without_one, key=lambda each: _loss(each, examples))
        progress("dropping layers", done + 1, count)
    return checkpoint


def prune_structure(
    checkpoint: Checkpoint, recipe: Recipe, prune: Prune, examples: Examples, progress: Progress
) -> Checkpoint:
    """Drop heads and inner units until the targets of the `prune` section are met.

    Args:
        recipe: the recipe of the later export.  `prune.target_memory` limits the memory of that export.
        prune: the recipe's `prune` section.

    Raises:
        BadInput: the smallest possible model is larger than the target.
    """
    candidates = pieces(
        checkpoint.config, importance(checkpoint.model(), spread(examples, checkpoint), progress)
    )
    if prune.target_params is not None:
        removed = _to_parameters(checkpoint, prune.target_params, candidates)
    elif prune.target_memory is not None:
        removed = _to_memory(checkpoint, recipe, prune.target_memory, candidates)
    else:
        removed = _shares(prune, checkpoint, candidates)
    kept = remaining(all_kept(checkpoint.config), removed)
    return Checkpoint(checkpoint.path, *cut(checkpoint.config, checkpoint.tensors, kept))


def _shares(prune: Prune, checkpoint: Checkpoint, candidates: list[Piece]) -> list[Piece]:
    sizes = checkpoint.config.layer_sizes
    heads = prune.heads * sum(heads for heads, _ in sizes)
    inner = prune.inner * sum(inner for _, inner in sizes)
    removed = first_of(candidates, lambda piece: int(piece.is_head), round(heads))
    return removed + first_of(candidates, lambda piece: 0 if piece.is_head else len(piece.indices), inner)


def _to_parameters(checkpoint: Checkpoint, target: int, candidates: list[Piece]) -> list[Piece]:
    removed = first_of(candidates, lambda piece: piece.parameters, checkpoint.parameters - target)
    left = checkpoint.parameters - sum(piece.parameters for piece in removed)
    if left > target:
        raise BadInput(
            f"prune.target_params is {target:,}, but {left:,} parameters remain even with one head and one "
            "group of inner units per layer",
            where=checkpoint.path,
            fix="raise prune.target_params, or drop tokens and layers too (prune.vocabulary, prune.layers)",
        )
    return removed


def _to_memory(checkpoint: Checkpoint, recipe: Recipe, target: str, candidates: list[Piece]) -> list[Piece]:
    backend, most = backend_for(recipe), parse_size(target)

    def bytes_without(count: int) -> float:
        config = cut_config(checkpoint.config, remaining(all_kept(checkpoint.config), candidates[:count]))
        predicted = predict_memory(backend, config, recipe, None).process_total.predicted
        if predicted.value is None or predicted.note:
            raise BadInput(
                f"prune.target_memory needs an exact memory prediction, but backend {backend.name} does not "
                f"give one ({predicted.note})",
                where=f"recipe {recipe.name}",
                fix="use prune.target_params instead",
            )
        return predicted.value

    least = bytes_without(len(candidates))
    if least > most:
        raise BadInput(
            f"prune.target_memory is {target}, but the process needs {format_bytes(int(least))} even with "
            "one head and one group of inner units per layer",
            where=checkpoint.path,
            fix="raise prune.target_memory, drop tokens and layers too, or quantize to fewer bits",
        )
    # Remove as few pieces as possible.  Bisection works because a smaller model never needs more memory.
    return candidates[
        : bisect_left(range(len(candidates)), True, key=lambda count: bytes_without(count) <= most)
    ]


def _loss(checkpoint: Checkpoint, examples: Examples) -> float:
    """The total loss over a sample of the examples; infinite if it is not finite."""
    model = checkpoint.model()
    losses = [
        label_loss(model, batch).item() * len(batch.input_ids) for batch in spread(examples, checkpoint)
    ]
    return math.fsum(losses) if all(map(math.isfinite, losses)) else math.inf
