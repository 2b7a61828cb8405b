"""What every backend promises, whatever it lowers to."""

import re
from html import unescape

import numpy as np
import pytest
import torch
from conftest import NOISES, RANDOM_LENGTH, TASKS, backend_missing, even_rows, random_rows
from forms import FORMS

import nf_edge.backends
from nf_edge.backends import REGISTRY, all_backends, get_backend
from nf_edge.core.errors import BadInput
from nf_edge.core.recipe.recipe import bundled_recipes, load_recipe
from nf_edge.model import Decoder

# By backend: a model and a recipe, and how far logits may be from PyTorch's, as a share of the largest.
EXPORTS = {
    "xnnpack": ("wide-cls", "xnnpack-fp32", 1e-4),
    "nf_cpu": ("wide-cls", "nf-fp32", 1e-4),
    "onnx_cpu": ("wide-cls", "onnx-fp32", 1e-4),
    "openvino": ("wide-cls", "openvino-int8-weights", 0.05),
    "coreml": ("wide-cls", "coreml-int8", 0.05),
    "vulkan": ("wide-cls", "vulkan-int8", 0.05),
    "ethos_u": ("uneven-cls", "ethos-u85-256-int8", 0.05),
    "cortex_m": ("uneven-cls", "cortex-m-int8", 0.05),
    "qnn": ("uneven-cls", "qnn-sm8650-a16w8", 0.12),
}
# Files of more models, which other tests make, too.
MORE_FILES = [
    ("vulkan", "wide-cls", "vulkan-fp16"),
    ("vulkan", "wide-lm", "vulkan-int4"),
    ("openvino", "wide-lm", "openvino-fp32"),
    ("openvino", "wide-cls", "openvino-int8"),
    ("openvino", "wide-lm", "openvino-int4"),
]
# How far the prediction of a file and its weights may be from the plan, as a share, if not 0.3.
NEAR = {"vulkan": 0.03, "openvino": 0.1}
# Accounts of the process that are predicted as the file is planned; test_memory.py has those of the CPUs.
ACCOUNTS = {
    **dict.fromkeys(("ethos_u", "cortex_m", "qnn"), ("mapped", "loaded", "arenas", "workspace")),
    "openvino": ("loaded",),
    "coreml": ("mapped",),
    "vulkan": ("mapped",),
}
# What `inspect` prints about files that do not run on a CPU.
INSPECTED = {
    "ethos_u": ("delegate EthosUBackend", "Cycles by operator"),
    "cortex_m": (
        r"cortex_m::softmax\.out",
        r"of \d+ operators, 99\.\d+ % of multiply-accumulates, run in",
        # The score, with its share of the instructions.
        r"mm 1 \d+ 0\.\d %",
    ),
    "qnn": (
        "HTP::LayerNormalization",
        r"all \d+ operators, 100 % of multiply-accumulates, run in the HTP",
    ),
    "coreml": ("delegate CoreMLBackend",),
    "vulkan": ("delegate VulkanBackend",),
}
# A device whose accelerator is another one than the recipe's.
OTHER_DEVICE = {"ethos_u": "imx93-evk", "cortex_m": "alif-e8-devkit", "qnn": "galaxy-s23"}


@pytest.fixture
def artifact(exported):
    """The artifact of a backend."""
    return lambda name: exported(*EXPORTS[name][:2])


def test_every_backend_keeps_the_promises_below():
    assert EXPORTS.keys() == REGISTRY.keys()
    assert {recipe.backend for recipe in bundled_recipes()} == REGISTRY.keys()
    for name, backend in all_backends().items():
        assert (backend.name, bool(backend.support.layers)) == (name, True)


each_backend = pytest.mark.parametrize("name", EXPORTS)
slow = pytest.mark.slow


