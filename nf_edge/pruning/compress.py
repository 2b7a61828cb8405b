"""Prune and recover: from a checkpoint to a smaller one, by a recipe's sections."""

import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from nf_edge import __version__
from nf_edge.backends.precisions import precisions
from nf_edge.core import strict_json
from nf_edge.core.errors import BadInput
from nf_edge.core.files import folder_made
from nf_edge.core.identity import Identity
from nf_edge.core.progress import Progress, silent
from nf_edge.core.recipe.prune import Compression
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.core.staging import scratch_folder
from nf_edge.measure.accuracy.divergence import divergence_of
from nf_edge.model import Checkpoint, NoiseFormer
from nf_edge.model.checkpoint import EXAMPLES, check_place, identity_of, staged_checkpoint, write_checkpoint
from nf_edge.pruning.data import Sources, batch_size, documents, examples, in_batches, spread
from nf_edge.pruning.provenance import rounded_as, write_mark
from nf_edge.pruning.prune import prune_layers, prune_structure, prune_vocabulary
from nf_edge.pruning.pruning_report import Shrunk, Sizes
from nf_edge.pruning.recover import OriginalNetwork, recover, state_file
from nf_edge.pruning.sparsity import apply_masks, compressed_bytes, keep_zeros, masks
from nf_edge.pruning.vocabulary import encoded_otherwise
from nf_edge.quantization.qat import prepare_qat
from nf_edge.training.evaluate import answer, evaluate
from nf_edge.training.examples import Examples
from nf_edge.training.loop import Resumable, best_validation
from nf_edge.training.state import Validation, check_states

# The weights are given; only the order of examples depends on it.
SEED = 0


def shrink(
    checkpoint: Checkpoint,
    recipe: Recipe,
    sources: Sources,
    out: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
    on_validation: Callable[[Validation], None] = lambda validation: None,
) -> Shrunk:
    """Write the checkpoint that a recipe's sections make of another, whole or not at all.

    While it recovers its state is in `OUT.recovery`, beside `out`.

    Args:
        recipe: has one of the sections at least; the others are not looked at.
        resume: go on with a recovery of the same that was interrupted.

    Raises:
        BadInput: the data is not for the model, a section asks for what it has not, `out` may not be
            written, there is nothing to resume or something that must be, or training diverged.
    """
    prune, recovery = recipe.prune, recipe.recover
    config = checkpoint.config
    if not config.is_language_model and not config.has_label:
        raise BadInput(
            f"is a {config.kind}, and nf-edge has no loss or score for more than one label a row",
            where=checkpoint.path,
        )
    state = state_file(out)
    check_place(out, overwrite=overwrite, sources=[checkpoint.path, *sources.files()], beside=[state])
    check_states([state], "recovery", resume=resume, overwrite=overwrite)
    _ = checkpoint.identity  # which compression.json names
    if recovery is not None and recovery.qat:
        # Rules for modules that are not there are refused before it trains.
        precisions(recipe, checkpoint.config)
    located = sources.located()
    with scratch_folder() as folder, folder_made(out.parent):
        small, kept = checkpoint, list(range(checkpoint.config.vocab_size))
        if prune is not None and prune.vocabulary is not None:
            counted = documents(located["train"], checkpoint)
            small, kept = prune_vocabulary(checkpoint, prune.vocabulary, counted, folder)
        stay: dict[str, Tensor] = {}
        own = examples(located["test"], checkpoint)
        before = evaluate(checkpoint.model(), own, batch_size(checkpoint))
        train, valid, test = (examples(located[name], small) for name in ("train", "valid", "test"))
        if prune is not None:
            small = prune_layers(small, prune.layers, train, progress)
            if prune.cuts:
                small = prune_structure(small, recipe, prune, train, progress)
            if prune.weights is not None:
                stay = masks(small.model(), prune.weights, spread(train, small))
                small = Checkpoint(small.path, small.config, apply_masks(small.tensors, stay))
        size, pruned, step = batch_size(small), None, None
        original = OriginalNetwork(checkpoint.model(), torch.tensor(kept))
        if recovery is not None:
            pruned = evaluate(_network(small, recipe), test, size)
            model = _network(small, recipe).requires_grad_(True)
            keep_zeros(model, stay)
            trained = recover(
                model,
                original,
                train,
                valid,
                recovery,
                SEED,
                resumable=Resumable(state, _fingerprint(checkpoint, recipe, train, valid)),
                progress=progress,
                on_validation=on_validation,
            )
            small = Checkpoint(small.path, small.config, trained.best)
            step = best_validation(trained).step
        small = _as_saved(small, checkpoint)
        otherwise = None
        if small.path != checkpoint.path:
            texts = [documents(located["test"], each) for each in (checkpoint, small)]
            otherwise = (encoded_otherwise(texts[0], texts[1], kept), len(texts[0]))
        report = Shrunk(
            path=out,
            before=Sizes.of(checkpoint),
            after=Sizes.of(small),
            tested_on=located["test"][0],
            otherwise=otherwise,
            original=before,
            pruned=pruned,
            result=evaluate(_network(small, recipe), test, size),
            divergence=None
            if config.task == "regression"  # whose answers are no probabilities
            else divergence_of(_answers(checkpoint, original, own, _network(small, recipe), test)),
            best_step=step,
            rounded=recovery is not None and recovery.qat,
            zeros=_zeros(small, stay),
            download=(compressed_bytes(checkpoint.tensors), compressed_bytes(small.tensors)),
        )
        _write(small, checkpoint, recipe, report, overwrite)
    state.unlink(missing_ok=True)
    return report


