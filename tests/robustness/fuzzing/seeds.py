"""Small real inputs, one folder each: whole files of every kind that nf-edge reads."""

import json
import shutil
from pathlib import Path

import gpt2
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers

from nf_edge.core import resources
from nf_edge.model import ModelConfig, save_checkpoint
from nf_edge.model.init import init_tensors
from nf_edge.training.bpe import train_bpe
from nf_edge.training.evaluate import Evaluation
from nf_edge.training.state import State, Validation, save_state

LM, CLASSIFIER = ("NoiseFormerForCausalLM",), ("NoiseFormerForSequenceClassification",)
SENTENCES = ["the film is good and great", "a dog ran over the hill", "it was not as bad as they say"]
RECIPES = ("onnx-int8-qdq", "xnnpack-8da8w-half", "ethos-u55-128-int8", "onnx-fp32", "nf-int8", "mine")
DEVICES = ("rpi-5", "stm32h747i-disco")
TRAINING_RECIPES = ("digits", "sst2")
FINGERPRINT = "0" * 64


def make(folder: Path) -> None:
    """Every seed, in `folder`, but for artifacts: these take an export."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = train_bpe(SENTENCES * 30, 300, lowercase=False, treebank=False)
    tokenizer.save(str(folder / "bpe.json"))
    _checkpoints(folder, tokenizer)
    _recipes(folder)
    _data(folder)
    _foreign(folder, tokenizer)
    _state(folder / "state")
    (folder / "vectors").mkdir()
    (folder / "vectors" / "words.txt").write_text(
        "the 0.1 0.2 -0.3\nfilm 1 2 3\ndog 0.5 0.25 -1e-3\nbad 0 0 1\n"
    )


def network(task: str) -> torch.nn.Module:
    """Something small to train, with the optimizer's moments of one step."""
    torch.manual_seed(0)
    return torch.nn.Linear(4, 3) if task == "state" else torch.nn.Linear(4, 4)


def trained() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    model = network("state")
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    model(torch.ones(2, 4)).square().mean().backward()
    optimizer.step()
    return model, optimizer


def _checkpoints(folder: Path, tokenizer: Tokenizer) -> None:
    shape = {
        "vocab_size": tokenizer.get_vocab_size(),
        "n_positions": 32,
        "n_embd": 8,
        "n_layer": 1,
        "n_head": 2,
        "n_inner": 8,
    }
    noise = {"noise": {"kind": "lowrank", "rank": 2}}
    configs = {
        "lm": ModelConfig(**shape, **noise, architectures=LM, eos_token_id=0, layers=({"n_inner": 8},)),
        "classifier": ModelConfig(
            **shape,
            **noise,
            architectures=CLASSIFIER,
            num_labels=2,
            id2label={0: "no", 1: "yes"},
            pad_token_id=0,
            causal=False,
        ),
        "relative": ModelConfig(
            **shape, architectures=LM, noise={"kind": "relative"}, tie_word_embeddings=False
        ),
    }
    for name, config in configs.items():
        save_checkpoint(folder / name, config, init_tensors(config, 1), tokenizer_file=folder / "bpe.json")
    rows = [{"text": text, "label": i % 2} for i, text in enumerate(SENTENCES)]
    (folder / "classifier" / "examples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "lm" / "examples.jsonl").write_text(
        "".join(json.dumps({"text": row["text"]}) + "\n" for row in rows)
    )
    mark = {
        "schema": "nf-edge/compression/1",
        "recipe": "half",
        "prune": {"heads": 0.5, "inner": 0.5},
        "recover": {"steps": 10},
        "original": "classifier",
        "original_sha256": "0" * 64,
        "report": {"before": {"parameters": 10}, "result": {"score": 0.5}},
    }
    (folder / "classifier" / "compression.json").write_text(json.dumps(mark))


