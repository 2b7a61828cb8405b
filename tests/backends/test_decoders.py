"""A language model's file answers through its own cache what PyTorch answers over the whole row."""

import numpy as np
import onnx
import pytest
import torch
from conftest import TESTS, tools_missing

from nf_edge.backends import backend_for
from nf_edge.core.errors import BadInput
from nf_edge.measure import runner
from nf_edge.model import TorchDecoder

FP32 = ["xnnpack-fp32", "nf-fp32", "onnx-fp32"]
# Share of the largest logit: what the design allows an fp32 artifact.
TOLERANCE = 1e-4
# Every noise, standard attention, tied and untied heads, uneven layers; head sizes of 4, and of 8 and 64.
CASES = sorted(path.parent.name for path in (TESTS / "cases").glob("lm-*/config.json"))
LMS = [*CASES, "wide-lm", *(f"eight-{kind}" for kind in ("none", "pairwise", "relative"))]
each_recipe = pytest.mark.parametrize("recipe", FP32)
# These have all of that, but for the head size of 8, which only ONNX Runtime treats differently: a .pte takes
# long to make.
COVERING = {
    "lm-pairwise-relu",
    "lm-relative-pruned-unevenly",
    "lm-standard",
    "lm-none",
    "wide-lm",
}
each_lm_by_each_recipe = pytest.mark.parametrize(
    ("name", "recipe"),
    [
        pytest.param(name, recipe, marks=[] if name in COVERING else pytest.mark.slow)
        for recipe in FP32
        for name in LMS
        if recipe == "onnx-fp32" or name in COVERING
    ],
)


def decoder_of(artifact):
    return backend_for(artifact.manifest.recipe).load(
        artifact.model_file, artifact.manifest.interface.input_shape
    )


@pytest.fixture
def subject(exported, checkpoint):
    """A decoder, a row of as many ids as there are positions, and PyTorch's logits [T, V] of that row."""

    def get(name, recipe):
        config = checkpoint(name).config
        ids = np.random.default_rng(0).integers(config.vocab_size, size=config.n_positions).tolist()
        whole = checkpoint(name).model()(torch.tensor([ids]))[0].numpy()
        return decoder_of(exported(name, recipe)), ids, whole

    return get


def off(found, wanted):
    """Largest difference as a share of the largest logit."""
    assert found.shape == wanted.shape
    assert found.dtype == np.float32
    return np.abs(found - wanted).max() / np.abs(wanted).max()


@each_lm_by_each_recipe
def test_token_by_token_equals_the_whole_row(name, recipe, subject):
    decoder, ids, whole = subject(name, recipe)
    steps = np.stack([decoder.feed([token], at) for at, token in enumerate(ids)])
    assert off(steps, whole) <= TOLERANCE


@each_lm_by_each_recipe
def test_a_prompt_may_come_in_pieces_and_fill_every_position(name, recipe, subject):
    decoder, ids, whole = subject(name, recipe)
    assert off(decoder.feed(ids, 0), whole[-1]) <= TOLERANCE
    for piece in (1, 4, len(ids) - 1):
        assert off(decoder.feed(ids[:piece], 0), whole[piece - 1]) <= TOLERANCE
        assert off(decoder.feed(ids[piece:], piece), whole[-1]) <= TOLERANCE


@pytest.mark.slow
@each_recipe
def test_going_back_forgets_what_came_after(recipe, subject):
    decoder, ids, whole = subject("lm-relative", recipe)
    decoder.feed(list(reversed(ids)), 0)
    decoder.feed(ids[:4], 0)
    decoder.feed([(ids[4] + 1) % 19, 0, 0], 4)
    assert off(decoder.feed(ids[4:6], 4), whole[5]) <= TOLERANCE


@each_recipe
def test_more_tokens_than_positions_are_refused_and_the_cache_stays_as_it_was(recipe, subject):
    decoder, ids, whole = subject("lm-none", recipe)
    for tokens, start in (([*ids, 1], 0), ([1], len(ids))):
        decoder.feed(ids, 0)
        with pytest.raises(BadInput, match="the text has 11 tokens, but the cache holds only 10"):
            decoder.feed(tokens, start)
    assert off(decoder.feed(ids[-1:], len(ids) - 1), whole[-1]) <= TOLERANCE


