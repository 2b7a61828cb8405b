"""The nf- recipes: attention is one operator of ours in the file, and answers as the stock recipes do."""

import json

import numpy as np
import pytest
import torch
from conftest import TESTS, tools_missing
from hypothesis import given, settings
from hypothesis import strategies as st

from nf_edge.artifact import load_artifact
from nf_edge.backends import backend_for
from nf_edge.backends.executorch.fused_modules import noise_tensors
from nf_edge.core.errors import BadInput
from nf_edge.core.recipe.recipe import load_recipe
from nf_edge.core.targets import TARGETS
from nf_edge.measure import runner
from nf_edge.model.attention_forms import TorchForm
from nf_edge.model.noise import build_noise
from nf_edge.pipeline.export import export

pytestmark = pytest.mark.skipif(bool(tools_missing()), reason=tools_missing())

KINDS = ["none", "lowrank", "pairwise", "relative", "standard"]


@st.composite
def layers(draw):
    """What a layer's attention is given, at random: projections, noise, lengths."""
    kind, heads, size = draw(st.sampled_from(KINDS)), draw(st.integers(1, 3)), draw(st.integers(1, 9))
    rows, tokens = draw(st.integers(1, 3)), draw(st.integers(1, 12))
    torch.manual_seed(draw(st.integers(0, 2**31)))
    noise = build_noise(kind if kind != "standard" else "none", heads, size, min(2, size), 12)
    for parameter in noise.parameters():
        parameter.data.normal_()
    parts = 3 if kind == "standard" else 2
    projected = torch.randn(rows, tokens, parts * heads * size)
    lengths = torch.randint(1, tokens + 1, (rows,)) if draw(st.booleans()) else None
    return kind, heads, size, noise, projected, lengths, draw(st.booleans())


def by_the_network(kind, heads, size, noise, projected, lengths, causal):
    """What the network's own attention makes of the same projections: [B, T, H·d]."""
    rows, tokens, _ = projected.shape
    split = projected.view(rows, tokens, -1, heads, size).permute(2, 0, 3, 1, 4)
    k, v = split[-2], split[-1]
    q = split[0] if kind == "standard" else noise.query(k)
    mask = None if lengths is None else (torch.arange(tokens) < lengths[:, None]).long()
    positions, form = torch.arange(tokens), TorchForm()
    hidden = form.mask(mask, positions, tokens, causal)
    y = form(q, k, v, size**-0.5, hidden, noise.score_bias(positions, tokens))
    return y.transpose(1, 2).flatten(2)


@settings(max_examples=60)
@given(layers())
@torch.no_grad()
def test_the_operator_computes_what_the_network_does(layer):
    kind, _, size, noise, projected, lengths, causal = layer
    how = {"head_size": size, "symmetric": kind != "standard", "scale": size**-0.5, "products": "float32"}
    wanted = by_the_network(*layer)
    real = torch.full((len(projected),), projected.shape[1]) if lengths is None else lengths
    for queries in ("all", "first", "last"):
        found = torch.ops.nf.symmetric_attention(
            projected, *noise_tensors(noise), lengths, causal=causal, queries=queries, **how
        )
        for row, length in enumerate(real):
            expected = {
                "all": wanted[row, :length],
                "first": wanted[row, :1],
                "last": wanted[row, length - 1 : length],
            }[queries]
            torch.testing.assert_close(found[row, : len(expected)], expected, atol=1e-5, rtol=1e-5)


@settings(max_examples=40)
@given(layers(), st.data())
@torch.no_grad()
def test_the_cached_operator_gives_piece_by_piece_what_the_whole_gives(layer, data):
    kind, heads, size, noise, projected, *_ = layer
    projected, tokens = projected[:1], projected.shape[1]
    wanted = by_the_network(kind, heads, size, noise, projected, None, True)
    how = {"head_size": size, "symmetric": kind != "standard", "scale": size**-0.5, "products": "float32"}
    k, v = torch.zeros(2, heads, tokens, size)
    cut = data.draw(st.integers(0, tokens - 1))
    for first, end in ((0, cut), (cut, tokens)):
        if first < end:
            found = torch.ops.nf.symmetric_attention_cached(
                projected[:, first:end], k, v, None, None, torch.tensor([first]), *noise_tensors(noise),
                queries="all", **how,
            )  # fmt: skip
            torch.testing.assert_close(found, wanted[:, first:end], atol=1e-5, rtol=1e-5)


