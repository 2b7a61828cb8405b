"""Checkpoints of the smallest sizes, and of weights that are all alike, all 0 or far too large, by recipes of
CPUs: an artifact with finite answers, or one clear refusal."""

import json

import pytest
import torch
from conftest import CLASSIFIER, LM, backend_missing, even_rows, tools_missing

from nf_edge.model import ModelConfig, save_checkpoint
from nf_edge.model.init import init_tensors

SHAPES = {
    "of ones": {
        "architectures": LM,
        "vocab_size": 2,
        "n_embd": 1,
        "n_inner": 1,
        "n_head": 1,
        "n_positions": 2,
    },
    "of one token": {"architectures": CLASSIFIER, "num_labels": 2, "vocab_size": 1, "n_positions": 1},
    "of primes": {"architectures": LM, "vocab_size": 17, "n_embd": 14, "n_inner": 13, "n_positions": 7},
    "one input": {"architectures": CLASSIFIER, "num_labels": 3, "vocab_size": 30, "n_embd": 32, "n_inner": 1},
}
WEIGHTS = {
    "random": lambda name, tensor: 4 * tensor,
    "zero": lambda name, tensor: torch.zeros_like(tensor),
    "silent": lambda name, tensor: 0 * tensor if ".ln_f." in name else 4 * tensor,
    "subnormal": lambda name, tensor: 1e-40 * tensor if tensor.dim() > 1 else tensor,
    "huge": lambda name, tensor: 1e30 * tensor if tensor.dim() > 1 else tensor,
}
QUICK = [
    ("of primes", "silent", "onnx-int4-gptq"),
    ("one input", "huge", "onnx-int4-gptq"),
]
SLOW = [
    ("one input", "random", "xnnpack-8da4w-gptq"),
    ("one input", "subnormal", "onnx-int8-qdq"),
    ("of ones", "random", "onnx-int4"),
    ("one input", "huge", "xnnpack-int8"),
    ("of ones", "zero", "openvino-int8"),
    ("of ones", "random", "nf-int8"),
    ("of one token", "silent", "onnx-int8-dynamic"),
]


@pytest.fixture
def degenerate(tmp_path):
    def make(shape, weights):
        config = ModelConfig(**{"n_embd": 8, "n_head": 2, "n_layer": 1, "n_positions": 8, **SHAPES[shape]})
        tensors = {name: WEIGHTS[weights](name, its) for name, its in init_tensors(config, 0).items()}
        save_checkpoint(tmp_path / "checkpoint", config, tensors)
        label = {} if config.is_language_model else {"label": 0}
        rows = [{"input_ids": list(row.input_ids), **label} for row in even_rows(config, config.n_positions)]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / "checkpoint" / "examples.jsonl").write_text(text, encoding="utf-8")
        return tmp_path / "checkpoint"

    return make


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "weights", "recipe"), [*QUICK, *(pytest.param(*each, marks=pytest.mark.slow) for each in SLOW)]
)
def test_the_answers_are_finite_or_the_export_is_refused(shape, weights, recipe, degenerate, run, tmp_path):
    if missing := backend_missing(recipe) or (recipe.startswith("nf-") and tools_missing()):
        pytest.skip(missing)
    out = tmp_path / "out"
    done = run("export", degenerate(shape, weights), "--recipe", recipe, "-o", out, "--json")
    document = json.loads(done.out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert "Traceback" not in done.err
    if done.code:
        assert done.code in (3, 5)
        assert document["error"]["message"]
        assert not out.exists()
    else:
        # Weights that the runtime can hold are never refused, and what it makes of them is near.
        assert document["result"]["reports"]["parity"]["error"] < 1
