"""ONNX files are read and written without their weights in memory."""

import numpy as np
import onnx
import pytest
from onnx.numpy_helper import to_array

from nf_edge.backends.onnx.file import is_external, read, save, save_with_data, values_of

MADE = [("digits", "onnx-fp32"), ("digits", "onnx-int8-dynamic"), ("shakespeare", "onnx-int4")]


@pytest.fixture(params=MADE, ids="-".join)
def file(request, exported):
    return exported(*request.param).model_file


def test_a_file_that_is_read_and_saved_has_the_same_bytes(file, tmp_path):
    save(read(file), tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").read_bytes() == file.read_bytes()


def test_large_weights_stay_in_the_file_and_have_the_same_values(file):
    model = read(file)
    expected = {tensor.name: to_array(tensor) for tensor in onnx.load(file).graph.initializer}
    assert expected.keys() == {tensor.name for tensor in model.graph.initializer}
    for tensor in model.graph.initializer:
        np.testing.assert_array_equal(values_of(tensor), expected[tensor.name])
    assert model.ByteSize() < file.stat().st_size / 2
    assert any(is_external(tensor) for tensor in model.graph.initializer)


def test_onnxruntime_reads_weights_from_a_second_file(exported, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    artifact = exported("digits", "onnx-fp32")
    save_with_data(read(artifact.model_file), tmp_path / "model.onnx", {})
    row = {name: np.ones((1, 5), np.int64) for name in ("input_ids", "attention_mask")}
    both = [
        onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, row)[0]
        for path in (artifact.model_file, tmp_path / "model.onnx")
    ]
    np.testing.assert_array_equal(*both)


@pytest.mark.parametrize("length", [1, 10, 1000])
def test_a_file_that_is_cut_short_is_refused(exported, tmp_path, length):
    content = exported("digits", "onnx-fp32").model_file.read_bytes()
    (tmp_path / "model.onnx").write_bytes(content[:length])
    with pytest.raises(ValueError, match=r"."):
        read(tmp_path / "model.onnx")
