"""What each backend supports: which recipes it takes, and what it says about the others."""

import itertools

import pytest

from nf_edge.backends import REGISTRY, agreeing_backend
from nf_edge.core.errors import BadInput
from nf_edge.core.recipe.recipe import Recipe

TARGETS = {"ethos_u": "ethos-u85-256", "cortex_m": "cortex-m-dsp", "qnn": "sm8650"}
ONNX_RUNTIME = ("onnx_cpu", "qnn")
# Backends that quantize all linear layers, with int8 or int16 activations of calibrated ranges.
STATIC_ONLY = {"ethos_u": "int8_static", "cortex_m": "int8_static", "qnn": "int16_static"}
WIDTHS, GROUPS = range(2, 9), ("per_channel", "group_16", "group_32", "group_64", "group_128")
ACTIVATIONS = ("none", "int8_dynamic", "int8_static", "int16_static")
LARGE_GROUPS = GROUPS[2:]
# Weights that a backend takes, as bits, granularities and activations.
XNNPACK = [
    ((2, 3, 4), ("per_channel", *LARGE_GROUPS), ["int8_dynamic"]),
    ((5, 6, 7, 8), ["per_channel"], ["int8_dynamic"]),
    ([8], ["per_channel"], ["int8_static"]),
]
LAYERS = {
    "xnnpack": XNNPACK,
    "nf_cpu": XNNPACK,
    "onnx_cpu": [
        (WIDTHS, GROUPS, ["int8_dynamic"]),
        (WIDTHS, GROUPS[1:], ["none"]),
        ([8], ["per_channel"], ["int8_static"]),
    ],
    "openvino": [([4], LARGE_GROUPS, ["none"]), ([8], ["per_channel"], ["none", "int8_static"])],
    "coreml": [([4], ["group_32"], ["none"]), ([8], ["per_channel"], ["none"])],
    "vulkan": [((2, 3, 4), LARGE_GROUPS, ["none"]), ((5, 6, 7, 8), ["per_channel"], ["none"])],
    "ethos_u": [([8], ["per_channel"], ["int8_static", "int16_static"])],
    "cortex_m": [([8], ["per_channel"], ["int8_static"])],
    "qnn": [((4, 8), ["per_channel"], ["int16_static"])],
}
# A width of tables that a backend refuses by name; all others take every width.
NO_TABLE = {"openvino": "int4", "vulkan": "int8", "coreml": "int8", "qnn": "int4"}
# Values of other keys, and the backends that take them.
ALL = set(REGISTRY)
DYNAMIC_LENGTH = {"xnnpack", "nf_cpu", "onnx_cpu", "openvino"}
KEYS = {
    "shapes.batch: dynamic": {"onnx_cpu"},
    "shapes.length: dynamic": DYNAMIC_LENGTH,
    "quantize.kv_cache: int8": {"nf_cpu", "onnx_cpu"},
    "quantize.attention: int8": {"nf_cpu"},
    "quantize.symmetric: false": {"onnx_cpu"},
    "quantize.method: gptq": ALL - {"coreml", "qnn"},
    "quantize.method: awq": ALL - {"coreml", "qnn", *STATIC_ONLY},
    "quantize.equalize: true": ALL,
    "quantize.rotate: true": ALL,
    "quantize: null": ALL - set(STATIC_ONLY),
    "target: null": ALL - set(TARGETS),
    "target: npu": set(),
    "name: nf-mine": {"nf_cpu"},
    "name: mine": ALL - {"nf_cpu"},
    "runtime: executorch": ALL - set(ONNX_RUNTIME),
    "runtime: onnxruntime": set(ONNX_RUNTIME),
    "runtime: torch": set(),
    "rules: lm_head in float32": ALL - {"coreml", *STATIC_ONLY},
    "rules: tokens in float32": ALL - {"coreml"},
}


def combinations(weights):
    return {combination for each in weights for combination in itertools.product(*each)}


def section(backend, width=max):
    """The keys of a `quantize` section that the backend takes."""
    bits, granularities, activations = LAYERS[backend][0]
    return {
        "weights": f"int{width(bits)}",
        "granularity": granularities[0],
        "activations": activations[0],
        "embeddings": "float32",
    }


def recipe(backend, **changes):
    """A recipe that the backend takes, but for the changes."""
    document = {
        "name": "nf-mine" if backend == "nf_cpu" else "mine",
        "description": "of a test",
        "runtime": "onnxruntime" if backend in ONNX_RUNTIME else "executorch",
        "backend": backend,
        "target": TARGETS.get(backend),
        "shapes": {"length": "full"},
        "quantize": section(backend),
    }
    return Recipe.model_validate(document | changes)


def refusal(the_recipe):
    """What the backend says about a recipe; "" where it takes it."""
    try:
        agreeing_backend(the_recipe)
    except BadInput as error:
        return str(error)
    return ""


