"""A text has one reading: whatever a tokenizer.json was saved with, and whoever reads it."""

import json
import shutil

import pytest
from conftest import TESTS, text_config
from hypothesis import given
from hypothesis import strategies as st
from test_import_tokenizers import END, small_bpe
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from nf_edge.artifact.tokenizer_notes import generator, tokenizer_lines, tokenizer_warnings
from nf_edge.backends.onnx.genai import write_genai_files
from nf_edge.backends.runtime_tokenizer import (
    EXECUTORCH,
    GENAI,
    RuntimeTokenizer,
    TokenizerReading,
    is_gpt2_form,
)
from nf_edge.model import resolve_checkpoint
from nf_edge.model.checkpoint_outline import TOKENIZER
from nf_edge.model.generation import TextStream
from nf_edge.model.tokenizer import write_tokenizer
from nf_edge.pruning.vocabulary import smaller_tokenizer
from nf_edge.training.bpe import train_bpe


def as_saved_after_a_batch(path):
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.enable_padding(length=64)
    tokenizer.enable_truncation(2)
    tokenizer.save(str(path))


def test_padding_and_truncation_of_a_batch_change_no_prompt_and_ship_with_nothing(run, tmp_path):
    small_bpe().save(str(tmp_path / "plain.json"))
    shutil.copy(tmp_path / "plain.json", tmp_path / "batch.json")
    as_saved_after_a_batch(tmp_path / "batch.json")
    read = []
    for name in ("plain", "batch"):
        folder = tmp_path / name
        assert run("init", "--tokenizer", tmp_path / f"{name}.json", "-o", folder).code == 0
        written = json.loads((folder / "tokenizer.json").read_text())
        assert (written["padding"], written["truncation"]) == (None, None)
        if name == "batch":
            as_saved_after_a_batch(folder / "tokenizer.json")
        done = run("generate", folder, "the cat sat", "--max-tokens", "1", "--json")
        read.append(json.loads(done.out)["result"]["prompt_ids"])
    assert read[0] == read[1] == small_bpe().encode("the cat sat").ids


def test_a_tokenizer_that_needs_no_change_is_copied_byte_for_byte(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(json.loads(small_bpe().to_str()), indent=7))
    write_tokenizer(tmp_path / "a.json", tmp_path / "b.json")
    assert (tmp_path / "b.json").read_bytes() == (tmp_path / "a.json").read_bytes()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", "is not a tokenizer.json"),
        (small_bpe().to_str(), "has 261 tokens, but the model has embeddings for only 19"),
    ],
)
def test_a_tokenizer_that_does_not_suit_is_refused_before_the_model_is_lowered(
    run, tmp_path, content, message
):
    folder = shutil.copytree(TESTS / "cases/lm-none", tmp_path / "lm")
    (folder / "tokenizer.json").write_text(content)
    done = run("export", folder, "--recipe", "onnx-fp32", "-o", tmp_path / "out")
    assert (done.code, "lowering" in done.err) == (3, False)
    assert message in done.err
    assert not (tmp_path / "out").exists()


def test_fewer_tokens_keep_the_template_of_the_texts(tmp_path):
    """Also one within a sequence, and those of RoBERTa and BERT."""
    tokenizer = small_bpe()
    tokenizer.add_special_tokens(["<last>"])
    template = processors.TemplateProcessing(single="$A <last>", special_tokens=[("<last>", 261)])
    byte_level, roberta = processors.ByteLevel(), processors.RobertaProcessing(("<last>", 261), (END, 0))
    for processor in (template, processors.Sequence([byte_level, template]), roberta):
        tokenizer.post_processor = processor
        tokenizer.save(str(tmp_path / "tokenizer.json"))
        kept = [*range(257), 261]
        smaller = Tokenizer.from_str(smaller_tokenizer(tmp_path / "tokenizer.json", kept))
        assert smaller.encode("z").tokens == tokenizer.encode("z").tokens
        assert smaller.encode("z").ids[-1] == 257


BYTE_LEVEL = small_bpe()


@given(st.lists(st.integers(0, BYTE_LEVEL.get_vocab_size() - 1), max_size=30))
def test_pieces_of_a_stream_are_together_the_text_of_all_tokens(tokens):
    stream = TextStream(BYTE_LEVEL)
    pieces = [stream.add(token) for token in tokens]
    assert "".join([*pieces, stream.end()]) == BYTE_LEVEL.decode(tokens)


