"""What is done to a model before it is quantized, so that it loses less, changes nothing that it answers."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nf_edge.core.recipe.precision import Precision
from nf_edge.core.recipe.recipe import load_recipe
from nf_edge.model import ModelConfig
from nf_edge.model.network import build
from nf_edge.quantization.awq import awq
from nf_edge.quantization.calibration import may_calibrate
from nf_edge.quantization.equalize import equalize
from nf_edge.quantization.rotate import rotate, rotation

KINDS = ["none", "lowrank", "pairwise", "relative", "standard"]


def network_of(kind, heads, head_size, language_model, seed):
    """A network with weights of all sizes: norms, biases and noise too."""
    config = ModelConfig.model_validate(
        {
            "model_type": "noiseformer",
            "architectures": [
                "NoiseFormerForCausalLM" if language_model else "NoiseFormerForSequenceClassification"
            ],
            "vocab_size": 30,
            "n_positions": 16,
            "n_embd": heads * head_size,
            "n_layer": 2,
            "n_head": heads,
            "n_inner": 24,
            "activation_function": "gelu_new",
            "causal": language_model,
            "attention": "standard" if kind == "standard" else "symmetric",
            "noise": {
                "kind": "none" if kind == "standard" else kind,
                "rank": 2 if kind == "lowrank" else None,
            },
            "num_labels": None if language_model else 3,
            "layers": [{"n_head": heads, "n_inner": 24}, {"n_head": 1, "n_inner": 7}],
        }
    )
    network = build(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            spread = 1.0 if "wte" in name or "ln_" in name else parameter[0].numel() ** -0.5
            parameter.copy_(spread * torch.randn(parameter.shape, generator=generator))
    return network


def rows_of(seed, count=3):
    generator = np.random.default_rng(seed)
    ids = [generator.integers(30, size=length) for length in (16, 5, 1)[:count]]
    # The first is padded, as rows of a fixed length are.
    pad = np.zeros(16, np.int64)
    return [
        (np.concatenate([row, pad[len(row) :]])[None], (np.arange(16) < len(row)).astype(np.int64)[None])
        for row in ids
    ]


@torch.no_grad()
def logits(network, rows):
    return torch.cat([network(torch.from_numpy(ids)[:, : mask.sum()]).flatten() for ids, mask in rows])


@pytest.mark.slow
@pytest.mark.parametrize("transform", ["equalize", "rotate", "both", "awq"])
@settings(max_examples=40)
@given(
    kind=st.sampled_from(KINDS),
    heads=st.integers(1, 3),
    head_size=st.sampled_from([4, 6, 8]),
    language_model=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_logits_stay_whatever_the_noise_and_the_head_size(
    transform, kind, heads, head_size, language_model, seed
):
    network, rows = network_of(kind, heads, head_size, language_model, seed), rows_of(seed)
    wanted = logits(network, rows)
    before = network.transformer.h[0].attn.c_proj.weight.detach().clone()
    if transform == "awq":
        awq(network, dict.fromkeys(network.config.matrix_shapes(), Precision(3)), rows, signed=True)
    if transform in ("equalize", "both"):
        equalize(network, rows)
    if transform in ("rotate", "both"):
        rotate(network)
        assert not torch.allclose(network.transformer.h[0].attn.c_proj.weight, before)
    found = logits(network, rows)
    assert float((found - wanted).abs().max()) <= 1e-5 * float(wanted.abs().max().clamp(min=1))


@pytest.mark.parametrize("size", [1, 2, 6, 8, 12, 64])
def test_a_rotation_is_orthogonal_and_the_same_each_time(size):
    turn = rotation(size)
    assert torch.allclose(turn.T @ turn, torch.eye(size, dtype=torch.float64), atol=1e-12)
    assert torch.equal(turn, rotation(size))


@pytest.mark.parametrize("size", [8, 32])
def test_a_hadamard_rotation_spreads_one_channel_over_all(size):
    assert torch.allclose(rotation(size).abs(), torch.full((size, size), size**-0.5, dtype=torch.float64))


def test_equalized_channels_are_as_large_as_the_weights_that_meet_them():
    network, rows = network_of("lowrank", 2, 8, True, 0), rows_of(0)
    equalize(network, rows)
    seen = []
    layer = network.transformer.h[0].mlp.c_fc
    layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].flatten(0, -2)))
    logits(network, rows)
    largest = torch.cat(seen).abs().amax(dim=0)
    assert torch.allclose(largest, layer.weight.abs().amax(dim=0), rtol=1e-4)


@pytest.mark.parametrize(
    ("base", "key", "most"),
    [
        pytest.param("onnx-int8-dynamic", "equalize", 0.05, marks=pytest.mark.slow),
        pytest.param("onnx-int8-dynamic", "rotate", 0.05, marks=pytest.mark.slow),
        pytest.param("onnx-int4-gptq", "rotate", 0.4, marks=pytest.mark.slow),
    ],
)
def test_a_recipe_asks_for_it_and_other_weights_answer_the_same(
    base, key, most, exported, checkpoint, run, tmp_path
):
    text = run("recipes", "show", base).out.replace(f"name: {base}", "name: mine")
    recipe, rows, out = tmp_path / "mine.yaml", tmp_path / "rows.jsonl", tmp_path / "out"
    recipe.write_text(text.replace("quantize:\n", f"quantize:\n  {key}: true\n"), encoding="utf-8")
    generator = np.random.default_rng(0)
    found = [{"input_ids": generator.integers(300, size=40).tolist(), "label": 0} for _ in range(20)]
    rows.write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8")
    options = ("--calibrate", rows) if may_calibrate(load_recipe(str(recipe))) else ()
    done = run("export", checkpoint("pairwise-cls").path, "--recipe", recipe, "-o", out, "--json", *options)
    assert done.code == 0
    artifact = json.loads(done.out)["result"]
    assert artifact["reports"]["parity"]["error"] < most
    assert artifact["model"]["sha256"] != exported("pairwise-cls", base).manifest.model.sha256


def test_equalizing_without_rows_says_what_they_are_for(case, run, changed_recipe, tmp_path):
    recipe = changed_recipe("onnx-int8-dynamic", {"quantize:\n": "quantize:\n  equalize: true\n"})
    done = run("export", case("cls-lowrank-last-padded"), "--recipe", recipe, "-o", tmp_path / "out")
    assert done.code == 3
    assert "recipe mine needs calibration data (equalize)" in done.err