@pytest.mark.parametrize("backend", REGISTRY)
def test_a_backend_takes_the_weights_it_has_kernels_for_and_no_others(backend):
    taken = set()
    for bits, granularity, activations in itertools.product(WIDTHS, GROUPS, ACTIVATIONS):
        keys = {"weights": f"int{bits}", "granularity": granularity, "activations": activations}
        try:
            mine = recipe(backend, quantize=section(backend) | keys)
        except ValueError:  # no runtime has it
            continue
        if not (message := refusal(mine)):
            taken.add((bits, granularity, activations))
        else:
            assert f"recipe {mine.name}: quantize: backend {backend} has no kernel for int{bits}" in message
            assert "; write " in message
    assert taken == combinations(LAYERS[backend])


@pytest.mark.parametrize("backend", REGISTRY)
def test_a_fix_that_a_message_names_is_one(backend):
    """Each value of the key, with the other keys as they are."""
    for bits, granularity in itertools.product((4, 8), GROUPS):
        keys = {"weights": f"int{bits}", "granularity": granularity, "activations": "int8_dynamic"}
        keys = section(backend) | keys
        message = refusal(recipe(backend, quantize=keys))
        if not message or "weights: " in message:
            continue
        key, _, values = message.rpartition("write ")[2].partition(": ")
        for value in values.replace(" or ", ", ").split(", "):
            try:
                fixed = recipe(backend, quantize=keys | {key: value})
            except ValueError:  # the schema says what else to change
                continue
            assert not refusal(fixed)


@pytest.mark.parametrize("backend", REGISTRY)
def test_a_table_that_a_backend_cannot_look_up_is_refused(backend):
    for dtype in ("float32", "int4", "int8"):
        message = refusal(recipe(backend, quantize=section(backend) | {"embeddings": dtype}))
        refused = NO_TABLE.get(backend) == dtype or (backend == "coreml" and dtype != "float32")
        expected = f"quantize.embeddings: backend {backend} has no {dtype} tables; write float32"
        assert (expected in message) if refused else not message


@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_taken_by_some_backends_and_the_others_name_it(key):
    where, _, text = key.partition(": ")
    value = {"null": None, "true": True, "false": False}.get(text, text)
    taken = set()
    for backend in REGISTRY:
        keys = section(backend)
        outer, _, inner = where.partition(".")
        if where == "rules":
            head = {"modules": "lm_head", "weights": "float32"}
            tokens = {"modules": "transformer.wte", "weights": "float32"}
            changes = {"quantize": keys | {"rules": [head if "lm_head" in text else tokens]}}
        elif inner == "method":
            # GPTQ rounds tables too, where all layers are int8.
            changes = {"quantize": section(backend, min) | {inner: value, "embeddings": "int4"}}
        elif outer == "quantize" and inner:
            changes = {"quantize": keys | {inner: value}}
        elif inner:
            changes = {outer: {"length": "full"} | {inner: value}}
        else:
            changes = {outer: value}
        try:
            message = refusal(recipe(backend, **changes))
        except ValueError:  # AWQ does not round tables
            continue
        message = "\n".join(line for line in message.splitlines() if "quantize.embeddings" not in line)
        if not message:
            taken.add(backend)
        else:
            assert where in message
            assert any(fix in message for fix in ("write ", "leave ", "add ", "needs `runtime: "))
    assert taken == KEYS[key]


@pytest.mark.parametrize(
    ("backend", "rule", "fix"),
    [
        ("xnnpack", {"weights": "int4", "activations": "int8_dynamic"}, "int8 per_channel or float32 layers"),
        (
            "openvino",
            {"weights": "int4", "granularity": "group_32", "activations": "none"},
            "int8 per_channel or float32 layers",
        ),
        ("ethos_u", {"weights": "int8", "activations": "int16_static"}, "leave activations out of the rule"),
    ],
)
def test_layers_beside_static_ones_that_a_backend_does_not_mix_are_refused(backend, rule, fix):
    static = {
        "weights": "int8",
        "granularity": "per_channel",
        "activations": "int8_static",
        "embeddings": "int8",
    }
    message = refusal(recipe(backend, quantize=static | {"rules": [{"modules": "score", **rule}]}))
    assert "quantize.rules.0" in message
    assert fix in message
    if backend != "ethos_u":
        rules = [{"modules": "score", "weights": "float32"}]
        assert not refusal(recipe(backend, quantize=static | {"rules": rules}))


def test_everything_that_is_wrong_is_listed_at_once(run, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "name: mine\ndescription: wrong\nruntime: onnxruntime\nbackend: vulkan\ntarget: npu\n"
        "quantize: {weights: int8, granularity: group_32, activations: int8_dynamic, embeddings: int8,"
        " attention: int8, symmetric: false}\n",
        encoding="utf-8",
    )
    done = run("recipes", "check", path)
    assert done.code == 3
    assert "recipe mine: 7 problems" in done.err
    for message in (
        "runtime: backend vulkan needs `runtime: executorch`",
        "target: backend vulkan has no targets; leave target out",
        "shapes.length: backend vulkan has no dynamic length; write full, or a number",
        "quantize: backend vulkan has no kernel for int8 group_32 with activations int8_dynamic",
        "quantize.embeddings: backend vulkan has no int8 tables; write float32, int2, int3 or int4",
        "quantize.symmetric: backend vulkan supports only symmetric weights; leave symmetric out, or "
        "use backend onnx_cpu",
        "quantize.attention: backend vulkan has no int8 attention; leave attention out, or use "
        "backend nf_cpu",
    ):
        assert message in done.err