def test_bytes_of_a_character_that_never_ends_are_given_at_the_end():
    euro = BYTE_LEVEL.encode("€").ids
    stream = TextStream(BYTE_LEVEL)
    assert [stream.add(token) for token in (*euro, *euro[:2])] == ["", "", "€", "", ""]
    assert stream.end() == "\N{REPLACEMENT CHARACTER}"


def test_a_decoder_that_closes_words_up_does_not_end_the_stream():
    vocabulary = {token: i for i, token in enumerate(("it", "'", "s", "fine"))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="it"))
    tokenizer.decoder = decoders.WordPiece()
    stream = TextStream(tokenizer)
    pieces = [stream.add(token) for token in range(4)] + [stream.end()]
    assert "".join(pieces).endswith("s fine")


def with_token(**flags):
    tokenizer = small_bpe()
    tokenizer.add_tokens([AddedToken("<|user|>", normalized=False, **flags)])
    return tokenizer


def word_piece():
    tokens = {token: i for i, token in enumerate(("[UNK]", END, "the", "cat"))}
    tokenizer = Tokenizer(models.WordPiece(tokens, unk_token="[UNK]"))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Whitespace(), decoders.WordPiece()
    return tokenizer


def unigram():
    tokenizer = Tokenizer(models.Unigram([("<unk>", 0.0), ("▁the", -1.0), ("▁cat", -2.0)], 0))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    return tokenizer


def with_template():
    tokenizer = small_bpe()
    tokenizer.post_processor = processors.TemplateProcessing(single=f"$A {END}", special_tokens=[(END, 0)])
    return tokenizer


def edited(**model):
    document = json.loads(small_bpe().to_str())
    document["model"] |= model
    return Tokenizer.from_str(json.dumps(document))


def with_parts(**parts):
    document = json.loads(small_bpe().to_str())
    return Tokenizer.from_str(json.dumps(document | parts))


def with_few_bytes():
    """Other characters are dropped here, and something else there."""
    whole = small_bpe().get_vocab()
    return edited(vocab={token: whole[token] for token in whole if token not in "zQÃ"})


def with_a_token_that_no_merge_makes():
    return edited(vocab=small_bpe().get_vocab() | {"Ġzzzz": 261})


def lower(**recipe):
    return train_bpe(["the cat sat on the mat"] * 9, 261, lowercase=True, **recipe)


# Tokenizer, and whether ExecuTorch's and genai's read it as `tokenizers` does.
FORMS = {
    "plain": (small_bpe, True, True),
    "added": (with_token, True, True),
    "lstrip": (lambda: with_token(lstrip=True), False, False),
    "rstrip": (lambda: with_token(rstrip=True), False, True),
    "single_word": (lambda: with_token(single_word=True), False, False),
    "space": (lambda: small_bpe(space=True), True, False),
    "Lowercase": (lambda: small_bpe(normalizer=normalizers.Lowercase()), False, False),
    "NFKC": (lambda: small_bpe(normalizer=normalizers.NFKC()), False, False),
    "rare": (lambda: small_bpe(normalizer=normalizers.Replace("XQ9", "cat")), True, False),
    "template": (with_template, False, False),
    "ignore_merges": (lambda: edited(ignore_merges=True), True, True),
    "no merge": (with_a_token_that_no_merge_makes, False, False),
    "no regex": (lambda: small_bpe(use_regex=False), True, False),
    "no decoder": (lambda: with_parts(decoder=None), False, False),
    "few bytes": (with_few_bytes, False, False),
    "WordPiece": (word_piece, False, False),
    "Unigram": (unigram, False, False),
    "our lowercase": (lambda: lower(treebank=False), True, False),
    "our treebank": (lambda: lower(treebank=True), True, False),
}
QUICK = ("plain", "lstrip", "WordPiece")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in FORMS]
)
def test_a_runtime_is_promised_only_what_it_reads_and_writes_as_we_do(name, tmp_path):
    pytest.importorskip("pytorch_tokenizers")
    pytest.importorskip("onnxruntime_genai", reason="pip install 'nf-edge[genai]'")
    make, by_executorch, by_genai = FORMS[name]
    make().save(str(tmp_path / "tokenizer.json"))
    genai = write_genai_files(text_config(300), 16, "model.onnx", tmp_path, ["the cat"])
    executorch = EXECUTORCH.read(tmp_path, ["the cat"])
    assert (executorch.same, genai.same) == (by_executorch, by_genai)
    assert (executorch.how, genai.how) == ("measured", "measured")
    assert all(bool(reading.reason) is not reading.same for reading in (executorch, genai))
    # Without this file it refuses texts; ids it takes anyway.
    assert (tmp_path / "tokenizer_config.json").exists() == by_genai
    assert (tmp_path / "genai_config.json").exists()


