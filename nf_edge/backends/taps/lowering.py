"""The float32 network and the quantized model whose layers are compared."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from nf_edge.backends.input_shape import InputShape
from nf_edge.backends.taps.points import FileTaps, Point, TapRunner, Taps, points_of, record
from nf_edge.backends.taps.programs import runner_of
from nf_edge.model import NoiseFormer


@dataclass(frozen=True)
class Lowering:
    """The programs and files of a lowering.

    Attributes:
        plain: the network before quantization, in float32 and plain PyTorch operators.
        before: the program in the backend's form, before quantization.
        program: the program that was lowered; it is quantized unless the backend quantizes the file.
        graph: the lowered file, before the backend quantized it.
        again: the file from lowering the checkpoint a second time.
        file: the artifact's file.
    """

    plain: NoiseFormer
    before: nn.Module
    program: nn.Module
    graph: Path
    again: Path
    file: Path
    input_shape: InputShape


# The outputs of a file's layers for token ids and mask, and the float32 outputs, which a file may take as the
# layers' inputs.
Read = Callable[[tuple[Tensor, ...], Mapping[str, Tensor]], Taps]


@dataclass(frozen=True)
class Tapped:
    """A float32 network and a quantized model that is compared with it.

    Attributes:
        points: the tensors of both that are compared.
        runner: runs the quantized model.
        cached: whether the network is a program with a cache.
        file: the artifact's file, which is compared in addition to the quantized model.  None if the file is
            the quantized model, or if it does not show the layers' outputs.
        opened: opens a file of this lowering to read the layers' outputs; None if no file shows them.
    """

    network: nn.Module
    points: list[Point]
    runner: TapRunner
    cached: bool
    file: FileTaps | None = None
    opened: Callable[[Path], Read] | None = None

    def called_with(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The arguments of the network for token ids and mask."""
        return called_with(inputs, self.cached)

    def reference(self, inputs: tuple[Tensor, ...]) -> Taps:
        """The float32 values of all points for token ids and mask, int64 [1, T] each."""
        return record(self.network, self.points, lambda: self.network(*self.called_with(inputs)))


def called_with(inputs: tuple[Tensor, ...], cached: bool) -> tuple[Tensor, ...]:
    """The arguments of a program: token ids and mask; with a cache, the ids and their start position, 0."""
    return (inputs[0], torch.zeros(1, dtype=torch.int64)) if cached else inputs


def tapped_program(lowering: Lowering) -> Tapped:
    """The program before quantization and the quantized one, both in PyTorch, to compare their layers."""
    points, cached = points_of(lowering.before), lowering.input_shape.cached
    runner = runner_of(lowering.program, points, lambda inputs: called_with(inputs, cached))
    return Tapped(lowering.before.eval(), points, runner, cached)
