"""Keys and values in int8, where a recipe asks for them and ONNX Runtime has a cache of them."""

import numpy as np
import pytest
import torch

from nf_edge.artifact import load_artifact
from nf_edge.backends import backend_for
from nf_edge.core.errors import MissingTool
from nf_edge.core.recipe.recipe import load_recipe
from nf_edge.measure import runner
from nf_edge.model import resolve_checkpoint
from nf_edge.model.generation import generate
from nf_edge.pipeline.export import export

RECIPE = "onnx-int8-qdq"
# Least signal against noise of the logits, in decibels.  With a float32 cache, int8 reaches 24 and 10: the
# small ones' weights are wide, so that a noise that is left out would show.
LEAST_SNR = {"wide-lm": 23, "eight-none": 10, "eight-pairwise": 10, "eight-relative": 10}
INT8_CACHED = list(LEAST_SNR)
PROMPT = "ROMEO:\nWhat"


def decoder_of(artifact):
    return backend_for(artifact.manifest.recipe).load(
        artifact.model_file, artifact.manifest.interface.input_shape
    )


def cache_lines(artifact):
    (layer_report,) = (
        layer_report
        for layer_report in artifact.manifest.quantization
        if layer_report["module"] == "KV cache"
    )
    (line,) = (line for line in artifact.manifest.reports["memory"]["process"] if line["name"] == "KV cache")
    return layer_report, line


@pytest.fixture(scope="module")
def shakespeare(tmp_path_factory):
    out = tmp_path_factory.mktemp("int8-cache") / "shakespeare"
    export(resolve_checkpoint("shakespeare"), load_recipe(RECIPE), out, keep=True)
    return load_artifact(out)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [INT8_CACHED[0], *(pytest.param(name, marks=pytest.mark.slow) for name in INT8_CACHED[1:])]
)
def test_an_int8_cache_answers_like_pytorch_whatever_the_noise(name, exported, checkpoint):
    config = checkpoint(name).config
    ids = np.random.default_rng(0).integers(config.vocab_size, size=config.n_positions).tolist()
    whole = checkpoint(name).model()(torch.tensor([ids]))[0].numpy()
    decoder = decoder_of(exported(name, RECIPE))
    steps = np.stack([decoder.feed([token], at) for at, token in enumerate(ids)])
    snr = 10 * np.log10(np.square(whole).mean() / np.square(steps - whole).mean())
    assert snr > LEAST_SNR[name]


@pytest.mark.parametrize("name", INT8_CACHED)
def test_a_text_in_pieces_gives_what_it_gives_as_a_whole(name, exported, checkpoint):
    config = checkpoint(name).config
    ids = np.random.default_rng(1).integers(config.vocab_size, size=config.n_positions).tolist()
    decoder = decoder_of(exported(name, RECIPE))
    whole = decoder.feed(ids, 0)
    for piece in (1, 7):
        for start in range(0, len(ids), piece):
            last = decoder.feed(ids[start : start + piece], start)
        assert np.abs(last - whole).max() < 1e-4 * np.abs(whole).max()


@pytest.mark.parametrize("name", INT8_CACHED)
def test_the_cache_takes_a_quarter_of_the_memory_and_the_report_says_so(name, exported):
    layer_report, line = cache_lines(exported(name, RECIPE))
    _, float32 = cache_lines(exported(name, "onnx-fp32"))
    assert layer_report["dtype"] == "int8, per channel"
    for how in ("predicted", "planned"):
        assert line[how]["value"] * 4 == float32[how]["value"]
    assert exported(name, RECIPE).manifest.interface.cache_dtype == "int8"


def test_where_onnx_runtime_has_no_such_cache_it_stays_float32_and_a_line_says_why(exported):
    artifact = exported("lm-none", RECIPE)
    layer_report, _ = cache_lines(artifact)
    assert layer_report["dtype"] == "float32"
    assert "multiples of 8" in layer_report["reason"]
    assert artifact.manifest.interface.cache_dtype == "float32"


def test_an_int8_cache_is_refused_for_xnnpack_with_the_fix(run, changed_recipe):
    recipe = changed_recipe("xnnpack-8da8w", {"quantize:\n": "quantize:\n  kv_cache: int8\n"})
    done = run("recipes", "check", recipe)
    assert done.code == 3
    assert "quantize.kv_cache: backend xnnpack has no int8 cache" in done.err
    assert "leave kv_cache out, or use backend nf_cpu or onnx_cpu" in done.err


@pytest.mark.slow
def test_genai_writes_the_same_text_from_a_folder_with_an_int8_cache(shakespeare, genai_tokens):
    prompt, found, _ = genai_tokens(shakespeare.path, PROMPT, 24)
    assert found == list(generate(decoder_of(shakespeare), prompt, max_tokens=24))


@pytest.mark.parametrize("name", INT8_CACHED)
def test_the_native_runner_keeps_an_int8_cache_and_goes_back_in_it(name, exported, checkpoint):
    artifact = exported(name, RECIPE)
    ids = np.random.default_rng(2).integers(checkpoint(name).config.vocab_size, size=10).tolist()
    pieces = [(0, 5), (5, 6), (6, 7), (0, 2), (2, 10), (3, 10)]
    try:
        command = runner.command_for(artifact.runnable())
        result = runner.run_command(command, artifact.model_file, [(ids[a:b], [a]) for a, b in pieces])
    except MissingTool as error:
        pytest.skip(str(error))
    decoder = decoder_of(artifact)
    for (start, end), logits in zip(pieces, result.outputs, strict=True):
        np.testing.assert_allclose(logits[0, 0], decoder.feed(ids[start:end], start), rtol=1e-4, atol=1e-4)
