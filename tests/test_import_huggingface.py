"""A Hugging Face GPT-2 folder becomes a checkpoint that answers as it did, or is refused by name."""

import json

import gpt2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, pre_tokenizers

from nf_edge.errors import BadInput
from nf_edge.importers import import_checkpoint
from nf_edge.model import load_checkpoint

HEADS = 3
IDS = np.array([3, 1, 4, 1, 5, 9, 2, 6])
CONFIG = {
    "model_type": "gpt2",
    "architectures": ["GPT2LMHeadModel"],
    "vocab_size": 23,
    "n_positions": 9,
    "n_ctx": 9,
    "n_embd": 12,
    "n_layer": 2,
    "n_head": HEADS,
    "activation_function": "gelu_new",
    "layer_norm_epsilon": 1e-05,
    "attn_pdrop": 0.1,
    "bos_token_id": 0,
    "eos_token_id": 22,
}


@pytest.fixture
def folder(tmp_path):
    """Writes a GPT-2 folder: `folder(weights, key=value, ...)`."""

    def write(weights=None, **changes):
        path = tmp_path / "theirs"
        path.mkdir()
        (path / "config.json").write_text(json.dumps(CONFIG | changes))
        save_file(tensors(weights), path / "model.safetensors")
        return path

    return write


def tensors(weights=None):
    weights = gpt2.random_weights() if weights is None else weights
    return {name: torch.from_numpy(weight.copy()) for name, weight in weights.items()}


@pytest.fixture
def imported(tmp_path):
    """Import a folder, save it, load it back: (checkpoint, notes)."""

    def do(path, **options):
        result = import_checkpoint(path, **options)
        result.save(tmp_path / "imported")
        return load_checkpoint(tmp_path / "imported"), "\n".join(result.notes)

    return do


def refusal(path):
    with pytest.raises(BadInput) as caught:
        import_checkpoint(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def assert_answers(checkpoint, weights, activation="gelu_new"):
    got = checkpoint.model()(torch.from_numpy(IDS)[None])[0]
    expected = torch.from_numpy(gpt2.logits(weights, IDS, HEADS, activation)).float()
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("gelu_new", "gelu_new"),
        ("gelu_pytorch_tanh", "gelu_new"),
        ("gelu", "gelu"),
        ("relu", "relu"),
        (..., "gelu_new"),
    ],
)
def test_it_answers_as_before(folder, imported, theirs, ours):
    path = folder(activation_function=theirs if theirs is not ... else "gelu_new")
    if theirs is ...:
        config = {key: value for key, value in CONFIG.items() if key != "activation_function"}
        (path / "config.json").write_text(json.dumps(config))
    checkpoint, _ = imported(path)
    assert checkpoint.config.activation_function == ours
    assert (checkpoint.config.bos_token_id, checkpoint.config.eos_token_id) == (0, 22)
    assert_answers(checkpoint, gpt2.random_weights(), ours)


def test_names_without_the_prefix_are_the_same_model(folder, imported):
    bare = {name.removeprefix("transformer."): w for name, w in gpt2.random_weights().items()}
    assert_answers(imported(folder(bare))[0], gpt2.random_weights())


def test_masks_are_dropped(folder, imported):
    path = folder()
    masks = {
        "transformer.h.0.attn.bias": torch.ones(1, 1, 9, 9, dtype=torch.bool),
        "transformer.h.0.attn.masked_bias": torch.tensor(-1e4),
    }
    save_file(tensors() | masks, path / "model.safetensors")
    assert_answers(imported(path)[0], gpt2.random_weights())


