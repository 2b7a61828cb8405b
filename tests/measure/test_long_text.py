"""Perplexity and bits per byte of a long text, in windows that overlap."""

import json
import math

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

import nf_edge
from nf_edge.model.data.windows import read_windows

# Letters of two and three bytes, so that bytes are not characters.
TEXT = "The café by the harbour is naïve — and the lord drinks there. " * 9


@pytest.fixture
def text(tmp_path):
    """A text file."""
    path = tmp_path / "play.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def ids(checkpoint):
    return Tokenizer.from_file(str(checkpoint("shakespeare").tokenizer_file)).encode(TEXT).ids


def losses(network, ids, length, stride):
    """The loss of every token but the first, each with the context that its window gives."""
    found = []
    for place in range(1, len(ids)):
        moves = max(0, math.ceil((place + 1 - length) / stride))
        end = min(length + moves * stride, len(ids))
        context = ids[max(0, end - length) : place]
        found.append(-network(torch.tensor([context]))[0, -1].log_softmax(-1)[ids[place]].item())
    return np.array(found)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["onnx-fp32", pytest.param("onnx-fp32+all", marks=pytest.mark.slow)])
def test_each_token_is_scored_once_with_its_windows_context_through_a_cache_or_not(
    recipe, exported, run, checkpoint, text, ids
):
    model = checkpoint("shakespeare")
    done = run("check", exported("shakespeare", recipe).path, "--data", text, "--stride", 40, "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)["result"]
    wanted = losses(model.model(), ids, 128, 40)
    assert len(ids) > 200
    assert found["questions"] == len(wanted) == len(ids) - 1
    for side in ("reference", "artifact"):
        assert found[side]["perplexity"] == pytest.approx(np.exp(wanted.mean()), rel=1e-4)
    first = Tokenizer.from_file(str(model.tokenizer_file)).decode(ids[:1])
    size = len(TEXT.encode()) - len(first.encode())
    assert found["text"]["bytes"] == size
    bits = found["text"]["artifact"]
    assert bits["bits_per_byte"] == pytest.approx(wanted.sum() / math.log(2) / size, rel=1e-4)
    relative = found["artifact"]["perplexity_error"] / found["artifact"]["perplexity"]
    assert bits["error"] == pytest.approx(bits["bits_per_byte"] * relative / wanted.mean(), rel=1e-4)
    assert {name: found["text"][name] for name in ("tokens", "scored", "not_scored", "window", "stride")} == {
        "tokens": len(ids),
        "scored": len(ids) - 1,
        "not_scored": 1,
        "window": 128,
        "stride": 40,
    }


@pytest.mark.parametrize("stride", [None, 1, 7, 64, 127])
def test_windows_score_every_token_but_the_first(stride, checkpoint, text, ids):
    model = checkpoint("shakespeare")
    rows = read_windows(str(text), model.config, model.tokenizer_file, 128, stride)
    scored = [token for row in rows.rows for token in row.input_ids[-row.scored :]]
    assert scored == ids[1:]
    least = 128 - (stride or 64)
    assert all(len(row.input_ids) - row.scored >= least for row in rows.rows[1:])


@pytest.mark.slow
def test_tokens_beyond_a_limit_are_counted_and_people_are_told(run, exported, text, ids):
    done = run("check", exported("shakespeare", "onnx-fp32").path, "--data", text, "--limit", 1)
    assert done.code == 0
    assert f"127 of {len(ids)} tokens are scored, in windows of 128 that move by 64" in done.out
    assert f"not scored: {len(ids) - 127}" in done.out
    assert "bits per byte, on " in done.out


def test_an_export_is_checked_on_a_text_too(run, text, tmp_path, ids):
    done = run(
        "export", "shakespeare", "--recipe", "onnx-fp32", "--data", text, "-o", tmp_path / "out", "--json"
    )
    assert done.code == 0, done.err
    accuracy = json.loads(done.out)["result"]["reports"]["accuracy"]
    assert accuracy["text"]["scored"] == accuracy["questions"] == len(ids) - 1


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--stride", "0"), 2, "--stride"),
        (("--stride", "128"), 3, "leaves tokens without context"),
    ],
)
def test_a_stride_that_leaves_no_context_is_refused(options, code, message, run, exported, text):
    done = run("check", exported("shakespeare", "onnx-fp32").path, "--data", text, *options)
    assert (done.code, done.out) == (code, "")
    assert message in done.err


def test_a_stride_without_a_text_or_of_a_classifier_is_refused(run, exported, text, tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"text": "by the harbour"}\n', encoding="utf-8")
    for artifact, data in (("shakespeare", rows), ("digits", text)):
        done = run("check", exported(artifact, "onnx-fp32").path, "--data", data, "--stride", 8)
        assert done.code == 3
        assert "a stride needs a text file (.txt) and a language model" in done.err
    done = run("export", "shakespeare", "--recipe", "onnx-fp32", "-o", tmp_path / "out", "--stride", 8)
    assert done.code == 2


@pytest.mark.parametrize("content", ["", "T"])
def test_a_text_without_two_tokens_is_refused(content, exported, tmp_path):
    path = tmp_path / "short.txt"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(nf_edge.BadInput, match="fewer than two tokens"):
        nf_edge.check(exported("shakespeare", "onnx-fp32"), path)