# Their artifacts are those of test_lowering.py and test_decoders.py.
CASES = [
    "cls-relative-bidirectional-last-padded",
    "cls-last-not-pad",
    "lm-pairwise-relu",
    "lm-relative-pruned-unevenly",
    "lm-standard",
]


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_attention_is_one_operator_a_layer_and_nothing_is_moved_around_it(name, exported):
    artifact = exported(name, "nf-fp32")
    operators = backend_for(artifact.manifest.recipe).operators(artifact.model_file)
    cached = "_cached" if artifact.manifest.interface.cached else ""
    assert operators[f"nf::symmetric_attention{cached}.out"] == artifact.manifest.config.n_layer
    moves = ("transpose", "permute", "expand", "clone", "split", "softmax", "bmm", "index_put")
    assert [operator for operator in operators if any(move in operator for move in moves)] == []


def test_the_manifest_and_inspect_say_that_kernels_of_ours_are_needed(exported, run):
    own, stock = exported("lm-none", "nf-fp32"), exported("wide-cls", "xnnpack-8da8w")
    assert own.manifest.requires.own_kernels
    assert "nf_executorch" in own.manifest.requires.operator_libraries
    assert not stock.manifest.requires.own_kernels
    done = run("inspect", own.path)
    assert done.code == 0
    assert "kernels of nf-edge: needed" in done.out
    assert "executorch natively: loads" in done.out


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["nf-fp32", "nf-int8"])
def test_every_instruction_set_gives_the_artifacts_answer(recipe, exported, run, monkeypatch):
    artifact = exported("wide-lm", recipe)
    command = runner.command_for(artifact.runnable())
    sets = json.loads(run("kernels", "build", "--json").out)["result"]["instruction_sets"]

    def answers(isa):
        monkeypatch.setenv("NF_EDGE_ISA", isa)
        requests = [(list(range(60)), [0]), ([7], [60])]
        done = runner.run_command(command, artifact.model_file, requests)
        return np.concatenate(done.outputs)

    with pytest.raises(BadInput, match="NF_EDGE_ISA names an instruction set that this CPU cannot run"):
        answers("cray1")
    found = {isa: answers(isa) for isa in sets}
    assert "portable" in found
    for logits in found.values():
        largest = np.abs(found["portable"]).max()
        assert np.abs(logits - found["portable"]).max() < (1e-5 if recipe == "nf-fp32" else 5e-3) * largest


@pytest.mark.slow
@pytest.mark.parametrize("line", ["  attention: int8\n", "  kv_cache: int8\n"])
def test_int8_attention_and_cache_are_used_where_the_recipe_asks_and_cost_little(
    line, checkpoint, exported, run, tmp_path
):
    # Of two layers: the last one asks for one token only, whose products are float32 in any case.
    text = run("recipes", "show", "nf-int8").out
    assert line in text
    (tmp_path / "nf-without.yaml").write_text(text.replace(line, "").replace("nf-int8", "nf-without"))
    recipe = load_recipe(str(tmp_path / "nf-without.yaml"))
    without = export(checkpoint("lm-lowrank"), recipe, tmp_path / "out", keep=True)
    ids = np.random.default_rng(0).integers(19, size=10).tolist()
    answers = []
    for path in (without.path, exported("lm-lowrank", "nf-int8").path):
        artifact = load_artifact(path)
        backend = backend_for(artifact.manifest.recipe)
        answers.append(
            backend.load(artifact.model_file, artifact.manifest.interface.input_shape).feed(ids, 0)
        )
    difference = np.abs(answers[0] - answers[1]).max() / np.abs(answers[0]).max()
    assert 1e-5 < difference < 0.05