def test_shards_are_put_together(folder, imported):
    path = folder()
    (path / "model.safetensors").unlink()
    whole = tensors()
    names = sorted(whole)
    where = {name: f"model-0000{1 + i % 2}-of-00002.safetensors" for i, name in enumerate(names)}
    for file in set(where.values()):
        save_file({name: whole[name] for name in names if where[name] == file}, path / file)
    (path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    assert_answers(imported(path)[0], gpt2.random_weights())


def test_an_index_that_leads_elsewhere_is_refused(folder):
    path = folder()
    (path / "model.safetensors").rename(path.parent / "other.safetensors")
    where = {"wte.weight": "../other.safetensors", "wpe.weight": "absent.safetensors"}
    (path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    message = refusal(path)
    assert "../other.safetensors is not in the folder" in message
    assert "absent.safetensors is not in the folder" in message


def test_a_pytorch_file_is_read_without_pickle(folder, imported):
    path = folder()
    (path / "model.safetensors").unlink()
    torch.save(tensors(), path / "pytorch_model.bin")
    assert_answers(imported(path)[0], gpt2.random_weights())


def test_a_folder_without_weights_is_refused(folder):
    path = folder()
    (path / "model.safetensors").unlink()
    assert "has no weights" in refusal(path)


def test_attention_that_is_not_gpt2s_is_refused_with_every_reason(folder):
    message = refusal(
        folder(
            scale_attn_weights=False,
            scale_attn_by_inverse_layer_idx=True,
            reorder_and_upcast_attn=True,
            add_cross_attention=True,
            activation_function="silu",
        )
    )
    for reason in (
        "5 problems",
        "scale_attn_weights is False, so the scores are not divided by the root of the head size",
        "scale_attn_by_inverse_layer_idx is True, so each layer's scores are divided by its number",
        "reorder_and_upcast_attn is True, so attention is rounded in an order",
        "add_cross_attention is True, so the model attends to an encoder's output",
        "activation_function",
    ):
        assert reason in message


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model_type": "llama"}, "model_type is 'llama', not 'gpt2'"),
        (
            {"architectures": ["GPT2DoubleHeadsModel"]},
            "architectures is GPT2DoubleHeadsModel; it must be one of",
        ),
        ({"n_head": 5}, "n_embd 12 is not a multiple of n_head 5"),
        ({"n_layer": 3}, "transformer.h.2.ln_1.weight is missing"),
        ({"n_inner": 40}, "mlp.c_fc.weight has shape [48, 12], not [40, 12]"),
    ],
)
def test_a_config_of_another_model_is_refused(folder, changes, reason):
    assert reason in refusal(folder(**changes))


def test_a_tensor_of_another_model_is_refused_by_name(folder):
    weights = gpt2.random_weights()
    weights["transformer.h.0.attn.q_norm.weight"] = np.ones(4, np.float32)
    assert "transformer.h.0.attn.q_norm.weight [4] is not part of this model" in refusal(folder(weights))


def with_head(scale):
    weights = gpt2.random_weights()
    weights["lm_head.weight"] = scale * weights["transformer.wte.weight"]
    return weights


@pytest.mark.parametrize("declared", [True, False])
def test_a_head_that_is_the_embedding_is_tied(folder, imported, declared):
    checkpoint, notes = imported(folder(with_head(1), tie_word_embeddings=declared))
    assert checkpoint.config.tie_word_embeddings
    assert ("the head equals the embedding" in notes) != declared
    assert_answers(checkpoint, gpt2.random_weights())


def test_a_head_of_its_own_stays_one(folder, imported):
    checkpoint, _ = imported(folder(with_head(2), tie_word_embeddings=False))
    assert not checkpoint.config.tie_word_embeddings
    assert_answers(checkpoint, with_head(2))


def test_a_head_that_contradicts_the_config_is_refused(folder):
    assert "lm_head.weight differs from the embedding" in refusal(folder(with_head(2)))


def test_a_missing_head_is_refused(folder):
    assert "lm_head.weight is missing" in refusal(folder(tie_word_embeddings=False))


def test_a_model_without_a_head_becomes_a_tied_language_model(folder, imported):
    checkpoint, notes = imported(folder(architectures=["GPT2Model"]))
    assert "a GPT2Model has no head" in notes
    assert_answers(checkpoint, gpt2.random_weights())


@pytest.mark.parametrize("names", [None, {"0": "bad", "1": "fair", "2": "good"}])
@pytest.mark.parametrize("architectures", [["GPT2ForSequenceClassification"], None])
def test_a_classifier_answers_from_the_last_real_token(folder, imported, names, architectures):
    weights = gpt2.random_weights()
    weights["score.weight"] = np.random.default_rng(1).normal(0, 0.5, (3, 12)).astype(np.float32)
    checkpoint, _ = imported(folder(weights, architectures=architectures, id2label=names, pad_token_id=7))
    config = checkpoint.config
    assert (config.num_labels, config.pooling, config.pad_token_id) == (3, "last", 7)
    assert config.id2label == (None if names is None else {0: "bad", 1: "fair", 2: "good"})
    padded = torch.tensor([[*IDS[:5], 7, 7]])
    got = checkpoint.model()(padded, (torch.arange(7) < 5).long()[None])[0]
    expected = gpt2.hidden_states(weights, IDS[:5], HEADS, "gelu_new")[-1] @ weights["score.weight"].T
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-4)


