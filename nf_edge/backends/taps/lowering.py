"""A lowering, and the float32 network and quantized model whose layers are compared."""

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
    """The programs and files of a lowering, whose layers are compared.

    Attributes:
        plain: the float32 network in plain PyTorch operators.
        before: the backend's program before any quantization.
        program: the program that was lowered; quantized if the backend quantizes before lowering.
        graph: the model file before the backend quantized it.
        again: the model file from lowering the checkpoint again.
        file: the artifact's model file.
    """

    plain: NoiseFormer
    before: nn.Module
    program: nn.Module
    graph: Path
    again: Path
    file: Path
    input_shape: InputShape


# A function that runs a file and returns its layers' outputs.  Its arguments are (token ids, mask), and the
# float32 outputs, which some files take as the layers' inputs.
Read = Callable[[tuple[Tensor, ...], Mapping[str, Tensor]], Taps]


@dataclass(frozen=True)
class Tapped:
    """A float32 network, and the quantized model that is compared with it layer by layer.

    Attributes:
        points: the tensors to compare.
        runner: runs the quantized model.
        cached: whether the network has a cache.
        file: the artifact's file, to be compared too.  None if the file is the quantized model, or if it does
            not show the layers' outputs.
        opened: opens a file of this lowering to read its layers' outputs; None if files do not show them.
    """

    network: nn.Module
    points: list[Point]
    runner: TapRunner
    cached: bool
    file: FileTaps | None = None
    opened: Callable[[Path], Read] | None = None

    def called_with(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The arguments of the network, from token ids and mask."""
        return called_with(inputs, self.cached)

    def reference(self, inputs: tuple[Tensor, ...]) -> Taps:
        """Run the float32 network on token ids and mask, int64 [1, T] each; the values of all points, by
        name.
        """
        return record(self.network, self.points, lambda: self.network(*self.called_with(inputs)))


def called_with(inputs: tuple[Tensor, ...], cached: bool) -> tuple[Tensor, ...]:
    """The arguments of a program, from token ids and mask: with a cache, the ids and the start position 0."""
    return (inputs[0], torch.zeros(1, dtype=torch.int64)) if cached else inputs


def tapped_program(lowering: Lowering) -> Tapped:
    """The programs before and after quantization, both in PyTorch, ready to compare their layers."""
    points, cached = points_of(lowering.before), lowering.input_shape.cached
    runner = runner_of(lowering.program, points, lambda inputs: called_with(inputs, cached))
    return Tapped(lowering.before.eval(), points, runner, cached)