@slow
@pytest.mark.parametrize(
    ("name", "model", "recipe", "most"),
    [(name, *each) for name, each in EXPORTS.items()],
)
@torch.no_grad()
def test_its_file_answers_as_pytorch_does_padded_rows_among_them(
    name, model, recipe, most, exported, checkpoint
):
    artifact, network = exported(model, recipe), checkpoint(model).model()
    session = get_backend(name).load(artifact.model_file, artifact.manifest.interface.input_shape)
    assert not isinstance(session, Decoder)
    lengths, largest, errors = set(), 0.0, []
    for row in even_rows(network.config, 64, seed=3):
        ids, mask = np.zeros((2, 1, 64), dtype=np.int64)
        ids[0, : len(row.input_ids)], mask[0, : len(row.input_ids)] = row.input_ids, 1
        lengths.add(len(row.input_ids))
        expected = network(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()
        errors.append(np.abs(session.run(ids, mask) - expected).max())
        largest = max(largest, np.abs(expected).max())
    assert np.isfinite(errors).all()
    assert max(errors) <= most * largest
    assert len(lengths) > 1


@slow
@each_backend
def test_its_report_adds_up(name, artifact):
    """Operators are delegated or left for a reason, modules are listed once, parts sum up to the file."""
    manifest, model = artifact(name).manifest, artifact(name).model_file
    left = manifest.coverage["left"]
    assert manifest.coverage["delegated"] > sum(entry["count"] for entry in left)
    assert all(entry["reason"] for entry in left)
    assert not {entry["operator"] for entry in left} & get_backend(name).covers
    modules = [report["module"] for report in manifest.quantization]
    assert len(modules) == len(set(modules))
    assert {"transformer.wte", "transformer.h.0.mlp.c_fc", "transformer.ln_f", "score"} <= set(modules)
    memory = manifest.reports["memory"]
    *parts, total = (part["planned"]["value"] for part in memory["file"])
    assert sum(parts) == total == model.stat().st_size
    assert tuple(sorted(get_backend(name).operators(model))) == tuple(manifest.requires.operators)


@slow
@pytest.mark.parametrize(
    ("name", "model", "recipe"), [*((name, *each[:2]) for name, each in EXPORTS.items()), *MORE_FILES]
)
def test_what_it_plans_and_predicts_agree(name, model, recipe, exported):
    artifact, backend, near = exported(model, recipe), get_backend(name), NEAR.get(name, 0.3)
    config, shape = artifact.manifest.config, artifact.manifest.interface.input_shape
    planned = backend.plan(artifact.model_file, config, shape)
    predicted = backend.predict(config, shape, artifact.manifest.recipe)
    assert predicted.file == pytest.approx(planned.file, rel=near)
    assert predicted.weights + predicted.embeddings == pytest.approx(
        planned.weights + planned.embeddings, rel=near
    )
    assert predicted.cache == planned.cache
    assert (planned.cache > 0) == shape.cached
    for part in ACCOUNTS.get(name, ()):
        if account := getattr(planned, part):
            assert getattr(predicted, part) == pytest.approx(account, rel=near), part


@slow
@each_backend
def test_its_run_guide_fits_what_runs_here(name, artifact):
    """No Python that cannot run, and no name in braces left."""
    guide = (artifact(name).path / "RUN.md").read_text(encoding="utf-8")
    backend, file = get_backend(name), artifact(name).model_file.name
    assert f"Needs {backend.runtime_title} " in guide
    assert f"`{file}`" in guide or f'"{file}"' in guide
    assert re.search(r"```(python|cpp)\n", guide)
    # The HTP simulator is the one reference executor that applications call as they do the device's.
    assert ("```python" in guide) == (not backend.reference_executor or name == "qnn")
    assert not backend.reference_executor or backend.reference_executor in guide or "simulat" in guide
    assert not re.search(r"\{(file|ids|print|answer|target|libraries|registered)\}", guide)


@slow
@each_backend
def test_a_file_that_nothing_here_runs_in_its_own_time_is_never_timed(name, artifact, run):
    backend, path = get_backend(name), artifact(name).path
    if not backend.reference_executor:
        return
    inspected = run("inspect", path)
    assert inspected.code == 0
    printed = " ".join(inspected.out.split())
    assert f"{backend.reference_executor}: loads" in printed
    for pattern in INSPECTED[name]:
        assert re.search(pattern, printed), pattern
    page = unescape((path / "report.html").read_text(encoding="utf-8"))
    assert backend.reference_executor in page
    timed = run("bench", path)
    assert (timed.code, "cannot be timed here" in timed.err) == (3, True)


@slow
@each_backend
def test_without_the_file_beside_it_nothing_answers_for_it(name, artifact, tmp_path):
    backend, model = get_backend(name), artifact(name).model_file
    if not backend.companions or name == "qnn":  # what QNN loads is the context binary itself
        return
    alone = tmp_path / model.name
    alone.write_bytes(model.read_bytes())
    with pytest.raises(BadInput, match=f"is missing.*{model.name}"):
        backend.session(alone)


@pytest.mark.parametrize("name", [name for name in EXPORTS if REGISTRY[name].extra])
def test_without_its_packages_the_message_has_the_command_that_installs_them(name, run, monkeypatch):
    package = REGISTRY[name].packages[-1]
    monkeypatch.setattr(
        nf_edge.backends, "installed_version", lambda other: None if other == package else "1"
    )
    done = run("export", "digits", "--recipe", EXPORTS[name][1], "--dry-run")
    assert done.code == 6
    assert f"backend {name} needs packages that are not installed: {package}" in done.err
    assert f"pip install 'nf-edge[{REGISTRY[name].extra}]'" in done.err


@pytest.mark.parametrize("name", OTHER_DEVICE)
def test_a_device_with_another_accelerator_is_refused(name, run):
    recipe = EXPORTS[name][1]
    if missing := backend_missing(recipe):
        pytest.skip(missing)
    done = run("export", "digits", "--recipe", recipe, "--device", OTHER_DEVICE[name], "--dry-run")
    assert done.code == 3
    assert load_recipe(recipe).target in done.err


# The HTP has linear layers whose weights the changed network does not share.
CHANGED_NETWORK_ANSWERS = ("Ethos-U", "CMSIS-NN")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("task", TASKS)
@torch.no_grad()
def test_a_form_answers_as_the_network_does(task, noise, form, random_network):
    """Whatever the padding."""
    reference, changed = random_network(task, noise), random_network(task, noise)
    change, make_program = FORMS[form]
    change(changed)
    program = make_program(changed, RANDOM_LENGTH).eval()
    answering = [program, changed] if form in CHANGED_NETWORK_ANSWERS else [program]
    for ids, mask, real in random_rows(reference.config):
        expected, *actual = (model(ids, mask) for model in (reference, *answering))
        if task == "language model":
            expected, *actual = (logits[:, :real] for logits in (expected, *actual))
        for logits in actual:
            assert (logits - expected).abs().max() <= 1e-5 * expected.abs().max()
