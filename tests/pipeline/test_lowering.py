"""What was lowered, loaded from its file and run, gives PyTorch's logits, and is what the recipe says."""

import copy
import itertools

import numpy as np
import onnx
import pytest
import torch
from conftest import TESTS
from torch import nn

from nf_edge.backends import backend_for

FP32 = ["xnnpack-fp32", "nf-fp32", "onnx-fp32"]
# Share of the largest logit: what the design allows an fp32 artifact.
TOLERANCE = 1e-4
CASES = sorted(path.parent.name for path in (TESTS / "cases").glob("*/config.json"))
# Between them: every noise, standard attention, both directions, all activations, tied and untied heads.  A
# .pte takes a quarter of a minute to make, so that only these are.  test_decoders.py has language models with
# a cache, and uneven layers.
COVERING = {
    "cls-relative-bidirectional-last-padded",
    "cls-last-not-pad",
    "lm-lowrank-full-rank-untied-gelu+all",
    "lm-none+all",
    "lm-pairwise-relu+all",
}
QUICK = {"cls-last-not-pad", "lm-lowrank-full-rank-untied-gelu+all", "lm-pairwise-relu+all"}


def variants():
    """Cases by fp32 recipes, a language model's with the logits of all tokens."""
    names = [case + "+all" if case[:2] == "lm" else case for case in CASES]
    return [
        pytest.param(recipe, name, marks=[] if name in QUICK else pytest.mark.slow)
        for recipe, name in itertools.product(FP32, names)
        if recipe == "onnx-fp32" or name in COVERING
    ]


@pytest.fixture
def artifact_of(exported):
    def get(recipe, variant):
        name, _, logits = variant.partition("+")
        return exported(name, f"{recipe}+{logits}" if logits else recipe)

    return get


def session_of(artifact):
    return backend_for(artifact.manifest.recipe).session(artifact.model_file)


