"""A Hugging Face folder's tokenizer keeps the ids that transformers gives, wherever its parts stand.

What is expected was taken from transformers 5.24, of which 4.57 differs where a test says so.
"""

import json

import gpt2
import pytest
import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, normalizers, pre_tokenizers, processors, trainers
from tokenizers.models import BPE

from nf_edge.core.errors import BadInput
from nf_edge.model.importers import import_checkpoint
from nf_edge.model.tokenizer import read_tokenizer

END, USER = "<|endoftext|>", "<|user|>"
BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
SPACE = BYTES.index("Ġ") + 1
# END is 0, the bytes follow, then four merges.
NEW = 261
GPT2 = {"tokenizer_class": "GPT2Tokenizer"}


def small_bpe(**parts):
    """A byte-level BPE of 261 tokens."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(
        add_prefix_space=parts.get("space", False), use_regex=parts.get("use_regex", True)
    )
    tokenizer.decoder = decoders.ByteLevel()
    if "normalizer" in parts:
        tokenizer.normalizer = parts["normalizer"]
    trainer = trainers.BpeTrainer(
        vocab_size=NEW, special_tokens=[END], initial_alphabet=BYTES, show_progress=False
    )
    tokenizer.train_from_iterator(["the cat sat on the mat"] * 9, trainer)
    return tokenizer


def token(content, **flags):
    plain = dict.fromkeys(("lstrip", "rstrip", "normalized", "single_word"), False)
    return {"content": content, **plain, "special": True, **flags}


def listed(**flags):
    """A tokenizer_config.json that alone has the token USER."""
    return GPT2 | {"added_tokens_decoder": {"0": token(END), str(NEW): token(USER, **flags)}}


@pytest.fixture(params=["tokenizer.json", "vocab.json"])
def folder(request, tmp_path):
    """Writes a GPT-2 folder, its tokenizer in the new file or in the old two: `folder({name: content})`."""

    def write(files=None, tokenizer=None, rows=NEW + 9):
        path = tmp_path / "theirs"
        path.mkdir()
        config = {"model_type": "gpt2", "vocab_size": rows, "n_positions": 9, "n_embd": 12, "n_layer": 2}
        weights = gpt2.random_weights(vocabulary=rows).items()
        tensors = {name: torch.from_numpy(weight.copy()) for name, weight in weights}
        save_file(tensors, path / "model.safetensors")
        tokenizer = tokenizer or small_bpe()
        if request.param == "tokenizer.json":
            tokenizer.save(str(path / "tokenizer.json"))
        else:
            tokenizer.model.save(str(path))
        for name, content in {"config.json": config | {"n_head": 3}, **(files or {})}.items():
            (path / name).write_text(json.dumps(content))
        return path

    write.whole = request.param == "tokenizer.json"
    return write


def ids_of(path, text, tmp_path):
    """As the written checkpoint reads a text."""
    import_checkpoint(path).save(tmp_path / "ours")
    return read_tokenizer(tmp_path / "ours/tokenizer.json").encode(text).ids


def byte(text):
    return [BYTES.index(letter) + 1 for letter in text.replace(" ", "Ġ")]


OLDER = {"added_tokens.json": {USER: NEW}, "special_tokens_map.json": {"additional_special_tokens": [USER]}}
SPACED = f"a  {USER}  b"


@pytest.mark.parametrize(
    ("files", "text", "ids"),
    [
        ({"tokenizer_config.json": listed()}, SPACED, [*byte("a  "), NEW, *byte("  b")]),
        ({"tokenizer_config.json": listed(lstrip=True)}, SPACED, [*byte("a"), NEW, *byte("  b")]),
        ({"tokenizer_config.json": listed(rstrip=True)}, SPACED, [*byte("a  "), NEW, *byte("b")]),
        ({"tokenizer_config.json": listed(single_word=True)}, f"x{USER}", byte(f"x{USER}")),
        (OLDER, SPACED, [*byte("a  "), NEW, *byte("  b")]),
        ({"added_tokens.json": {USER: NEW}}, f"{USER}b", [NEW, *byte("b")]),
        ({"tokenizer_config.json": GPT2 | {"pad_token": USER}}, f"{USER}b", [NEW, *byte("b")]),
        ({"tokenizer_config.json": GPT2 | {"extra_special_tokens": [USER]}}, f"{USER}b", [NEW, *byte("b")]),
        ({"special_tokens_map.json": {"pad_token": token(USER, lstrip=True)}}, SPACED, None),
        ({"tokenizer_config.json": GPT2 | {"add_prefix_space": True}}, "b", byte(" b")),
        ({"tokenizer_config.json": GPT2 | {"do_lower_case": True}}, "B", byte("B")),
    ],
)
def test_a_token_or_a_setting_that_stands_beside_the_tokenizer_counts(folder, tmp_path, files, text, ids):
    if ids is None:
        ids = [*byte("a"), NEW, *byte("  b")]
    assert ids_of(folder(files), text, tmp_path) == ids


@pytest.mark.parametrize("special", [True, False])
def test_a_token_is_special_only_where_its_folder_says_so(folder, special):
    tokenizer = import_checkpoint(folder({"tokenizer_config.json": listed(special=special)})).tokenizer
    assert tokenizer.decode([NEW]) == ("" if special else USER)


def test_the_user_hears_of_tokens_that_were_added(folder):
    notes = import_checkpoint(folder({"tokenizer_config.json": listed()})).notes
    assert notes[0] == f"tokenizer: tokens added from the other files: {USER} ({NEW})"


def test_a_folder_of_an_older_version_is_no_cause_for_notes(folder):
    notes = import_checkpoint(folder(OLDER)).notes
    assert [note for note in notes if "transformers" in note] == []


def test_the_ends_of_a_text_are_put_around_it_where_transformers_does(folder, tmp_path):
    """Beside a tokenizer.json both versions ignore these flags; 4.57 ignores add_eos_token always."""
    path = folder({"tokenizer_config.json": GPT2 | {"add_bos_token": True, "add_eos_token": True}})
    assert ids_of(path, "b", tmp_path) == (byte("b") if folder.whole else [0, *byte("b"), 0])
    notes = " ".join(import_checkpoint(path).notes)
    assert (
        "has no effect with a tokenizer.json" if folder.whole else f"{END} before and {END} after"
    ) in notes


@pytest.mark.parametrize("ids", [{USER: NEW + 3}, {USER: 5}])
def test_a_token_whose_id_transformers_would_change_is_refused(folder, ids):
    with pytest.raises(BadInput, match=f"the id {ids[USER]}, but its id must be"):
        import_checkpoint(folder({"added_tokens.json": ids}))


def test_a_token_that_the_model_has_no_row_for_is_refused_with_what_to_do(folder):
    with pytest.raises(BadInput, match="resize_token_embeddings"):
        import_checkpoint(folder({"tokenizer_config.json": listed()}, rows=NEW))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tokenizer_config.json", {"added_tokens_decoder": [1]}, "does not map ids to tokens"),
        ("tokenizer_config.json", {"added_tokens_decoder": {"x": token(USER)}}, "does not map ids"),
        (
            "tokenizer_config.json",
            {"added_tokens_decoder": {"261": {"special": True}}},
            "an invalid token",
        ),
        (
            "tokenizer_config.json",
            {"added_tokens_decoder": {"261": token(USER, lstrip="no")}},
            "an invalid token",
        ),
        ("tokenizer_config.json", {"pad_token": 7}, "an invalid token"),
        ("added_tokens.json", {USER: "261"}, "must map each token to an integer id"),
        ("special_tokens_map.json", [], "special_tokens_map.json"),
    ],
)
def test_a_broken_file_beside_a_tokenizer_is_refused(folder, name, content, message):
    with pytest.raises(BadInput, match=message):
        import_checkpoint(folder({name: content}))


@pytest.mark.parametrize(
    ("settings", "ids"), [({}, byte("b")), ({"tokenizer_class": "PreTrainedTokenizerFast"}, byte(" b"))]
)
def test_the_class_says_whether_the_file_or_the_settings_know_of_a_space(folder, tmp_path, settings, ids):
    if folder.whole:
        path = folder({"tokenizer_config.json": settings}, small_bpe(space=True))
        assert ids_of(path, "b", tmp_path) == ids


def test_what_versions_of_transformers_read_otherwise_is_told(folder):
    if folder.whole:
        told = small_bpe(normalizer=normalizers.Lowercase())
        told.add_tokens([AddedToken(USER)])
        settings = {"added_tokens_decoder": {"0": token(END)}, "split_special_tokens": True}
        imported = import_checkpoint(folder({"tokenizer_config.json": settings}, told))
        notes = " ".join(imported.notes)
        assert "the normalizer of tokenizer.json is kept" in notes
        assert f"does not list are kept: {USER}" in notes
        assert "split_special_tokens is ignored" in notes


def test_a_template_of_the_file_is_kept(folder, tmp_path):
    if folder.whole:
        tokenizer = small_bpe()
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"$A {END}", special_tokens=[(END, 0)]
        )
        assert ids_of(folder({"tokenizer_config.json": listed()}, tokenizer), USER, tmp_path) == [NEW, 0]


def test_a_tokenizer_of_the_users_own_takes_the_place_of_one_that_is_refused(folder, tmp_path):
    path = folder({"added_tokens.json": {USER: 5}})
    small_bpe().save(str(tmp_path / "own.json"))
    assert import_checkpoint(path, tokenizer_file=tmp_path / "own.json").config.vocab_size == NEW
