"""The check of logits, which every export does, computes only what it compares."""

import pytest
import torch

from nf_edge.backends.input_shape import InputShape
from nf_edge.core.recipe.recipe import load_recipe
from nf_edge.measure.accuracy.last_logits import LastLogits
from nf_edge.measure.accuracy.parity import STEPS, measure_parity, synthetic_rows
from nf_edge.model import TorchDecoder
from nf_edge.model.data.rows import Rows
from nf_edge.model.finite import NotFinite, finite


class CountingDecoder(TorchDecoder):
    def __init__(self, model):
        super().__init__(model)
        self.tokens = 0

    def _feed(self, tokens, start):
        self.tokens += len(tokens)
        return super()._feed(tokens, start)


@pytest.fixture
def network(checkpoint):
    return checkpoint("lm-lowrank").model()


def test_each_row_is_read_once_and_only_compared_logits_are_computed(checkpoint, network):
    config = network.config
    rows = Rows(tuple(synthetic_rows(config, config.n_positions)), "synthetic", "", 0)
    shape = InputShape.of(load_recipe("nf-fp32"), config)
    decoder, head = CountingDecoder(checkpoint("lm-lowrank").model()), []
    network.lm_head.register_forward_hook(lambda module, inputs, output: head.append(output.shape[1]))
    parity = measure_parity(network, lambda: decoder, shape, rows, 1e-4)
    assert parity.passed
    lengths = [len(row.input_ids) for row in rows.rows]
    assert decoder.tokens == sum(length + min(length, STEPS) for length in lengths)
    assert sum(head) == sum(min(length, STEPS + 1) for length in lengths)


def test_random_rows_have_16_lengths_from_one_token_to_all_without_most_of_the_work(network):
    lengths = [len(row.input_ids) for row in synthetic_rows(network.config, 1024)]
    assert lengths == sorted(set(lengths))
    assert (len(lengths), lengths[0], lengths[-1]) == (16, 1, 1024)
    assert sum(lengths) < 3 * 1024


def test_logits_that_are_not_returned_must_be_finite_too(network):
    ids = torch.arange(6)[None]
    hidden = network.transformer(ids)[0].abs()
    # A channel that is larger in an earlier token than in the last one.
    token, channel = divmod(int((hidden[:-1] / hidden[-1]).argmax()), hidden.shape[1])
    # Every weight is finite, and so is the last token's logit, but the earlier token's is 2 · 3e38.
    for parameter in network.transformer.ln_f.parameters():
        parameter *= 2 / hidden[token, channel]
    network.lm_head.weight = torch.nn.Parameter(0 * network.lm_head.weight, requires_grad=False)
    network.lm_head.weight[5, channel] = 3e38
    assert network(ids)[0, -1].isfinite().all()
    with pytest.raises(NotFinite):
        finite(LastLogits(network), ids)
