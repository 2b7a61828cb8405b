"""What reads files, on which seed, and what must be true of everything that it accepts."""

import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml
from tokenizers import Tokenizer

from fuzzing import mutators, seeds
from fuzzing.seeds import DEVICES, RECIPES, TRAINING_RECIPES
from nf_edge.artifact import load_artifact
from nf_edge.backends import agreeing_backend
from nf_edge.core.device import load_device
from nf_edge.core.recipe.recipe import load_recipe
from nf_edge.model import Checkpoint, load_checkpoint
from nf_edge.model.data.blocks import read_blocks
from nf_edge.model.data.rows import load_rows
from nf_edge.model.data.text import text_encoder
from nf_edge.model.importers import import_checkpoint
from nf_edge.model.tokenizer import read_tokenizer
from nf_edge.pipeline.export import dry_run
from nf_edge.pruning.provenance import read_provenance
from nf_edge.pruning.vocabulary import smaller_tokenizer, tokens_to_keep
from nf_edge.quantization.calibration import may_calibrate
from nf_edge.training import load_training_recipe
from nf_edge.training.state import load_state
from nf_edge.training.vectors import read_vectors


@dataclass(frozen=True)
class Target:
    """A reader and a file for it.

    Attributes:
        seed: the folder of the seed.
        file: the file in it that is spoiled.
        read: reads the folder, and asserts that what it accepts is what it says.
        mutators: of the file's structure; those of bytes go for every file.
    """

    name: str
    seed: str
    file: str
    read: Callable[[Path], Any]
    mutators: Sequence[Callable[..., bytes]] = ()


def _is_sound(checkpoint: Checkpoint) -> None:
    shapes, optional = checkpoint.config.tensor_shapes(), checkpoint.config.optional_tensor_shapes()
    for name, tensor in checkpoint.tensors.items():
        assert tuple(tensor.shape) == (shapes | optional)[name], name
        assert tensor.isfinite().all(), name
    assert set(shapes) <= set(checkpoint.tensors)


def _checkpoint(folder: Path) -> None:
    checkpoint = load_checkpoint(folder)
    _is_sound(checkpoint)
    read_provenance(checkpoint)
    if checkpoint.tokenizer_file is not None:
        ids = text_encoder(checkpoint.tokenizer_file, "x")("the film \u00e9\U0001f600 is").ids
        assert all(index >= 0 for index in ids)
    if checkpoint.examples_file is not None:
        _are_rows(load_rows(str(checkpoint.examples_file), checkpoint), checkpoint)
    if checkpoint.parameters < 100_000 and checkpoint.config.n_positions >= 3:
        logits = checkpoint.model()(torch.zeros(1, 3, dtype=torch.int64))
        assert logits.shape[0] == 1


def _are_rows(rows: Any, checkpoint: Checkpoint) -> None:
    config = checkpoint.config
    assert rows.rows
    for row in rows.rows:
        assert 0 < len(row.input_ids) <= config.n_positions
        assert all(type(index) is int and 0 <= index < config.vocab_size for index in row.input_ids)
        if not rows.labelled:
            assert row.label is None
        elif config.num_labels == 1:
            assert math.isfinite(row.label)
        elif not config.is_language_model:
            assert type(row.label) is int
            assert 0 <= row.label < config.num_labels


def _contains(whole: Any, part: Any, where: str = "") -> None:
    """Whether a value says all that a document does, with nothing taken for something else."""
    if isinstance(part, dict) and isinstance(whole, dict):
        for key, value in part.items():
            _contains(whole[str(key)], value, f"{where}.{key}")
    elif isinstance(part, list) and isinstance(whole, list):
        assert len(whole) == len(part), where
        for i, value in enumerate(part):
            _contains(whole[i], value, f"{where}.{i}")
    elif isinstance(part, str) and isinstance(whole, str):
        assert part.strip() == whole.strip(), where
    elif not isinstance(part, dict | list | str):
        assert isinstance(whole, bool) == isinstance(part, bool), f"{where}: {part!r} was taken for {whole!r}"
        assert whole == part, f"{where}: {part!r} was taken for {whole!r}"


def _recipe(folder: Path, name: str, base: Path) -> None:
    recipe = load_recipe(str(folder / f"{name}.yaml"))
    agreeing_backend(recipe)
    if not recipe.shrinks and not may_calibrate(recipe):
        dry_run(load_checkpoint(base / "lm"), recipe)
    _contains(recipe.model_dump(mode="json"), yaml.safe_load((folder / f"{name}.yaml").read_text()))


def _device(folder: Path, name: str) -> None:
    device = load_device(str(folder / f"{name}.yaml"))
    assert device.working_memory.budget_bytes < 2**63
    device.unverified_facts()
    json.dumps(device.model_dump(mode="json"), allow_nan=False)


def _training_recipe(folder: Path, name: str) -> None:
    recipe = load_training_recipe(str(folder / f"{name}.yaml"))
    json.dumps(recipe.model_dump(mode="json"), allow_nan=False)


def _rows(folder: Path, file: str, base: Path) -> None:
    checkpoint = load_checkpoint(base / "classifier")
    _are_rows(load_rows(str(folder / file), checkpoint), checkpoint)


def _text(folder: Path, base: Path) -> None:
    lm = load_checkpoint(base / "lm")
    ids = read_blocks(str(folder / "rows.txt"), lm.config, lm.tokenizer_file).ids
    assert ids.min() >= 0
    assert ids.max() < lm.config.vocab_size


