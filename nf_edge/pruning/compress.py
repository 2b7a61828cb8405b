"""Prune and recover: make a smaller checkpoint by a recipe's `prune` and `recover` sections."""

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
from nf_edge.core.files import created_folder
from nf_edge.core.identity import Identity
from nf_edge.core.progress import Progress, silent
from nf_edge.core.recipe.prune import Compression
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.core.staging import scratch_folder
from nf_edge.measure.accuracy.divergence import divergence_of
from nf_edge.model import Checkpoint, NoiseFormer
from nf_edge.model.checkpoint import identity_of
from nf_edge.model.checkpoint_outline import EXAMPLES
from nf_edge.model.checkpoint_writer import check_place, staged_checkpoint, write_checkpoint
from nf_edge.pruning.data import Sources, batch_size, documents, examples, in_batches, spread
from nf_edge.pruning.provenance import qat_section, write_provenance
from nf_edge.pruning.prune import prune_layers, prune_structure, prune_vocabulary
from nf_edge.pruning.pruning_report import PruningReport, Sizes
from nf_edge.pruning.recover import OriginalNetwork, recover, state_file
from nf_edge.pruning.sparsity import apply_masks, compressed_bytes, keep_zeros, weight_masks
from nf_edge.pruning.vocabulary import count_reencoded
from nf_edge.quantization.qat import prepare_qat
from nf_edge.training.evaluate import evaluate, logits_of
from nf_edge.training.examples import Examples
from nf_edge.training.loop import Resumable, best_validation
from nf_edge.training.state import Validation, check_states

# Seed of the order of examples only: all weights come from the checkpoint.
SEED = 0


def compress_checkpoint(
    checkpoint: Checkpoint,
    recipe: Recipe,
    sources: Sources,
    out: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
    on_validation: Callable[[Validation], None] = lambda validation: None,
) -> PruningReport:
    """Write a checkpoint compressed by a recipe; an interruption leaves no partial checkpoint.

    Recovery saves its state in `OUT.recovery`, next to `out`.

    Args:
        recipe: a recipe with a `prune` section, a `recover` section or both.
        resume: continue an interrupted recovery of the same checkpoint, recipe and data.

    Raises:
        BadInput: the data does not suit the model, the model is too small to prune, `out` cannot be written,
            or training diverged.  Also if there is no state to resume, or if a state exists but neither
            `resume` nor `overwrite` is set.
    """
    prune, recovery = recipe.prune, recipe.recover
    config = checkpoint.config
    if not config.is_language_model and not config.has_label:
        raise BadInput(
            f"is a {config.kind}, but nf-edge compresses only models with one label per row",
            where=checkpoint.path,
            fix="export the checkpoint without compressing it",
        )
    state = state_file(out)
    check_place(out, overwrite=overwrite, sources=[checkpoint.path, *sources.files()], other_outputs=[state])
    check_states([state], "recovery", resume=resume, overwrite=overwrite)
    _ = checkpoint.identity  # hash the files now, before anything can change them
    if recovery is not None and recovery.qat:
        # Refuse rules for missing modules before training starts.
        precisions(recipe, checkpoint.config)
    located = sources.located()
    with scratch_folder() as folder, created_folder(out.parent):
        smaller, kept = checkpoint, list(range(checkpoint.config.vocab_size))
        if prune is not None and prune.vocabulary is not None:
            counted = documents(located["train"], checkpoint)
            smaller, kept = prune_vocabulary(checkpoint, prune.vocabulary, counted, folder)
        masks: dict[str, Tensor] = {}
        notes: list[str] = []
        original_network = checkpoint.reference()
        original_test = examples(located["test"], checkpoint, notes)
        original_scores = evaluate(original_network, original_test, batch_size(checkpoint))
        train, valid, test = (examples(located[name], smaller, notes) for name in ("train", "valid", "test"))
        if prune is not None:
            smaller = prune_layers(smaller, prune.layers, train, progress)
            if prune.cuts:
                smaller = prune_structure(smaller, recipe, prune, train, progress)
            if prune.weights is not None:
                masks = weight_masks(smaller.model(), prune.weights, spread(train, smaller))
                smaller = Checkpoint(smaller.path, smaller.config, apply_masks(smaller.tensors, masks))
        size, pruned, step = batch_size(smaller), None, None
        original = OriginalNetwork(original_network, torch.tensor(kept))
        if recovery is not None:
            pruned = evaluate(_network(smaller, recipe), test, size)
            model = _network(smaller, recipe).requires_grad_(True)
            keep_zeros(model, masks)
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
            smaller = Checkpoint(smaller.path, smaller.config, trained.best)
            step = best_validation(trained).step
        smaller = _in_saved_form(smaller, checkpoint)
        reencoded = None
        if smaller.path != checkpoint.path:
            texts = [documents(located["test"], each) for each in (checkpoint, smaller)]
            reencoded = (count_reencoded(texts[0], texts[1], kept), len(texts[0]))
        network = _network(smaller, recipe)
        report = PruningReport(
            path=out,
            before=Sizes.of(checkpoint),
            after=Sizes.of(smaller),
            tested_on=located["test"].source,
            reencoded=reencoded,
            original=original_scores,
            pruned=pruned,
            result=evaluate(network, test, size),
            divergence=None
            if config.task == "regression"  # the outputs of a regression are not probabilities
            else divergence_of(_logits(original_network, original, original_test, network, test, size)),
            best_step=step,
            rounded=recovery is not None and recovery.qat,
            zeros=_zero_share(smaller, masks),
            download=(compressed_bytes(checkpoint.tensors), compressed_bytes(smaller.tensors)),
            notes=tuple(dict.fromkeys(notes)),
        )
        _write(smaller, checkpoint, recipe, report, overwrite)
    state.unlink(missing_ok=True)
    return report


