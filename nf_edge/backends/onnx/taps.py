"""Read the outputs of layers from an ONNX file.

A free run uses a copy of the file in which the layers' tensors are outputs.  An exact run uses a copy in
which these tensors are also inputs, so that each layer receives float32 values.

The exporter does not name tensors after modules, so values identify them.  A layer's tensor is the first
tensor of the float32 file that equals the layer's output in PyTorch.  Quantizing the file keeps its name.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import torch
from onnx import ModelProto, TensorProto, ValueInfoProto
from onnx.helper import make_tensor_value_info
from torch import Tensor, nn

from nf_edge.backends.onnx.calls import Calls, Feed, one_call
from nf_edge.backends.taps import Lowering, Tapped, Taps, points_of, record
from nf_edge.model import CausalLM
from nf_edge.model.cache import KVCache

# Largest difference, as a share of the largest value, of two float32 computations of the same tensor.
SAME = 1e-4
MADE = "/made"


class TappedFile:
    """An ONNX file whose layers' outputs can be read.

    Args:
        path: the file.
        names: maps the name of each compared tensor (a `Point`) to its name in the file.
        free: the calls of a free run; None: one call takes all tokens.
        exact: the calls of an exact run; None: the same as in a free run.
    """

    through = "the artifact's file in ONNX Runtime, with the layers' tensors as more outputs"

    def __init__(
        self, path: Path, names: Mapping[str, str], free: Calls | None = None, exact: Calls | None = None
    ) -> None:
        model = onnx.load(path)
        made = {output for node in model.graph.node for output in node.output}
        self._names = {point: name for point, name in names.items() if name in made}
        self._free_calls = free or one_call(model)
        self._exact_calls = exact or self._free_calls
        self._free = _session(_with_outputs(model, self._names.values()))
        self._exact = _session(_cut(model, self._names.values()))

    def free(self, inputs: tuple[Tensor, ...]) -> Taps:
        values = [self._run(self._free, feed) for feed in self._free_calls.feeds(inputs)]
        return self._joined(values, inputs)

    def exact(self, inputs: tuple[Tensor, ...], reference: Mapping[str, Tensor]) -> Taps:
        calls, values = self._exact_calls, []
        for index, feed in enumerate(calls.feeds(inputs)):
            free = self._run(self._free, feed)  # its tensors have the shapes that the file needs
            given = {
                name: calls.part(reference[point], index, free[point].shape)
                for point, name in self._names.items()
            }
            values.append(self._run(self._exact, feed | given, MADE))
        return self._joined(values, inputs)

    def _run(self, session: Any, feed: Feed, suffix: str = "") -> Feed:
        values = session.run([f"{name}{suffix}" for name in self._names.values()], feed)
        return dict(zip(self._names, values, strict=True))

    def _joined(self, values: list[Feed], inputs: tuple[Tensor, ...]) -> Taps:
        tokens = inputs[0].shape[1]
        return {
            point: self._free_calls.joined([call[point] for call in values], tokens) for point in self._names
        }


def tensor_names(
    model: ModelProto, calls: Calls, inputs: tuple[Tensor, ...], reference: Mapping[str, Tensor]
) -> dict[str, str]:
    """Map the name of each compared tensor (a `Point`) to its name in a float32 model.

    Tensors that the model does not compute are left out.

    Args:
        inputs: token ids and mask of a row.
        reference: maps the name of each compared tensor to its value for this row.
    """
    order = [output for node in model.graph.node for output in node.output if output]
    session = _session(_with_outputs(model, order))
    tensors = dict(zip(order, session.run(order, next(iter(calls.feeds(inputs)))), strict=True))
    names: dict[str, str] = {}
    for point, expected in reference.items():
        same = (
            name
            for name in order
            if name not in names.values() and _is_same(tensors[name], expected, calls, inputs[0].shape[1])
        )
        if (name := next(same, None)) is not None:
            names[point] = name
    return names


def _is_same(value: Any, expected: Tensor, calls: Calls, tokens: int) -> bool:
    """Whether a tensor has the expected values of the first call.

    Args:
        tokens: the number of tokens of the row; further tokens of a call are padding.
    """
    if not isinstance(value, np.ndarray) or value.dtype != np.float32:
        return False
    if (reference := calls.first(expected, value.shape)) is None:
        return False
    if calls.chunk is not None:
        value, reference = value[..., :tokens, :], reference[..., :tokens, :]
    difference = np.abs(value.ravel() - reference.ravel()).max()
    return bool(difference <= SAME * np.abs(reference).max())


def _with_outputs(model: ModelProto, names: Any) -> ModelProto:
    copy = ModelProto()
    copy.CopyFrom(model)
    have = {output.name for output in copy.graph.output}
    # ONNX Runtime infers the types.
    copy.graph.output.extend(ValueInfoProto(name=name) for name in names if name not in have)
    return copy


def _cut(model: ModelProto, names: Any) -> ModelProto:
    """A copy of a model that reads the tensors `names` from inputs of the same names.

    The computed value of each tensor becomes an output; its name is the tensor's name followed by `MADE`.
    """
    copy = ModelProto()
    copy.CopyFrom(model)
    cut = set(names)
    for node in copy.graph.node:
        node.output[:] = [f"{name}{MADE}" if name in cut else name for name in node.output]
    for output in copy.graph.output:
        if output.name in cut:
            output.name = f"{output.name}{MADE}"
    del copy.graph.value_info[:]
    have = {output.name for output in copy.graph.output}
    made = [f"{name}{MADE}" for name in cut]
    copy.graph.output.extend(ValueInfoProto(name=name) for name in made if name not in have)
    copy.graph.input.extend(make_tensor_value_info(name, TensorProto.FLOAT, None) for name in sorted(cut))
    return copy


def _session(model: ModelProto) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


class _LastToken(nn.Module):
    """A language model that outputs logits of the last token only, as a program with a cache does."""

    def __init__(self, model: CausalLM) -> None:
        super().__init__()
        self.transformer, self.lm_head, self._config = model.transformer, model.lm_head, model.config

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.lm_head(self.transformer(input_ids, cache=KVCache(self._config), output_tokens="last"))


def tapped_file(lowering: Lowering, row: tuple[np.ndarray, np.ndarray]) -> Tapped:
    """The float32 network and the artifact's file, with the outputs of their layers for a comparison.

    Args:
        row: token ids and mask, int64 [1, T].  Both models run this row.  A tensor of the file belongs to the
            layer whose output has the same values.
    """
    plain = lowering.plain
    network = _LastToken(cast(CausalLM, plain)) if lowering.input_shape.cached else plain
    points, inputs = points_of(network), (torch.from_numpy(row[0]), torch.from_numpy(row[1]))
    model = onnx.load(lowering.graph)
    reference = record(network, points, lambda: network(*inputs))
    names = tensor_names(model, one_call(model), inputs, reference)
    return Tapped(
        network,
        points,
        TappedFile(lowering.file, names),
        cached=False,
        opened=lambda file: TappedFile(file, names).exact,
    )
