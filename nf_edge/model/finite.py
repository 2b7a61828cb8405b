"""Answers of a network that are numbers: NaN passes most comparisons, so none may be compared with it."""

from functools import partial
from threading import get_ident
from typing import Any

from torch import Tensor, nn

from nf_edge.core.errors import BadInput


class NotFinite(BadInput):
    """A network gives NaN or Inf, although all of its weights are numbers."""


def finite(network: nn.Module, *given: Tensor | None, rows: str = "", first: int = 0, **named: Any) -> Tensor:
    """What a network gives, once no module of it has given NaN or Inf.

    Hidden states count as well: one that a ReLU or a softmax happens to swallow is still one that no
    quantizer can round.

    Args:
        given, named: the network's own arguments; the first is [B, …].
        rows: the data that they are of, for the message; "" where that has no rows.
        first: place (from 0) in that data of the first of them.

    Raises:
        NotFinite: names the module where it begins, and the row.
    """
    size = len(given[0]) if given[0] is not None else 0
    thread = get_ident()  # another thread may run the same network

    def check(module: nn.Module, inputs: tuple[Any, ...], output: Any, name: str) -> None:
        if get_ident() != thread or _is_finite(output) or not all(map(_is_finite, inputs)):
            # What was given NaN is not where it begins.
            return
        row = first + 1 + (_first_row(output) if len(output) == size else 0)
        raise NotFinite(
            f"{name or 'the network'}: its output is not finite{f' on row {row} of {rows}' if rows else ''}",
            where=getattr(network, "origin", None),
            fix="weights this large overflow float32: mend or retrain the checkpoint",
        )

    handles = [
        module.register_forward_hook(partial(check, name=name)) for name, module in network.named_modules()
    ]
    try:
        output: Tensor = network(*given, **named)
    finally:
        for handle in handles:
            handle.remove()
    return output


def _is_finite(value: Any) -> bool:
    return not isinstance(value, Tensor) or bool(value.isfinite().all())


def _first_row(output: Tensor) -> int:
    wrong = ~output.detach().isfinite().reshape(len(output), -1).all(dim=1)
    return int(wrong.int().argmax())
