"""Run a network and refuse NaN and Inf, which later comparisons would not detect."""

from functools import partial
from threading import get_ident
from typing import Any

from torch import Tensor, nn

from nf_edge.core.errors import BadInput


class NotFinite(BadInput):
    """A network computes NaN or Inf, although all of its weights are finite."""


def finite(network: nn.Module, *args: Tensor | None, rows: str = "", first: int = 0, **kwargs: Any) -> Tensor:
    """Run a network and return its output; refuse NaN and Inf in the output of any module.

    Hidden states are checked too, because a quantizer cannot round NaN or Inf, even if a later ReLU or
    softmax removes it.

    Args:
        args, kwargs: the arguments of the network; the first is [B, …].
        rows: the name of the data for the message; "" if the input does not come from rows of data.
        first: index of the batch's first row in the data, from 0.

    Raises:
        NotFinite: the output of a module is not finite; the message names the first such module and the row.
    """
    size = len(args[0]) if args[0] is not None else 0
    thread = get_ident()  # another thread may run the same network

    def check(module: nn.Module, inputs: tuple[Any, ...], output: Any, name: str) -> None:
        if get_ident() != thread or _is_finite(output) or not all(map(_is_finite, inputs)):
            # If a module's input has NaN, an earlier module caused it.
            return
        row = first + 1 + (_first_row(output) if len(output) == size else 0)
        place = f" on row {row} of {rows}" if rows else ""
        raise NotFinite(
            f"the output of {name or 'the network'} is not finite{place}",
            where=getattr(network, "origin", None),
            fix="correct or retrain the checkpoint, whose weights are so large that float32 overflows",
        )

    handles = [
        module.register_forward_hook(partial(check, name=name)) for name, module in network.named_modules()
    ]
    try:
        output: Tensor = network(*args, **kwargs)
    finally:
        for handle in handles:
            handle.remove()
    return output


def _is_finite(value: Any) -> bool:
    return not isinstance(value, Tensor) or bool(value.isfinite().all())


def _first_row(output: Tensor) -> int:
    wrong = ~output.detach().isfinite().reshape(len(output), -1).all(dim=1)
    return int(wrong.int().argmax())
