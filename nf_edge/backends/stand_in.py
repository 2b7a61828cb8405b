"""Backends whose files nothing on this machine runs: what can be asked instead is a stand-in, the very graph
that was lowered, with its rounded weights, as ExecuTorch's own kernels compute it in float32.

It tells what rewriting and rounding cost, and nothing of the device's arithmetic.
"""

from pathlib import Path

from torch import nn

from nf_edge.backends.base import Bounds, CacheDtype, LoweringReport, Session
from nf_edge.backends.capture import capture
from nf_edge.backends.executorch import ExecutorchBackend
from nf_edge.errors import BadInput
from nf_edge.model import Decoder, ModelConfig
from nf_edge.quiet import quiet_libraries
from nf_edge.recipe import Recipe

STAND_IN = "stand-in.pte"


class StandInBackend(ExecutorchBackend):
    """One of those; without a cache, so that a language model gives the logits of all tokens."""

    process_bytes = None
    elsewhere = (
        "Nothing on the machine that made it runs `{file}`: it is for a device with what it was compiled "
        "for. What\n`nf-edge check` asks there is {simulated}. A device needs `{file}` alone.\n"
    )

    def cache_dtype(self, config: ModelConfig, bounds: Bounds, recipe: Recipe) -> CacheDtype | None:
        if bounds.cached:
            raise BadInput(
                f"backend {self.name} has no cache, so a language model gives the logits of all tokens",
                where=f"recipe {recipe.name}",
                fix="write logits: all",
            )
        return None

    def lower(
        self, program: nn.Module, config: ModelConfig, bounds: Bounds, recipe: Recipe, path: Path
    ) -> LoweringReport:
        report = super().lower(program, config, bounds, recipe, path)
        with quiet_libraries():
            from executorch.exir import to_edge_transform_and_lower

            stand_in = to_edge_transform_and_lower(capture(program, bounds)).to_executorch()
            with path.with_name(STAND_IN).open("wb") as file:
                stand_in.write_to_file(file)
        return report

    def session(self, path: Path, threads: int | None = None) -> Session:
        stand_in = path.with_name(STAND_IN)
        if not stand_in.is_file():
            raise BadInput(
                f"is missing; nothing on this machine can run {path.name} itself",
                where=stand_in,
                fix="export it again",
            )
        return super().session(stand_in, threads)

    def decoder(self, path: Path, capacity: int, threads: int | None = None) -> Decoder:
        raise TypeError("no file of this backend has a cache")


def stand_in_for(library: str) -> str:
    """How a stand-in is called where its answers are told."""
    return f"a stand-in for {library}: the same graph and rounded weights, in float32 on this CPU"