def test_names_for_another_number_of_labels_are_refused(folder):
    weights = gpt2.random_weights() | {"score.weight": np.ones((3, 12), np.float32)}
    path = folder(weights, architectures=["GPT2ForSequenceClassification"], id2label={"0": "no", "1": "yes"})
    assert "id2label must name the labels 0 to 2" in refusal(path)


def test_special_tokens_outside_the_vocabulary_are_left_out(folder, imported):
    checkpoint, notes = imported(folder(eos_token_id=50256))
    assert checkpoint.config.eos_token_id is None
    assert "eos_token_id 50256 is outside the vocabulary of 23 and is left out" in notes


BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())


def write_bpe(path, **added):
    """A vocabulary of all bytes and two merges, in GPT-2's older files."""
    vocabulary = [*BYTES, "he", "hel", "<|endoftext|>"]
    (path / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(vocabulary)}))
    (path / "merges.txt").write_text("#version: 0.2\nh e\nhe l\n")
    if added:
        (path / "added_tokens.json").write_text(json.dumps(added))


def test_older_tokenizer_files_become_one(folder, imported):
    path = folder(gpt2.random_weights(vocabulary=259), vocab_size=259)
    write_bpe(path)
    checkpoint, _ = imported(path)
    tokenizer = Tokenizer.from_file(str(checkpoint.tokenizer_file))
    text = "hello hé<|endoftext|>"
    tokens = tokenizer.encode(text)
    assert tokens.tokens == ["hel", "l", "o", "Ġ", "h", "Ã", "©", "<|endoftext|>"]
    assert tokens.ids[-1] == 258
    assert tokenizer.decode(tokens.ids, skip_special_tokens=False) == text


def test_added_tokens_keep_their_ids(folder):
    path = folder(gpt2.random_weights(vocabulary=261), vocab_size=261)
    write_bpe(path, **{"[SEP]": 260, "[PAD]": 259})
    assert import_checkpoint(path).tokenizer.encode("[SEP]o[PAD]").ids == [260, BYTES.index("o"), 259]
    write_bpe(path, **{"[PAD]": 260})
    assert "give [PAD] the id 260, but ids follow the vocabulary's" in refusal(path)


def test_a_tokenizer_that_starts_with_a_space_still_does(folder):
    path = folder(gpt2.random_weights(vocabulary=259), vocab_size=259)
    write_bpe(path)
    (path / "tokenizer_config.json").write_text('{"add_prefix_space": true}')
    assert import_checkpoint(path).tokenizer.encode("o").tokens == ["Ġ", "o"]


def test_broken_tokenizer_files_are_refused(folder):
    path = folder()
    write_bpe(path)
    (path / "merges.txt").write_text("#version: 0.2\nno such\n")
    assert "vocab.json and merges.txt are not a BPE" in refusal(path)
    (path / "tokenizer.json").write_text("{}")
    assert "is not a tokenizer.json" in refusal(path)


WORDS = json.dumps(
    {"version": "1.0", "model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1}, "unk_token": "a"}}
)


def test_a_tokenizer_that_is_there_is_copied_as_it_is(folder, imported):
    path = folder()
    text = json.dumps(json.loads(Tokenizer.from_str(WORDS).to_str()), indent=7)
    (path / "tokenizer.json").write_text(text)
    checkpoint, notes = imported(path)
    assert checkpoint.tokenizer_file.read_text() == text
    # Only a tokenizer that the user gives says which rows of the embedding are real.
    assert checkpoint.config.vocab_size == 23
    assert "the tokenizer has 2 tokens, the model 23" in notes


def test_the_command_takes_no_activation_for_a_folder(run, folder, tmp_path):
    done = run("import", folder(), "-o", tmp_path / "out", "--activation", "relu", "--json")
    assert done.code == 3
    assert "leave --activation out" in json.loads(done.out)["error"]["message"]
    assert not (tmp_path / "out").exists()


def test_the_folder_itself_is_never_replaced(run, folder):
    path = folder()
    done = run("import", path, "-o", path, "--overwrite")
    assert done.code == 3
    assert "is not a NoiseFormer" in done.err
    assert json.loads((path / "config.json").read_text())["model_type"] == "gpt2"