def _recipes(folder: Path) -> None:
    bundled = {"recipes": RECIPES[:-1], "devices": DEVICES, "recipes/training": TRAINING_RECIPES}
    for kind, names in bundled.items():
        for name in names:
            target = folder / kind.replace("/", "-") / f"{name}.yaml"
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(resources.folder(kind) / f"{name}.yaml", target)
    rules = """name: mine
description: a recipe with every key of quantize
runtime: onnxruntime
backend: onnx_cpu
quantize:
  weights: int4
  granularity: group_32
  symmetric: false
  activations: none
  embeddings: int8
  rules:
    - {modules: "*.mlp.*", weights: int8, granularity: per_channel, symmetric: true,
       activations: int8_dynamic}
    - {modules: lm_head, weights: float32}
  method: gptq
shapes: {batch: dynamic, length: 16}
logits: all
limits: {max_logit_error: 0.5}
"""
    (folder / "recipes" / "mine.yaml").write_text(rules)


def _data(folder: Path) -> None:
    place = folder / "data"
    place.mkdir()
    rows = [(text, i % 2) for i, text in enumerate(SENTENCES)]
    (place / "rows.tsv").write_text(
        "sentence\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows)
    )
    (place / "rows.csv").write_text(
        "text,label\n" + "".join(f'"{text}, he said","{label}"\n' for text, label in rows)
    )
    lines = [{"input_ids": [1, 2, 3 + label], "label": ("no", "yes")[label]} for _, label in rows]
    (place / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (place / "rows.txt").write_text(" ".join(SENTENCES) * 10)


def _foreign(folder: Path, tokenizer: Tokenizer) -> None:
    weights = {name: torch.from_numpy(weight) for name, weight in gpt2.random_weights().items()}
    config = {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "vocab_size": 23,
        "n_positions": 9,
        "n_embd": 12,
        "n_layer": 2,
        "n_head": 3,
        "activation_function": "gelu_new",
        "eos_token_id": 0,
        "bos_token_id": 0,
    }
    for name in ("hf", "hf-shards", "hf-pickle"):
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(json.dumps(config))
    save_file(weights, folder / "hf" / "model.safetensors", {"format": "pt"})
    tokenizer_of_23 = Tokenizer(models.BPE({chr(97 + i): i for i in range(23)}, []))
    tokenizer_of_23.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer_of_23.save(str(folder / "hf" / "tokenizer.json"))
    names = sorted(weights)
    parts = {"a.safetensors": names[:9], "b.safetensors": names[9:]}
    for file, part in parts.items():
        save_file({name: weights[name] for name in part}, folder / "hf-shards" / file, {"format": "pt"})
    index = {"metadata": {}, "weight_map": {name: file for file, part in parts.items() for name in part}}
    (folder / "hf-shards" / "model.safetensors.index.json").write_text(json.dumps(index))
    torch.save(weights, folder / "hf-pickle" / "pytorch_model.bin")
    (folder / "hf-pickle" / "vocab.json").write_text(
        json.dumps({chr(97 + i): i for i in range(22)} | {"ab": 22})
    )
    (folder / "hf-pickle" / "merges.txt").write_text("#version: 0.2\na b\n")
    (folder / "hf-pickle" / "tokenizer_config.json").write_text(json.dumps({"add_prefix_space": True}))
    (folder / "nanogpt").mkdir()
    model = {
        name: value.t().contiguous()
        if name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight"))
        else value
        for name, value in weights.items()
    }
    arguments = {
        "n_layer": 2,
        "n_head": 3,
        "n_embd": 12,
        "block_size": 9,
        "vocab_size": 23,
        "bias": True,
        "dropout": 0.0,
    }
    document = {
        "model": model,
        "model_args": arguments,
        "iter_num": 5,
        "best_val_loss": torch.tensor(1.0),
        "config": {"dataset": "x"},
    }
    torch.save(document, folder / "nanogpt" / "ckpt.pt")
    torch.save(document, folder / "nanogpt" / "old.pt", _use_new_zipfile_serialization=False)


def _state(folder: Path) -> None:
    folder.mkdir()
    model, optimizer = trained()
    score = Validation(1, Evaluation("accuracy", 10, 0.5, 0.1, 7))
    best = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    save_state(folder / "it.training", FINGERPRINT, State(1, 0.5, [score], best), model, optimizer)
