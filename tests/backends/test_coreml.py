"""Core ML: the Neural Engine's form of the network, weights compressed by coremltools, and a stand-in."""

import re
from pathlib import Path

import pytest
import torch
from conftest import NOISES, RANDOM_LENGTH, TASKS, backend_missing, random_rows

from nf_edge.backends import get_backend
from nf_edge.backends.coreml.form import EngineProgram
from nf_edge.backends.coreml.package import settled
from nf_edge.backends.executorch.program_file import read_program

pytestmark = pytest.mark.skipif(bool(backend_missing("coreml-fp16")), reason=backend_missing("coreml-fp16"))


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("task", TASKS)
@torch.no_grad()
def test_the_form_for_the_neural_engine_answers_as_the_network_does(task, noise, random_network):
    """Whatever the padding."""
    reference, changed = random_network(task, noise), random_network(task, noise)
    for block in changed.transformer.blocks:
        block.attn.fold_scale()
    program = EngineProgram(changed, RANDOM_LENGTH).eval()
    for ids, mask, real in random_rows(reference.config):
        wanted, found = reference(ids, mask), program(ids, mask)
        if task == "language model":
            wanted, found = wanted[:, :real], found[:, :real]
        assert (found - wanted).abs().max() <= 1e-5 * wanted.abs().max()


@pytest.mark.slow
def test_the_file_has_the_weights_that_its_stand_in_is_asked_with(exported, checkpoint, tmp_path):
    """Codes and scales of int8 as coremltools wrote them, beside the values that nf-edge rounded."""
    import coremltools
    from executorch.backends.apple.coreml import executorchcoreml

    artifact = exported("wide-cls", "coreml-int8")
    backend, model = get_backend("coreml"), checkpoint("wide-cls").model()
    backend.specialise(model, artifact.manifest.recipe)
    rounded = backend.round_weights(model, artifact.manifest.recipe)
    (delegate,) = read_program(
        artifact.model_file, artifact.model_file.read_bytes()
    ).program.backend_delegate_data
    executorchcoreml.unflatten_directory_contents(bytes(delegate.data), str(tmp_path))
    (package,) = Path(tmp_path).rglob("model.mlpackage")
    written = coremltools.models.MLModel(str(package), skip_model_load=True)
    found = coremltools.optimize.coreml.get_weights_metadata(
        coremltools.optimize.coreml.decompress_weights(written), weight_threshold=2048
    )
    matrices = [torch.from_numpy(weight.val).float().squeeze() for weight in found.values()]
    for name, weight in rounded.items():
        if weight.numel() > 2048:
            off = [(other - weight).abs().max() for other in matrices if other.shape == weight.shape]
            assert min(off) <= 2e-3 * weight.abs().max(), name


@pytest.mark.slow
def test_the_model_has_a_name_of_its_content_and_no_day(exported):
    """A device keeps under that name what it compiled of a model: another one must have another."""
    names = []
    for recipe in ("coreml-int8", "coreml-fp16"):
        file = exported("wide-cls", recipe).model_file
        (delegate,) = read_program(file, file.read_bytes()).program.backend_delegate_data
        blob = bytes(delegate.data)
        assert settled(blob) == blob
        assert b"conversion_date" not in blob
        names += re.findall(rb'"identifier": "executorch_([0-9a-f-]{36})"', blob)
    assert len(set(names)) == 2


@pytest.mark.slow
def test_an_export_says_what_answered_instead_of_the_file(exported, run):
    path = exported("wide-cls", "coreml-fp16").path
    manifest = exported("wide-cls", "coreml-fp16").manifest
    assert manifest.coverage["left"] == []
    inspected = run("inspect", path)
    assert "a stand-in for Core ML, which does not run here" in inspected.out
    assert run("bench", path).code == 3
    guide = (path / "RUN.md").read_text(encoding="utf-8")
    assert "a stand-in for Core ML, which does not run here" in guide
    assert "```python" not in guide
    page = (path / "report.html").read_text(encoding="utf-8")
    assert "its answers are those of a stand-in for Core ML" in page


@pytest.mark.slow
def test_without_the_stand_in_nothing_answers(exported, tmp_path):
    model = exported("wide-cls", "coreml-fp16").model_file
    (tmp_path / model.name).write_bytes(model.read_bytes())
    with pytest.raises(Exception, match="nothing on this machine can run model"):
        get_backend("coreml").session(tmp_path / model.name)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"embeddings: float32": "embeddings: int8"}, "coremltools leaves tables in float16; write float32"),
        ({"activations: none": "activations: int8_dynamic"}, "quantize: Core ML is given weights of int8"),
        ({"length: full": "length: dynamic"}, "the Neural Engine takes one length; write full"),
    ],
)
def test_what_core_ml_is_not_given_says_what_to_change(changes, message, run, changed_recipe):
    done = run("recipes", "check", changed_recipe("coreml-int8", changes))
    assert done.code == 3
    assert message in done.err