def _imported(source: Path) -> None:
    found = import_checkpoint(source)
    _is_sound(Checkpoint(source, found.config, found.tensors))
    out = source.parent / "imported"
    found.save(out, overwrite=True)
    _is_sound(load_checkpoint(out))


def _state(folder: Path) -> None:
    expected, expected_optimizer = seeds.trained()
    model = seeds.network("state")
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    state = load_state(folder / "it.training", seeds.FINGERPRINT, model, optimizer)
    assert state.step == 1
    assert state.validations[0].evaluation.correct == 7
    for name, tensor in expected.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name])
        assert torch.equal(tensor, state.best[name])
    for index, moments in expected_optimizer.state_dict()["state"].items():
        for name, tensor in moments.items():
            assert torch.equal(tensor, optimizer.state_dict()["state"][index][name])


def _vectors(folder: Path, base: Path) -> None:
    vectors = read_vectors(folder / "words.txt", read_tokenizer(base / "bpe.json"), 300)
    assert vectors.table.isfinite().all()
    assert vectors.known.any()


def _vocabulary(folder: Path) -> None:
    """Dropping tokens that a text does not have keeps how it is encoded."""
    lm, text = load_checkpoint(folder), "the film"
    if (file := lm.tokenizer_file) is None:
        return
    ids = read_tokenizer(file).encode(text).ids
    kept = tokens_to_keep(file, lm.config, Counter(ids), 1)
    smaller = Tokenizer.from_str(smaller_tokenizer(file, kept))
    assert [kept[index] for index in smaller.encode(text).ids] == ids


def _artifact(folder: Path) -> None:
    artifact = load_artifact(folder)
    document = json.loads((folder / "manifest.json").read_text())
    _contains(artifact.manifest.to_json(), document)


def targets(base: Path, artifacts: Sequence[str] = ()) -> list[Target]:
    """All of them, on the seeds of a folder; `artifacts` are names of those that are there too."""
    json_, lines, safetensors = mutators.JSON, mutators.JSON_LINES, mutators.SAFETENSORS
    yaml_ = mutators.YAML
    found = [
        Target("config", "lm", "config.json", _checkpoint, json_),
        Target("config of a classifier", "classifier", "config.json", _checkpoint, json_),
        Target("weights", "lm", "model.safetensors", _checkpoint, safetensors),
        Target("weights, untied", "relative", "model.safetensors", _checkpoint, safetensors),
        Target("tokenizer", "lm", "tokenizer.json", _checkpoint, json_),
        Target("tokenizer that is made smaller", "lm", "tokenizer.json", _vocabulary, json_),
        Target("examples", "classifier", "examples.jsonl", _checkpoint, lines),
        Target("examples of a language model", "lm", "examples.jsonl", _checkpoint, lines),
        Target("mark of compression", "classifier", "compression.json", _checkpoint, json_),
        *(
            Target(f"recipe {name}", "recipes", f"{name}.yaml", partial(_recipe, name=name, base=base), yaml_)
            for name in RECIPES
        ),
        *(
            Target(f"device {name}", "devices", f"{name}.yaml", partial(_device, name=name), yaml_)
            for name in DEVICES
        ),
        *(
            Target(name, "recipes-training", f"{name}.yaml", partial(_training_recipe, name=name), yaml_)
            for name in TRAINING_RECIPES
        ),
        *(
            Target(file, "data", file, partial(_rows, file=file, base=base))
            for file in ("rows.tsv", "rows.csv")
        ),
        Target("rows.jsonl", "data", "rows.jsonl", partial(_rows, file="rows.jsonl", base=base), lines),
        Target("text", "data", "rows.txt", lambda folder: _text(folder, base)),
        Target("word vectors", "vectors", "words.txt", lambda folder: _vectors(folder, base)),
        Target("state of a training", "state", "it.training", _state, safetensors),
        Target("HF config", "hf", "config.json", _imported, json_),
        Target("HF weights", "hf", "model.safetensors", _imported, safetensors),
        Target("HF tokenizer", "hf", "tokenizer.json", _imported, json_),
        Target("HF index", "hf-shards", "model.safetensors.index.json", _imported, json_),
        Target("HF shard", "hf-shards", "a.safetensors", _imported, safetensors),
        Target("HF pickle", "hf-pickle", "pytorch_model.bin", _imported, mutators.ZIP),
        Target("HF vocab.json", "hf-pickle", "vocab.json", _imported, json_),
        Target("HF merges.txt", "hf-pickle", "merges.txt", _imported),
        Target("HF tokenizer_config", "hf-pickle", "tokenizer_config.json", _imported, json_),
        Target("nanoGPT", "nanogpt", "ckpt.pt", lambda folder: _imported(folder / "ckpt.pt"), mutators.ZIP),
        Target("nanoGPT before zip files", "nanogpt", "old.pt", lambda folder: _imported(folder / "old.pt")),
    ]
    for name in artifacts:
        found += [
            Target(f"manifest {name}", name, "manifest.json", _artifact, json_),
            *(
                Target(f"{file.name} {name}", name, file.name, _artifact)
                for file in sorted((base / name).iterdir())
                if file.suffix in (".onnx", ".pte") or file.name == "tokenizer.json"
            ),
        ]
    return found
