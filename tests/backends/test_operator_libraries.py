"""Every program calls only operators that the libraries have which an application is told to link."""

import pytest
import torch

import nf_edge.backends
from nf_edge.backends.executorch.operator_libraries import (
    DELEGATES,
    OPTIMIZED_ALONE,
    provided,
    require_operators,
)
from nf_edge.core.errors import BadInput
from nf_edge.core.quiet import quiet_libraries, quiet_stderr
from nf_edge.core.recipe.recipe import load_recipe
from nf_edge.pipeline.lowering import Job, lower


@pytest.fixture(scope="module")
def of_this_runtime():
    """The operators of the runtime in Python: its optimized kernels, and the quantized ones."""
    with quiet_libraries(), quiet_stderr():
        import executorch.kernels.quantized  # noqa: F401
        from executorch.extension.pybindings.portable_lib import _get_operator_names

        return {name for name in _get_operator_names() if not name.startswith("nf::")}


def test_libraries_have_what_the_runtime_that_is_built_of_them_has(of_this_runtime):
    """Operators that the lists and the runtime know differently would pass, or fail, wrongly."""
    assert provided(["optimized_native_cpu_ops_lib", "quantized_ops_lib"]) == of_this_runtime
    assert not OPTIMIZED_ALONE & provided(["portable_ops_lib"])


def test_every_library_that_a_backend_names_is_known():
    """And so is what its programs are given to."""
    for name, backend in nf_edge.backends.all_backends().items():
        if backend.runtime == "executorch":
            has = provided(backend.operator_libraries)
            assert ("delegate " in str(has)) == (name != "cortex_m")
    assert "nf::symmetric_attention.out" in provided(["nf_executorch"])


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """A program with a linear layer that is not taken apart, and a sum."""
    from executorch.exir import EdgeCompileConfig, to_edge

    class Scored(torch.nn.Linear):
        def forward(self, x):
            return super().forward(x) + 1

    with quiet_libraries():
        exported = torch.export.export(Scored(4, 3).eval(), (torch.ones(1, 4),))
        config = EdgeCompileConfig(preserve_ops=[torch.ops.aten.linear.default])
        edge = to_edge(exported, compile_config=config)
        path = tmp_path_factory.mktemp("program") / "model.pte"
        path.write_bytes(edge.to_executorch().buffer)
    return path


def test_a_program_that_calls_an_operator_of_no_library_is_refused_by_its_name(program):
    require_operators(program, ["optimized_native_cpu_ops_lib"])
    with pytest.raises(BadInput, match=r"calls aten::linear\.out, which neither ExecuTorch's runtime nor"):
        require_operators(program, ["portable_ops_lib", "quantized_ops_lib"])
    with pytest.raises(BadInput, match=r"aten::add\.out, aten::linear\.out"):
        require_operators(program, ["cortex_m_ops_lib", *DELEGATES])


@pytest.mark.slow
def test_no_export_writes_a_program_without_its_libraries(checkpoint, tmp_path, monkeypatch):
    """Were XNNPACK's delegate not named, the file would be refused before anything is placed."""
    job = Job.of(checkpoint("uneven-cls"), load_recipe("xnnpack-fp32"), None)
    monkeypatch.setattr(type(job.backend), "operator_libraries", ("portable_ops_lib",))
    with pytest.raises(BadInput, match="calls delegate XnnpackBackend"):
        lower(job, tmp_path / "model.pte")
