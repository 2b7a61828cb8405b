"""Every recipe on bundled models: what comes out fits a device, and answers as before."""

import json

import pytest

from nf_edge.core import resources
from nf_edge.core.recipe.recipe import load_recipe

pytestmark = pytest.mark.slow

# Those that prune want another checkpoint, which `nf-edge compress` makes (test_compress.py).
RECIPES = [name for name in resources.names("recipes") if not load_recipe(name).shrinks]
# What a model is checked on: of the text models their own examples, which no data set has.
DATA = {"digits": "digits:test", "sst2": "examples", "shakespeare": "examples"}
# Which device has what a recipe compiles for.
DEVICE = {
    "ethos-u55-128": "corstone-300-fvp",
    "ethos-u55-256": "alif-e8-devkit",
    "ethos-u65-256": "imx93-evk",
    "ethos-u85-256": "corstone-320-fvp",
    "cortex-m-dsp": "rpi-pico-2",
    "cortex-m-mve": "stm32n6570-dk",
    "sm8550": "galaxy-s23",
    "sm8650": "galaxy-s24",
}
PHONE = {"coreml": "iphone-13", "vulkan": "pixel-8"}
PC = {"openvino": "intel-n100-4gb"}
# By weights: the share of rows that may be answered differently, and what perplexity may be multiplied by.
MOST_FLIPS = {"float32": 0.0, "int8": 0.015, "int4": 0.05}
MOST_PERPLEXITY = {"float32": 1.0001, "int8": 1.02, "int4": 1.15}


CPUS = ("xnnpack", "nf_cpu", "onnx_cpu")
# How many rows are checked of what is simulated, and of a language model, which takes them token by token.
SIMULATED_ROWS, LANGUAGE_MODEL_ROWS = 200, 24


def pairs():
    """Every ONNX recipe on all models; every .pte recipe of CPUs on digits, and one on each text model; of
    each other backend, whose files take minutes to make and to simulate, one recipe on digits."""
    by_backend = {load_recipe(recipe).backend: recipe for recipe in reversed(RECIPES)}
    others = [recipe for backend, recipe in by_backend.items() if backend not in CPUS]
    onnx = [recipe for recipe in RECIPES if load_recipe(recipe).backend == "onnx_cpu"]
    pte = [recipe for recipe in RECIPES if load_recipe(recipe).backend in ("xnnpack", "nf_cpu")]
    return [
        *((model, recipe) for model in DATA for recipe in onnx),
        *(("digits", recipe) for recipe in (*pte, *others)),
        ("sst2", "xnnpack-8da8w"),
        ("shakespeare", "nf-int8"),
    ]


@pytest.mark.parametrize(("model", "recipe"), pairs())
def test_every_recipe_takes_bundled_models(model, recipe, exported, run, checkpoint):
    out = exported(model, recipe).path

    def reported(verb, *arguments):
        done = run(verb, out, *arguments, "--json")
        assert done.code == 0, done.err
        return json.loads(done.out)["result"]

    backend = load_recipe(recipe).backend
    device = DEVICE.get(load_recipe(recipe).target, (PHONE | PC).get(backend, "rpi-5"))
    # What the libraries of a phone's accelerators take is known on the phone only.
    known = "fits as far as known" if backend in (*PHONE, "qnn") else "fits"
    assert reported("profile", "--device", device)["verdict"]["outcome"] == known
    data = checkpoint(model).examples_file if DATA[model] == "examples" else DATA[model]
    rows = LANGUAGE_MODEL_ROWS if model == "shakespeare" else SIMULATED_ROWS if backend not in CPUS else None
    limit = ("--limit", rows) if rows else ()
    if model == "sst2":  # 68 examples cannot show a drop of the recipes' 1 point
        limit = ("--max-drop", 2)
    accuracy, quantize = reported("check", "--data", data, *limit), load_recipe(recipe).quantize
    weights = quantize.weights if quantize else "float32"
    if model == "shakespeare":
        before, after = (accuracy[side]["perplexity"] for side in ("reference", "artifact"))
        assert after <= before * MOST_PERPLEXITY[weights]
    else:
        assert accuracy["flips"] <= MOST_FLIPS[weights] * accuracy["questions"]