def a_row(generator, config, length, real):
    """Random ids [1, length], also where they are padding, and a mask with `real` ones; where pad tokens are
    passed over, text ends in some."""
    ids = generator.integers(config.vocab_size, size=(1, length))
    if config.pooled_token == "last_not_pad":
        ids[:, real // 2 : real] = config.pad_token_id
    return ids, (np.arange(length) < real).astype(np.int64)[None]


def answers(run, ids, mask):
    """Logits of real positions as a flat array, from either a session or a network."""
    logits = run(ids, mask)[0]
    return logits[: mask.sum()] if logits.ndim == 2 else logits


def by_pytorch(network):
    return lambda ids, mask: network(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()


@pytest.mark.parametrize(("recipe", "variant"), variants())
def test_a_file_gives_pytorchs_logits_at_every_length_and_padding(recipe, variant, artifact_of, checkpoint):
    artifact = artifact_of(recipe, variant)
    the_checkpoint = checkpoint(variant.partition("+")[0])
    config = the_checkpoint.config
    session, network = session_of(artifact), the_checkpoint.model()
    generator = np.random.default_rng(0)
    for length in (1, 2, 7, config.n_positions):
        for real in {length, max(1, length - 1), max(1, length - 5)}:
            ids, mask = a_row(generator, config, length, real)
            wanted = answers(by_pytorch(network), ids, mask)
            found = answers(session.run, ids, mask)
            assert found.dtype == np.float32
            assert found.shape == wanted.shape
            off = np.abs(found - wanted).max() / np.abs(wanted).max()
            assert off <= TOLERANCE, f"{length} tokens, {real} of them real"


@pytest.mark.parametrize(("recipe", "variant"), variants())
def test_a_file_gives_the_specifications_logits(recipe, variant, artifact_of):
    artifact = artifact_of(recipe, variant)
    expected = np.load(TESTS / "cases" / variant.partition("+")[0] / "expected.npz")
    ids, mask, wanted = expected["ids"][None], expected["attention_mask"][None], expected["logits"]
    found = answers(session_of(artifact).run, ids, mask)
    if wanted.ndim == 2:
        wanted = wanted[: mask.sum()]
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= TOLERANCE * np.abs(wanted).max()


@pytest.mark.parametrize("recipe", FP32)
@pytest.mark.parametrize("case", ["cls-last-not-pad", "lm-none+all"])
def test_gelu_new_is_lowered_as_its_tanh_form(case, recipe, artifact_of, checkpoint):
    """Off from the tanh form by less than a tenth of what the erf form would be."""
    artifact = artifact_of(recipe, case)
    the_checkpoint = checkpoint(case.partition("+")[0])
    network, erf = the_checkpoint.model(), the_checkpoint.model()
    for block in erf.transformer.blocks:
        assert block.mlp.act.approximate == "tanh"
        block.mlp.act = nn.GELU()
    ids, mask = a_row(np.random.default_rng(0), the_checkpoint.config, 10, 10)
    found = session_of(artifact).run(ids, mask)
    from_tanh = np.abs(found - by_pytorch(network)(ids, mask)).max()
    from_erf = np.abs(found - by_pytorch(erf)(ids, mask)).max()
    assert from_tanh < from_erf / 10


@pytest.mark.slow
def test_rows_of_different_lengths_share_an_onnx_batch(exported, checkpoint):
    case = "cls-relative-bidirectional-last-padded"
    session, config = session_of(exported(case, "onnx-fp32")), checkpoint(case).config
    generator = np.random.default_rng(0)
    rows = [a_row(generator, config, 9, real) for real in (9, 1, 4)]
    together = session.run(*(np.concatenate(column) for column in zip(*rows, strict=True)))
    alone = np.concatenate([session.run(ids[:, : mask.sum()], mask[:, : mask.sum()]) for ids, mask in rows])
    np.testing.assert_allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("recipe", FP32)
def test_a_longer_row_than_the_model_has_positions_is_refused_by_the_file(recipe, exported):
    session = session_of(exported("cls-last-not-pad", recipe))
    ids = np.zeros((1, 11), dtype=np.int64)
    with pytest.raises(Exception, match=r"."):  # Each runtime has an exception of its own.
        session.run(ids, np.ones_like(ids))


@pytest.mark.parametrize("case", ["lm-none+all", "lm-none", "cls-causal-first"])
def test_without_noise_the_query_and_the_key_of_onnx_attention_are_one_tensor(case, artifact_of):
    attention = attention_nodes(artifact_of("onnx-fp32", case))
    assert len(attention) == 2
    for node in attention:
        assert node.input[0] == node.input[1] != node.input[2]


def test_with_noise_or_standard_attention_query_and_key_differ(exported):
    for case in ("cls-standard-padded", "lm-relative"):
        attention = attention_nodes(exported(case, "onnx-fp32"))
        # Relative noise is a bias on the scores: the query is still the key.
        assert {node.input[0] == node.input[1] for node in attention} == {case == "lm-relative"}
        assert {bool(node.input[5]) if len(node.input) > 5 else False for node in attention} == {
            case == "lm-relative"
        }


def attention_nodes(artifact):
    graph = onnx.load(artifact.model_file).graph
    return [node for node in graph.node if node.op_type == "MultiHeadAttention"]


@pytest.mark.parametrize("recipe", ["onnx-fp32", "onnx-int8-dynamic", "xnnpack-fp32"])
def test_a_model_file_tells_nothing_of_the_machine_that_made_it(recipe, exported):
    content = exported("lm-none", recipe).model_file.read_bytes()
    for trace in (b"/work", b"/tmp", b"/home", b"site-packages", b".py", b"stack_trace", b'File "'):
        assert trace not in content, trace


def test_every_linear_layer_of_an_int8_onnx_file_is_int8(exported, checkpoint):
    artifact = exported("wide-cls", "onnx-int8-dynamic")
    weights = linear_weights(checkpoint("wide-cls"))
    graph = onnx.load(artifact.model_file).graph
    values = {tensor.name: tensor for tensor in graph.initializer}
    multiplied = [node for node in graph.node if node.op_type == "MatMulInteger"]
    assert sorted(tuple(values[node.input[1]].dims) for node in multiplied) == sorted(
        weight.shape[::-1] for weight in weights
    )
    for node in multiplied:
        assert values[node.input[1]].data_type == onnx.TensorProto.INT8
    # Nothing else that is as large is left: a float copy beside the int8 one would go unseen.
    floats = sum(np.prod(t.dims) for t in values.values() if t.data_type == onnx.TensorProto.FLOAT)
    assert (
        floats
        < sum(t.numel() for t in checkpoint("wide-cls").tensors.values())
        - sum(weight.numel() for weight in weights)
        + sum(weight.shape[0] for weight in weights)
        + 100
    )


def test_the_linear_layers_of_an_int8_pte_take_a_byte_a_weight(exported, checkpoint):
    artifact = exported("wide-cls", "xnnpack-8da8w")
    weights = linear_weights(checkpoint("wide-cls"))
    linear = sum(weight.numel() for weight in weights)
    tables = sum(
        checkpoint("wide-cls").tensors[f"transformer.{name}.weight"].numel() for name in ("wte", "wpe")
    )
    rest = sum(tensor.numel() for tensor in checkpoint("wide-cls").tensors.values()) - linear - tables
    program = artifact.model_file.stat().st_size - tables - 4 * rest
    assert linear < program < 1.5 * linear
    assert int8_modules(artifact) == len(weights) + 2


@pytest.mark.parametrize("recipe", ["onnx-int8-dynamic", "xnnpack-8da8w"])
def test_an_int8_artifact_gives_nearly_pytorchs_logits_and_not_exactly(recipe, exported, checkpoint):
    the_checkpoint = checkpoint("wide-cls")
    artifact = exported("wide-cls", recipe)
    session, network = session_of(artifact), the_checkpoint.model()
    generator = np.random.default_rng(0)
    rows = [a_row(generator, the_checkpoint.config, length, length) for length in (1, 20, 64)]
    wanted = np.concatenate([by_pytorch(network)(*row) for row in rows])
    found = np.concatenate([session.run(*row) for row in rows])
    assert 1e-5 < np.abs(found - wanted).max() / np.abs(wanted).max() < 0.05


def linear_weights(the_checkpoint):
    modules = copy.deepcopy(the_checkpoint.model()).modules()
    return [module.weight for module in modules if isinstance(module, nn.Linear)]


def int8_modules(artifact):
    return sum(layer_report["dtype"].startswith("int8") for layer_report in artifact.manifest.quantization)