def test_a_sweep_compares_a_tokenizer_once_and_another_one_again(tmp_path, monkeypatch):
    pytest.importorskip("pytorch_tokenizers")
    compared = []
    encoded = RuntimeTokenizer._encoded
    monkeypatch.setattr(RuntimeTokenizer, "_encoded", lambda *of: compared.append(of[1]) or encoded(*of))
    for name in ("xnnpack-fp32", "xnnpack-8da8w", "other"):
        (tmp_path / name).mkdir()
        small_bpe(space=name == "other").save(str(tmp_path / name / TOKENIZER))
    readings = [EXECUTORCH.read(tmp_path / name, ["once"]) for name in ("xnnpack-fp32", "xnnpack-8da8w")]
    assert readings[0] == readings[1]
    assert readings[0].same
    assert compared == [tmp_path / "xnnpack-fp32"]
    EXECUTORCH.read(tmp_path / "other", ["once"])
    EXECUTORCH.read(tmp_path / "other", ["another text"])
    assert compared[1:] == [tmp_path / "other"] * 2


@pytest.mark.parametrize("name", FORMS)
def test_where_a_runtime_is_not_installed_only_gpt2s_form_is_promised(name, tmp_path, monkeypatch):
    make, by_executorch, by_genai = FORMS[name]
    make().save(str(tmp_path / "tokenizer.json"))
    known = is_gpt2_form(json.loads((tmp_path / "tokenizer.json").read_text()))
    assert known == (name in ("plain", "added"))
    # The list is no longer than what was seen.
    assert not known or (by_executorch and by_genai)
    monkeypatch.setattr("importlib.metadata.version", _not_installed)
    reading = GENAI.read(tmp_path)
    assert (reading.same, reading.how) == ((True, "predicted") if known else (None, "unavailable"))
    assert ("is not installed to compare" in reading.reason) is not known


def _not_installed(package):
    from importlib.metadata import PackageNotFoundError

    raise PackageNotFoundError(package)


@pytest.mark.parametrize(
    ("reading", "says", "promises"),
    [
        (
            TokenizerReading("ExecuTorch", True, "measured", 9, "p 1"),
            "encoded 9 texts to the model's ids (p 1)",
            True,
        ),
        (TokenizerReading("ExecuTorch", True, "predicted"), "predicted from the form of the tokenizer", True),
        (
            TokenizerReading("ExecuTorch", False, "measured", 9, "p 1", "a|b"),
            "does not encode texts like the model",
            False,
        ),
        (
            TokenizerReading("onnxruntime-genai", None, "unavailable", reason="x"),
            "it is unknown whether",
            False,
        ),
        (None, "Hugging Face tokenizers", False),
    ],
)
def test_run_md_says_of_a_runtimes_tokenizer_what_is_known(exported, reading, says, promises):
    interface = exported("lm-none", "onnx-fp32").manifest.interface
    interface = interface.model_copy(update={"tokenizer": "tokenizer.json", "tokenizer_reading": reading})
    table = "\n".join(tokenizer_lines(interface))
    assert says in table
    assert bool(generator(interface, "model.pte")) is promises
    assert ("pass the ids" in table) is (reading is not None and not promises)
    # The export says so, too.
    assert len(tokenizer_warnings(interface)) == ("pass the ids" in table)


def test_a_model_without_a_tokenizer_promises_no_generator_of_texts(exported):
    guide = (exported("lm-none", "onnx-fp32").path / "RUN.md").read_text()
    assert "genai" not in guide


TREEBANK = lower(treebank=True).normalizer
# The same as tokenizers alone can have it.
PLAINLY = normalizers.Sequence(
    [
        normalizers.Lowercase(),
        normalizers.Replace(Regex(r" +(?=[^\w\s]|n't\b)"), ""),
        normalizers.Strip(),
    ]
)


@given(st.text(st.characters(max_codepoint=0xFF) | st.sampled_from(" \u2003’“日én't²ⓐ\u0301"), max_size=30))
def test_replacements_alone_lower_latin_letters_and_close_the_treebanks_spaces(text):
    assert TREEBANK.normalize_str(text) == PLAINLY.normalize_str(text)


@pytest.mark.slow
def test_executorch_reads_the_bundled_classifiers_texts():
    pytest.importorskip("pytorch_tokenizers")
    reading = EXECUTORCH.read(resolve_checkpoint("sst2").path, ["A GREAT Film , is n't it ?", "  É tudo  "])
    assert reading.same, reading.reason
