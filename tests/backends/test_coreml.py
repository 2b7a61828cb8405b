"""Core ML: the Neural Engine's form of the network, weights compressed by coremltools, and a stand-in."""

import re
from pathlib import Path

import pytest
import torch
from conftest import backend_missing

from nf_edge.backends import get_backend
from nf_edge.backends.coreml.package import settled
from nf_edge.backends.executorch.program_file import read_program

pytestmark = pytest.mark.skipif(bool(backend_missing("coreml-fp16")), reason=backend_missing("coreml-fp16"))


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