def _network(smaller: Checkpoint, recipe: Recipe) -> NoiseFormer:
    """The network to train and score.  With quantization-aware recovery, it rounds weights and
    activations.
    """
    model = smaller.model()
    if recipe.recover is not None and recipe.recover.qat:
        prepare_qat(model, recipe)
    return model


def _logits(
    original_network: NoiseFormer,
    original: OriginalNetwork,
    original_test: Examples,
    network: NoiseFormer,
    test: Examples,
    size: int,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield a pair of logits for each batch of test examples: the original's, and the smaller model's.

    Classifiers with different tokenizers get the same rows, each in its encoding.  The logits of language
    models cover only the kept tokens.

    Args:
        original_network: the original, which reads `original_test`; used if it is a classifier.
        original: the original with the ids of the smaller model; used if it is a language model.
        network: the smaller model, which reads `test`.
        size: number of examples in a batch.
    """
    for start in range(0, len(test), size):
        indices = range(start, min(start + size, len(test)))
        batch = test.batch(indices)
        same_tokens = original_network.config.is_language_model
        reference = (
            logits_of(original, batch)
            if same_tokens
            else logits_of(original_network, original_test.batch(indices))
        )
        yield reference, logits_of(network, batch)


def _zero_share(smaller: Checkpoint, masks: Mapping[str, Tensor]) -> float | None:
    """The share of zeros among the weights that masks cover; None without masks."""
    if not masks:
        return None
    total = sum(smaller.tensors[name].numel() for name in masks)
    return sum(int((smaller.tensors[name] == 0).sum()) for name in masks) / total


def _in_saved_form(smaller: Checkpoint, checkpoint: Checkpoint) -> Checkpoint:
    """The smaller checkpoint as it is saved: only the tensors for inference, in the dtype of `checkpoint`."""
    dtype = checkpoint.tensors["transformer.wte.weight"].dtype
    tensors = {name: smaller.tensors[name].to(dtype) for name in smaller.config.tensor_shapes()}
    return Checkpoint(smaller.path, smaller.config, tensors)


def _provenance(
    checkpoint: Checkpoint, recipe: Recipe, report: PruningReport, result: Identity
) -> Compression:
    return Compression(
        recipe=recipe.name,
        prune=recipe.prune,
        recover=recipe.recover,
        original=checkpoint.name,
        original_sha256=checkpoint.identity.weights_sha256,
        original_config=checkpoint.identity.config,
        original_tokenizer_sha256=checkpoint.identity.tokenizer_sha256,
        rounded_as=qat_section(recipe),
        result=result,
        report=report.facts(),
    )


def _write(
    smaller: Checkpoint, checkpoint: Checkpoint, recipe: Recipe, report: PruningReport, overwrite: bool
) -> None:
    out = report.path
    with staged_checkpoint(out, overwrite=overwrite) as stage:
        dtype, tokenizer = next(iter(smaller.tensors.values())).dtype, smaller.tokenizer_file
        write_checkpoint(
            stage, smaller.config, smaller.tensors, dtype=dtype, tokenizer_file=tokenizer, where=out
        )
        examples = checkpoint.examples_file
        same_ids = smaller.config.vocab_size == checkpoint.config.vocab_size
        if examples is not None and (same_ids or '"input_ids"' not in examples.read_text(encoding="utf-8")):
            shutil.copyfile(examples, stage / EXAMPLES)
        write_provenance(_provenance(checkpoint, recipe, report, identity_of(stage, smaller.config)), stage)


def _fingerprint(checkpoint: Checkpoint, recipe: Recipe, train: Examples, valid: Examples) -> str:
    """SHA-256 of everything that the recovered weights depend on, except the machine."""
    facts = {
        "checkpoint": checkpoint.identity.model_dump(mode="json"),
        # Includes the runtime, which affects `target_memory`, and the `quantize` section, which affects QAT's
        # rounding.
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