@pytest.mark.parametrize("recipe", ["nf-fp32", "nf-int8"])
def test_what_the_kernel_holds_while_it_runs_is_measured(recipe, exported):
    artifact = exported("wide-lm", recipe)
    command = runner.command_for(artifact.runnable(), threads=2)
    done = runner.run_command(command, artifact.model_file, [(list(range(64)), [0])])
    # Two threads, each with tiles of a head of 64.
    assert 50_000 < done.temporary_peak < 1_000_000


@pytest.mark.slow
def test_an_int8_cache_of_ours_takes_a_quarter_of_a_float32_one(exported):
    lines = {
        recipe: line
        for recipe in ("nf-fp32", "nf-int8")
        for line in exported("wide-lm", recipe).manifest.reports["memory"]["process"]
        if line["name"] == "KV cache"
    }
    sizes = {recipe: line["planned"]["value"] for recipe, line in lines.items()}
    # A scale for each head of a token, of K and of V.
    config = exported("wide-lm", "nf-int8").manifest.config
    scales = 2 * 4 * config.n_positions * sum(heads for heads, _ in config.layer_sizes)
    assert sizes["nf-int8"] == sizes["nf-fp32"] // 4 + scales
    assert all(line["predicted"]["value"] == sizes[recipe] for recipe, line in lines.items())


def test_without_a_compiler_export_says_how_to_get_one_before_it_begins(run, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    out = tmp_path / "out"
    done = run("export", TESTS / "cases" / "cls-causal-first", "--recipe", "nf-fp32", "-o", out)
    assert done.code == 6
    assert "lowering" not in done.err
    assert "apt-get install g++" in done.err or "xcode-select" in done.err
    assert not out.exists()


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("mine", {}, "name: backend nf_cpu calls kernels of nf-edge; write nf-mine"),
        ("nf-mine", {"nf_cpu": "xnnpack", "attention: int8": "", "kv_cache: int8": ""}, "no kernel"),
        ("mine", {"nf_cpu": "xnnpack"}, "quantize.attention: backend xnnpack has no int8 attention"),
    ],
)
def test_a_recipe_tells_by_its_name_whether_it_needs_our_kernels(name, change, message, run, tmp_path):
    text = run("recipes", "show", "nf-int8").out.replace("name: nf-int8", f"name: {name}")
    for old, new in change.items():
        assert old in text
        text = text.replace(old, new)
    (tmp_path / f"{name}.yaml").write_text(text)
    done = run("recipes", "check", tmp_path / f"{name}.yaml")
    assert done.code == 3
    assert message in " ".join(done.err.split())


@pytest.mark.slow
def test_what_was_tampered_with_in_the_cache_is_built_again(run):
    def build():
        return json.loads(run("kernels", "build", "--json").out)["result"]

    first = build()
    with open(first["library"], "ab") as library:
        library.write(b"more")
    assert build() == first


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_the_operators_are_built_for_a_board(target, run, tmp_path):
    done = run("kernels", "build", "--target", target, "-o", tmp_path / "board")
    if done.code == 6:
        pytest.skip(done.err)
    header = (tmp_path / "board" / "libnf_executorch.so").read_bytes()[:20]
    assert header[:4] == b"\x7fELF"
    assert header[18] == {"aarch64-linux": 183}[target]


@pytest.mark.slow
def test_int8_attention_costs_the_bundled_language_model_next_to_no_perplexity(exported, run, checkpoint):
    rows = checkpoint("shakespeare").examples_file

    def perplexity(recipe):
        done = run("check", exported("shakespeare", recipe).path, "--data", rows, "--limit", "24", "--json")
        assert done.code == 0
        return json.loads(done.out)["result"]["artifact"]["perplexity"]

    stock, ours = perplexity("xnnpack-8da8w"), perplexity("nf-int8")
    assert ours == pytest.approx(stock, rel=2e-3)