@each_recipe
def test_positions_that_were_never_fed_cannot_be_skipped(recipe, subject):
    decoder, ids, _ = subject("lm-none", recipe)
    decoder.feed(ids[:3], 0)
    with pytest.raises(ValueError, match="position 4, but the cache holds only 3 tokens"):
        decoder.feed([1], 4)


def test_pytorch_is_a_decoder_like_the_others(checkpoint):
    for name in CASES:
        model = checkpoint(name).model()
        ids = np.random.default_rng(0).integers(model.config.vocab_size, size=10).tolist()
        whole, decoder = model(torch.tensor([ids]))[0].numpy(), TorchDecoder(model)
        assert off(decoder.feed(ids[:6], 0), whole[5]) <= TOLERANCE
        decoder.feed([0, 0], 6)
        assert off(decoder.feed(ids[6:], 6), whole[-1]) <= TOLERANCE


needs_the_runner = pytest.mark.skipif(bool(tools_missing()), reason=tools_missing())


def run_natively(artifact, requests):
    return runner.run_command(runner.command_for(artifact.runnable()), artifact.model_file, requests)


@needs_the_runner
@each_recipe
def test_the_native_runner_feeds_a_prompt_steps_and_starts_anew(recipe, exported, subject):
    artifact = exported("lm-relative-pruned-unevenly", recipe)
    _, ids, whole = subject("lm-relative-pruned-unevenly", recipe)
    pieces = [(0, 5), (5, 6), (6, 7), (0, 2), (2, 10), (3, 10)]
    requests = [(ids[start:end], [start]) for start, end in pieces]
    result = run_natively(artifact, requests)
    wanted = whole[[end - 1 for _, end in pieces]]
    assert off(np.stack([logits[0, 0] for logits in result.outputs]), wanted) <= TOLERANCE


@needs_the_runner
@each_recipe
def test_the_native_runner_refuses_a_mask_and_a_full_cache(recipe, exported):
    artifact = exported("lm-none", recipe)
    with pytest.raises(BadInput, match="the position of the first id; it has 2 numbers, line 1"):
        run_natively(artifact, [([1, 2], [1, 1])])
    with pytest.raises(BadInput, match="line 3"):
        run_natively(artifact, [([1] * 10, [0]), ([1], [10])])


@pytest.mark.parametrize("recipe", ["xnnpack-fp32", "nf-fp32"])
def test_a_pte_holds_the_cache_once_and_updates_it_in_place(recipe, exported, checkpoint):
    for name in ("wide-lm", "lm-relative-pruned-unevenly"):
        artifact, config = exported(name, recipe), checkpoint(name).config
        size = sum(2 * heads * config.head_size * config.n_positions * 4 for heads, _ in config.layer_sizes)
        input_shape = artifact.manifest.interface.input_shape
        assert (
            backend_for(artifact.manifest.recipe).plan(artifact.model_file, config, input_shape).cache == size
        )
        (line,) = (
            line for line in artifact.manifest.reports["memory"]["process"] if line["name"] == "KV cache"
        )
        assert line["planned"]["value"] == line["predicted"]["value"] == size


@pytest.mark.slow
def test_head_sizes_that_are_multiples_of_eight_get_group_query_attention(exported):
    for name, operator in (("wide-lm", "GroupQueryAttention"), ("lm-none", "MultiHeadAttention")):
        graph = onnx.load(exported(name, "onnx-fp32").model_file).graph
        found = {node.op_type for node in graph.node if "Attention" in node.op_type}
        assert found == {operator}


@each_recipe
def test_the_manifest_tells_how_a_decoder_is_called(recipe, exported):
    interface = exported("lm-none", recipe).manifest.interface
    assert (interface.cached, interface.any_batch, interface.length) == (True, False, 10)
    assert interface.output_shape == (1, 1, 19)
    if recipe != "onnx-fp32":
        assert interface.inputs == ("tokens", "start")
    else:
        assert interface.inputs[:4] == (
            "input_ids",
            "attention_mask",
            "position_ids",
            "past_key_values.0.key",
        )
