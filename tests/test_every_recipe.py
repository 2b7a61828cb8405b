"""Every recipe on every bundled model, by the command that a user gives: it fits, and answers as before."""

import json

import pytest
from conftest import backend_missing, tools_missing

from nf_edge import resources
from nf_edge.recipe import load_recipe

pytestmark = pytest.mark.slow

# Those that prune want another checkpoint, which `nf-edge compress` makes (test_compress.py).
RECIPES = [name for name in resources.names("recipes") if not load_recipe(name).shrinks]
# What a model is checked on: of the text models their own examples, which no data set has.
DATA = {"digits": "digits:test", "sst2": "examples", "shakespeare": "examples"}
# Which device has the NPU that a recipe compiles for.
DEVICE = {
    "ethos-u55-128": "corstone-300-fvp",
    "ethos-u55-256": "alif-e8-devkit",
    "ethos-u65-256": "imx93-evk",
    "ethos-u85-256": "corstone-320-fvp",
}
PHONE = {"coreml": "iphone-13", "vulkan": "pixel-8"}
# By weights: the share of rows that may be answered differently, and what perplexity may be multiplied by.
MOST_FLIPS = {"float32": 0.0, "int8": 0.015, "int4": 0.05}
MOST_PERPLEXITY = {"float32": 1.0001, "int8": 1.02, "int4": 1.15}


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("model", DATA)
def test_every_recipe_takes_every_bundled_model(model, recipe, run, checkpoint, tmp_path):
    if not load_recipe(recipe).is_stock and (missing := tools_missing()):
        pytest.skip(missing)
    if missing := backend_missing(recipe):
        pytest.skip(missing)
    data = checkpoint(model).examples_file if DATA[model] == "examples" else DATA[model]
    device = DEVICE.get(load_recipe(recipe).target, PHONE.get(load_recipe(recipe).backend, "rpi-5"))
    # No bundled device is a PC.
    held = () if load_recipe(recipe).backend == "openvino" else ("--device", device)
    how = ("--recipe", recipe, *held, "--data", data)
    done = run("export", model, *how, "-o", tmp_path / "out", "--json")
    assert done.code == 0, done.err
    reports = json.loads(done.out)["result"]["reports"]
    if held:
        assert reports["memory"]["verdict"]["outcome"] == "fits"
    accuracy, quantize = reports["accuracy"], load_recipe(recipe).quantize
    weights = quantize.weights if quantize else "float32"
    if model == "shakespeare":
        before, after = (accuracy[side]["perplexity"] for side in ("reference", "artifact"))
        assert after <= before * MOST_PERPLEXITY[weights]
    else:
        assert accuracy["flips"] <= MOST_FLIPS[weights] * accuracy["questions"]
