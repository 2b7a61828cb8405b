"""The recipe's `prune` section, step by step: tokens, layers, heads and inner units."""

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
from nf_edge.model.checkpoint import TOKENIZER
from nf_edge.pruning.data import spread
from nf_edge.pruning.importance import importance
from nf_edge.pruning.select import Piece, first_of, pieces, without
from nf_edge.pruning.structured import cut, cut_config, drop_layers, whole
from nf_edge.pruning.vocabulary import count_tokens, drop_tokens, smaller_tokenizer, tokens_to_keep
from nf_edge.training.evaluate import label_loss
from nf_edge.training.examples import Examples


def prune_vocabulary(
    checkpoint: Checkpoint, least: int, documents: Iterable[tuple[int, ...]], folder: Path
) -> tuple[Checkpoint, list[int]]:
    """Drop the tokens that documents have less often than `least`.

    Args:
        folder: where the smaller tokenizer is written.

    Returns:
        The smaller checkpoint, and the original's id of each of its ids.

    Raises:
        BadInput: there is no tokenizer, or it is not a byte-level BPE.
    """
    tokenizer = checkpoint.tokenizer_file
    if tokenizer is None:
        raise BadInput(
            "has no tokenizer.json, so there are no texts whose tokens could be counted",
            where=checkpoint.path,
            fix="leave prune.vocabulary out",
        )
    kept = tokens_to_keep(tokenizer, checkpoint.config, count_tokens(documents), least)
    config, tensors = drop_tokens(checkpoint.config, checkpoint.tensors, kept)
    (folder / TOKENIZER).write_text(smaller_tokenizer(tokenizer, kept), encoding="utf-8")
    return Checkpoint(folder, config, tensors), kept


def prune_layers(checkpoint: Checkpoint, count: int, seen: Examples, progress: Progress) -> Checkpoint:
    """Drop so many layers, one after the other: each time the one without which the loss is least.

    Raises:
        BadInput: it has not more layers than that.
    """
    layers = checkpoint.config.n_layer
    if count >= layers:
        raise BadInput(
            f"prune.layers is {count}, but the model has {layers}", fix=f"write at most {layers - 1}"
        )
    for done in range(count):
        without_one = [
            Checkpoint(checkpoint.path, *drop_layers(checkpoint.config, checkpoint.tensors, {i}))
            for i in range(checkpoint.config.n_layer)
        ]
        checkpoint = min(without_one, key=lambda each: _loss(each, seen))
        progress("dropping layers", done + 1, count)
    return checkpoint


def prune_structure(
    checkpoint: Checkpoint, recipe: Recipe, prune: Prune, seen: Examples, progress: Progress
) -> Checkpoint:
    """Drop heads and inner units.

    Args:
        recipe: by which the checkpoint will be exported: its memory is that of `target_memory`.

    Raises:
        BadInput: what has to stay is larger than the target.
    """
    found = pieces(checkpoint.config, importance(checkpoint.model(), spread(seen, checkpoint), progress))
    if prune.target_params is not None:
        gone = _to_parameters(checkpoint, prune.target_params, found)
    elif prune.target_memory is not None:
        gone = _to_memory(checkpoint, recipe, prune.target_memory, found)
    else:
        gone = _shares(prune, checkpoint, found)
    kept = without(whole(checkpoint.config), gone)
    return Checkpoint(checkpoint.path, *cut(checkpoint.config, checkpoint.tensors, kept))


def _shares(prune: Prune, checkpoint: Checkpoint, found: list[Piece]) -> list[Piece]:
    sizes = checkpoint.config.layer_sizes
    heads = prune.heads * sum(heads for heads, _ in sizes)
    inner = prune.inner * sum(inner for _, inner in sizes)
    gone = first_of(found, lambda piece: int(piece.is_head), round(heads))
    return gone + first_of(found, lambda piece: 0 if piece.is_head else len(piece.indices), inner)


def _to_parameters(checkpoint: Checkpoint, target: int, found: list[Piece]) -> list[Piece]:
    gone = first_of(found, lambda piece: piece.parameters, checkpoint.parameters - target)
    left = checkpoint.parameters - sum(piece.parameters for piece in gone)
    if left > target:
        raise BadInput(
            f"prune.target_params is {target:,}, but with one head and a group of inner units a layer "
            f"{left:,} are left",
            fix="raise it, or drop tokens and layers too (prune.vocabulary, prune.layers)",
        )
    return gone


def _to_memory(checkpoint: Checkpoint, recipe: Recipe, target: str, found: list[Piece]) -> list[Piece]:
    backend, most = backend_for(recipe), parse_size(target)

    def bytes_without(count: int) -> float:
        config = cut_config(checkpoint.config, without(whole(checkpoint.config), found[:count]))
        predicted = predict_memory(backend, config, recipe, None).process_total.predicted
        if predicted.value is None or predicted.note:
            raise BadInput(
                f"prune.target_memory cannot be met by backend {backend.name}: its memory is predicted "
                f"{predicted.note}",
                where=f"recipe {recipe.name}",
                fix="write target_params instead",
            )
        return predicted.value

    least = bytes_without(len(found))
    if least > most:
        raise BadInput(
            f"prune.target_memory is {target}, but with one head and a group of inner units a layer the "
            f"process still takes {format_bytes(int(least))}",
            fix="raise it, drop tokens and layers too, or quantize more",
        )
    # The fewest whose absence is enough: less of the model never takes more memory.
    return found[: bisect_left(range(len(found)), True, key=lambda count: bytes_without(count) <= most)]


def _loss(checkpoint: Checkpoint, seen: Examples) -> float:
    """Infinite where an answer is not finite, so that no other model is worse."""
    model = checkpoint.model()
    losses = [label_loss(model, batch).item() * len(batch.input_ids) for batch in spread(seen, checkpoint)]
    return math.fsum(losses) if all(map(math.isfinite, losses)) else math.inf
