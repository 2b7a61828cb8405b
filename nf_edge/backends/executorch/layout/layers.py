"""The layer of each call of a program.

A file has no names of layers, but each block has two layer norms, and no delegate runs them.  So the number
of layer norms on the way from the inputs to an operator gives its layer.
"""

from collections.abc import Collection, Sequence

from nf_edge.backends.executorch.layout.calls import Call
from nf_edge.backends.file_layout import EMBEDDINGS, HEAD_LAYER, UNKNOWN_LAYER
from nf_edge.model import ModelConfig

NORM = "layer_norm"


def layers_of(calls: Sequence[Call], inputs: Collection[int], config: ModelConfig) -> list[str]:
    """The layer of each call, such as `transformer.h.0.attn`; `UNKNOWN_LAYER` if norms are missing.

    Args:
        inputs: indices of the program's inputs.
    """
    stages, norms = _stages(calls, inputs)
    expected = list(range(2 * config.n_layer + 1))
    if sorted(stages[index] for index in norms) != expected:
        return [UNKNOWN_LAYER] * len(calls)
    names = _names(config)
    return [
        _norm_name(stage, config) if index in norms else names[stage] for index, stage in enumerate(stages)
    ]


def _names(config: ModelConfig) -> list[str]:
    """The layers after 0, 1, 2 and more layer norms."""
    blocks = (f"transformer.h.{block}.{part}" for block in range(config.n_layer) for part in ("attn", "mlp"))
    return [EMBEDDINGS, *blocks, HEAD_LAYER]


def _norm_name(norm: int, config: ModelConfig) -> str:
    block, second = divmod(norm, 2)
    return "transformer.ln_f" if block == config.n_layer else f"transformer.h.{block}.ln_{second + 1}"


def _stages(calls: Sequence[Call], inputs: Collection[int]) -> tuple[list[int], set[int]]:
    """For each call the number of layer norms before it, and the indices of the norms themselves."""
    after = dict.fromkeys(inputs, 0)
    stages: list[int | None] = []
    norms = set()
    for index, call in enumerate(calls):
        before = [after[value] for value in call.reads if value in after]
        stages.append(max(before) if before else None)
        if call.name.partition(".")[0].endswith(NORM):
            norms.add(index)
        if before:
            after |= dict.fromkeys(call.writes, max(before) + (index in norms))
    return _completed(calls, stages), norms


def _completed(calls: Sequence[Call], stages: Sequence[int | None]) -> list[int]:
    """Complete the stages: a call that reads only constants has the first stage that reads its result."""
    complete: list[int] = []
    reader: dict[int, int] = {}
    for call, stage in zip(reversed(calls), reversed(stages), strict=True):
        readers = [reader[value] for value in call.writes if value in reader]
        complete.append(stage if stage is not None else min(readers, default=0))
        for value in call.reads:
            reader[value] = min(complete[-1], reader.get(value, complete[-1]))
    return complete[::-1]