def _network(small: Checkpoint, recipe: Recipe) -> NoiseFormer:
    """The network as it is trained and scored: one that rounds, where the recipe has it trained so."""
    model = small.model()
    if recipe.recover is not None and recipe.recover.qat:
        prepare_qat(model, recipe)
    return model


def _answers(
    checkpoint: Checkpoint, original: OriginalNetwork, own: Examples, model: NoiseFormer, test: Examples
) -> Iterator[tuple[Tensor, Tensor]]:
    """Logits of the whole model and of the small one, batch by batch: a classifier's of the same rows, each
    in its own tokens; a language model's of the same tokens."""
    whole, size = checkpoint.model(), batch_size(checkpoint)
    for start in range(0, len(test), size):
        indices = range(start, min(start + size, len(test)))
        batch = test.batch(indices)
        same_tokens = checkpoint.config.is_language_model
        reference = answer(original, batch) if same_tokens else answer(whole, own.batch(indices))
        yield reference, answer(model, batch)


def _zeros(small: Checkpoint, stay: Mapping[str, Tensor]) -> float | None:
    """The share of the weights of the layers that have been given some; None where none has."""
    if not stay:
        return None
    total = sum(small.tensors[name].numel() for name in stay)
    return sum(int((small.tensors[name] == 0).sum()) for name in stay) / total


def _as_saved(small: Checkpoint, checkpoint: Checkpoint) -> Checkpoint:
    """With the tensors that inference uses, in the dtype of the original's."""
    dtype = checkpoint.tensors["transformer.wte.weight"].dtype
    tensors = {name: small.tensors[name].to(dtype) for name in small.config.tensor_shapes()}
    return Checkpoint(small.path, small.config, tensors)


def _mark(checkpoint: Checkpoint, recipe: Recipe, report: Shrunk, result: Identity) -> Compression:
    return Compression(
        recipe=recipe.name,
        prune=recipe.prune,
        recover=recipe.recover,
        original=checkpoint.name,
        original_sha256=checkpoint.identity.weights_sha256,
        original_config=checkpoint.identity.config,
        original_tokenizer_sha256=checkpoint.identity.tokenizer_sha256,
        rounded_as=rounded_as(recipe),
        result=result,
        report=report.facts(),
    )


def _write(
    small: Checkpoint, checkpoint: Checkpoint, recipe: Recipe, report: Shrunk, overwrite: bool
) -> None:
    out = report.path
    with staged_checkpoint(out, overwrite=overwrite) as stage:
        dtype, tokenizer = next(iter(small.tensors.values())).dtype, small.tokenizer_file
        write_checkpoint(stage, small.config, small.tensors, dtype=dtype, tokenizer_file=tokenizer, where=out)
        examples = checkpoint.examples_file
        same_ids = small.config.vocab_size == checkpoint.config.vocab_size
        if examples is not None and (same_ids or '"input_ids"' not in examples.read_text(encoding="utf-8")):
            shutil.copyfile(examples, stage / EXAMPLES)
        write_mark(_mark(checkpoint, recipe, report, identity_of(stage, small.config)), stage)


def _fingerprint(checkpoint: Checkpoint, recipe: Recipe, train: Examples, valid: Examples) -> str:
    """All that the recovered weights depend on, but for the machine."""
    facts = {
        "checkpoint": checkpoint.identity.model_dump(mode="json"),
        # Also what a memory to prune to is predicted by, and how the model is rounded.
        "recipe": recipe.model_dump(mode="json", exclude={"name", "description", "limits"}),
        "data": [_digest(each) for each in (train, valid)],
        "versions": [__version__, torch.__version__],
    }
    return hashlib.sha256(strict_json.dumps(facts, indent=None).encode()).hexdigest()


def _digest(of: Examples) -> str:
    digest = hashlib.sha256()
    for batch in in_batches(of, 32):
        for tensor in (batch.input_ids, batch.labels):
            if tensor is not None:
                digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
