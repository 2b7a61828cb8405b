"""A Hugging Face GPT-2 folder becomes a checkpoint that answers as it did, or is refused by name."""

import json

import gpt2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, pre_tokenizers

from nf_edge.core.errors import BadInput
from nf_edge.model import load_checkpoint
from nf_edge.model.importers import import_checkpoint, settings

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
        ("gelu_fast", "gelu_new"),
        ("gelu_python", "gelu"),
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


def test_shards_that_pytorch_wrote_are_put_together(folder, imported):
    path = folder()
    (path / "model.safetensors").unlink()
    whole = tensors()
    where = {name: f"pytorch_model-0000{1 + i % 2}-of-00002.bin" for i, name in enumerate(whole)}
    for file in set(where.values()):
        torch.save({name: tensor for name, tensor in whole.items() if where[name] == file}, path / file)
    (path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": where}))
    assert_answers(imported(path)[0], gpt2.random_weights())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda one, two: two.update(one),
            "transformer.wte.weight is in b.safetensors, but the index has it in a.",
        ),
        (
            lambda one, two: one.pop("transformer.wte.weight"),
            "transformer.wte.weight is not in a.safetensors",
        ),
        (
            lambda one, two: two.update(new=torch.ones(1)),
            "new is in b.safetensors, but the index has it in no file",
        ),
    ],
    ids=["twice", "missing", "not listed"],
)
def test_shards_that_are_not_what_their_index_says_are_refused(folder, change, message):
    path = folder()
    (path / "model.safetensors").unlink()
    whole = tensors()
    one = {name: whole.pop(name) for name in list(whole)[:5]}
    where = dict.fromkeys(one, "a.safetensors") | dict.fromkeys(whole, "b.safetensors")
    change(one, whole)
    save_file(one, path / "a.safetensors")
    save_file(whole, path / "b.safetensors")
    (path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    assert message in refusal(path)


def test_two_keys_of_one_tensor_are_refused_by_name(folder):
    path = folder()
    save_file(tensors() | {"wte.weight": torch.zeros(23, 12)}, path / "model.safetensors")
    message = refusal(path)
    assert "transformer.wte.weight and wte.weight are the same tensor, transformer.wte.weight" in message


def test_names_of_a_wrapper_are_the_same_model(folder, imported):
    weights = {f"_orig_mod.model.{name}": w for name, w in gpt2.random_weights().items()}
    checkpoint, notes = imported(folder(weights))
    assert "the prefix 'model.' is removed from all tensor names" in notes
    assert_answers(checkpoint, gpt2.random_weights())


@pytest.mark.parametrize("file", ["adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"])
@pytest.mark.parametrize("alone", [False, True])
def test_an_adapter_is_refused_with_how_to_merge_it(run, folder, tmp_path, file, alone):
    path = folder()
    (path / file).write_text("{}")
    if alone:
        (path / "config.json").unlink()
        (path / "model.safetensors").unlink()
    done = run("import", path, "-o", tmp_path / "out")
    assert (done.code, done.out) == (3, "")
    assert f"has an adapter ({file}), which import cannot read" in done.err
    assert "merge_and_unload()" in done.err
    assert not (tmp_path / "out").exists()


def test_an_adapter_in_a_folder_below_is_told(folder, imported):
    path = folder()
    (path / "adapters" / "polite").mkdir(parents=True)
    (path / "adapters" / "polite" / "adapter_config.json").write_text("{}")
    checkpoint, notes = imported(path)
    assert "the adapter in adapters/polite is not imported" in notes
    assert_answers(checkpoint, gpt2.random_weights())


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
    assert "has none of these weight files" in refusal(path)


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
        "scale_attn_weights is False, which a NoiseFormer does not support (the scores are not divided",
        "scale_attn_by_inverse_layer_idx is True, which a NoiseFormer does not support (each layer's",
        "reorder_and_upcast_attn is True, which a NoiseFormer does not support (attention rounds in an order",
        "add_cross_attention is True, which a NoiseFormer does not support (the model attends to",
        "activation_function",
    ):
        assert reason in message


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model_type": "llama"}, "model_type must be 'gpt2', not 'llama'"),
        (
            {"architectures": ["GPT2DoubleHeadsModel"]},
            "GPT2ForSequenceClassification, not GPT2DoubleHeadsModel",
        ),
        ({"n_head": 5}, "n_embd (12) must be a multiple of n_head (5)"),
        ({"n_layer": 3}, "transformer.h.2.ln_1.weight is missing"),
        ({"n_inner": 40}, "mlp.c_fc.weight must have shape [40, 12], not [48, 12]"),
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
    assert (config.num_labels, config.pooling, config.pad_token_id) == (3, "last_not_pad", 7)
    assert config.task == "classification"
    assert config.id2label == (None if names is None else {0: "bad", 1: "fair", 2: "good"})
    padded = torch.tensor([[*IDS[:5], 7, 7]])
    got = checkpoint.model()(padded, (torch.arange(7) < 5).long()[None])[0]
    expected = gpt2.hidden_states(weights, IDS[:5], HEADS, "gelu_new")[-1] @ weights["score.weight"].T
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-4)


def transformers_pools(ids, pad):
    """The place that GPT2ForSequenceClassification scores."""
    return int((np.arange(len(ids)) * (ids != pad)).argmax())


@pytest.mark.parametrize("pad", [0, 7, 22])
@pytest.mark.parametrize("pads", [0, 1, 3, 8])
def test_pad_tokens_at_the_end_of_a_text_are_passed_over_as_transformers_does(folder, imported, pad, pads):
    weights = gpt2.random_weights()
    weights["score.weight"] = np.random.default_rng(1).normal(0, 0.5, (3, 12)).astype(np.float32)
    model = imported(folder(weights, architectures=["GPT2ForSequenceClassification"], pad_token_id=pad))[
        0
    ].model()
    ids = IDS.copy()
    ids[len(ids) - pads :] = pad
    place = transformers_pools(ids, pad)
    expected = gpt2.hidden_states(weights, ids, HEADS, "gelu_new")[place] @ weights["score.weight"].T
    row = torch.from_numpy(ids)[None]
    padded = torch.nn.functional.pad(row, (0, 1), value=pad)
    for got in (
        model(row),
        model(row, torch.ones_like(row)),
        model(padded, (torch.arange(9) < 8).long()[None]),
    ):
        np.testing.assert_allclose(got[0].numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("pad", [None, -1, 23])
def test_without_a_pad_token_that_can_occur_the_last_token_is_pooled(folder, imported, pad):
    weights = gpt2.random_weights() | {"score.weight": np.ones((3, 12), np.float32)}
    checkpoint, notes = imported(
        folder(weights, architectures=["GPT2ForSequenceClassification"], pad_token_id=pad)
    )
    assert checkpoint.config.pooling == "last"
    assert ("is ignored, because" in notes) == (pad is not None)


@pytest.mark.parametrize(
    ("labels", "problem_type", "task", "kind"),
    [
        (1, None, "regression", "regression"),
        (1, "multi_label_classification", "multi-label classification", "multi-label classifier of 1 label"),
        (3, None, "classification", "classifier of 3 labels"),
        (3, "single_label_classification", "classification", "classifier of 3 labels"),
        (3, "multi_label_classification", "multi-label classification", "multi-label classifier of 3 labels"),
        (3, "regression", "regression", "regression of 3 numbers"),
    ],
)
def test_what_a_head_answers_is_taken_over(run, folder, tmp_path, labels, problem_type, task, kind):
    weights = gpt2.random_weights() | {"score.weight": np.ones((labels, 12), np.float32)}
    path = folder(weights, architectures=["GPT2ForSequenceClassification"], problem_type=problem_type)
    done = run("import", path, "-o", tmp_path / "out")
    assert done.code == 0
    assert f"{kind}, pools last" in done.out
    assert load_checkpoint(tmp_path / "out").config.task == task


def test_a_number_of_labels_that_the_head_has_not_is_refused(folder):
    weights = gpt2.random_weights() | {"score.weight": np.ones((3, 12), np.float32)}
    path = folder(weights, architectures=["GPT2ForSequenceClassification"], num_labels=5)
    assert "num_labels must be 3, the rows of score.weight, not 5" in refusal(path)


def test_several_ends_of_a_text_are_taken_over(folder, imported):
    checkpoint, _ = imported(folder(eos_token_id=[0, 7, 50256]))
    assert checkpoint.config.eos_token_id == checkpoint.config.end_tokens == (0, 7)


@pytest.mark.parametrize("eos", ["</s>", [], [0, "7"], [0, True], 1.5])
def test_ends_of_a_text_that_are_none_are_refused_with_what_they_must_be(folder, eos):
    assert "eos_token_id: must be a token id (a whole number) or a list of token ids" in refusal(
        folder(eos_token_id=eos)
    )


@pytest.mark.parametrize(
    ("config", "generation", "tokens", "note"),
    [
        # bos, eos and pad by config.json, then by generation_config.json, and what is made of them.
        ((0, 22, None), (0, 22, None), (0, (22,), None), ""),
        (
            (0, 22, None),
            (5, [0, 7], None),
            (0, (0, 7), None),
            "eos_token_id [0, 7] of generation_config.json is used",
        ),
        ((None, 22, None), (5, 22, 6), (5, (22,), 6), "bos_token_id 5 of generation_config.json is used"),
        ((0, 22, 3), (None, None, 6), (0, (22,), 3), "generation_config.json has no eos_token_id"),
        (
            (0, None, None),
            (None, 7, None),
            (0, (7,), None),
            "of generation_config.json is used, as in transformers' generate; config.json has none",
        ),
    ],
)
def test_generation_config_says_where_a_text_ends(folder, imported, config, generation, tokens, note):
    keys = ("bos_token_id", "eos_token_id", "pad_token_id")
    path = folder(**dict(zip(keys, config, strict=True)))
    (path / "generation_config.json").write_text(json.dumps(dict(zip(keys, generation, strict=True))))
    checkpoint, notes = imported(path)
    got = checkpoint.config
    assert (got.bos_token_id, got.end_tokens, got.pad_token_id) == tokens
    assert note in notes
    assert ("of generation_config.json is used" in notes) == ("of generation_config.json is used" in note)


def test_generation_config_does_not_change_a_classifier(folder, imported):
    weights = gpt2.random_weights() | {"score.weight": np.ones((3, 12), np.float32)}
    path = folder(weights, architectures=["GPT2ForSequenceClassification"], pad_token_id=None)
    (path / "generation_config.json").write_text(
        '{"pad_token_id": 3, "eos_token_id": [1, 2], "do_sample": true}'
    )
    checkpoint, notes = imported(path)
    assert (checkpoint.config.pad_token_id, checkpoint.config.end_tokens) == (None, (22,))
    assert "generat" not in notes


def test_a_broken_generation_config_is_refused(folder):
    path = folder()
    (path / "generation_config.json").write_text('{"eos_token_id": "</s>"}')
    assert "eos_token_id in generation_config.json must be a token id, not '</s>'" in refusal(path)
    (path / "generation_config.json").write_text("{")
    with pytest.raises(BadInput, match=r"generation_config\.json: is not valid JSON"):
        import_checkpoint(path)


# What transformers 5.24 writes into a GPT-2's config.json, and what 4.57 wrote besides.
THEIRS = [
    "_name_or_path",
    "activation_function",
    "add_cross_attention",
    "architectures",
    "attn_pdrop",
    "bos_token_id",
    "chunk_size_feed_forward",
    "dtype",
    "embd_pdrop",
    "eos_token_id",
    "id2label",
    "initializer_range",
    "is_encoder_decoder",
    "label2id",
    "layer_norm_epsilon",
    "model_type",
    "n_embd",
    "n_head",
    "n_inner",
    "n_layer",
    "n_positions",
    "output_attentions",
    "output_hidden_states",
    "pad_token_id",
    "problem_type",
    "reorder_and_upcast_attn",
    "resid_pdrop",
    "return_dict",
    "scale_attn_by_inverse_layer_idx",
    "scale_attn_weights",
    "summary_activation",
    "summary_first_dropout",
    "summary_proj_to_labels",
    "summary_type",
    "summary_use_proj",
    "tie_word_embeddings",
    "transformers_version",
    "use_cache",
    "vocab_size",
    "bad_words_ids",
    "begin_suppress_tokens",
    "diversity_penalty",
    "do_sample",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "exponential_decay_length_penalty",
    "finetuning_task",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "is_decoder",
    "length_penalty",
    "max_length",
    "min_length",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_return_sequences",
    "pruned_heads",
    "remove_invalid_values",
    "repetition_penalty",
    "suppress_tokens",
    "temperature",
    "tf_legacy_loss",
    "tie_encoder_decoder",
    "tokenizer_class",
    "top_k",
    "top_p",
    "torch_dtype",
    "torchscript",
    "typical_p",
    "use_bfloat16",
]


def test_every_setting_that_transformers_has_is_read_refused_told_or_without_effect():
    tables = (settings.READ, settings.PLAIN.keys(), settings.IRRELEVANT, settings.GENERATION_DEFAULTS.keys())
    for key in THEIRS:
        assert sum(key in table for table in tables) == 1, key


def test_every_setting_of_the_transformers_that_is_here_is_in_a_table():
    transformers = pytest.importorskip("transformers", reason="pip install transformers")
    known = settings.READ | settings.PLAIN.keys() | settings.IRRELEVANT | settings.GENERATION_DEFAULTS.keys()
    assert set(transformers.GPT2Config().to_dict()) <= known


@pytest.mark.parametrize("key", settings.PLAIN)
def test_what_makes_another_model_is_refused_by_name(folder, key):
    plain, reason = settings.PLAIN[key]
    other = not plain if isinstance(plain, bool) else {"0": [1]}
    message = refusal(folder(**{key: other}))
    assert f"{key} is {other!r}, which a NoiseFormer does not support ({reason})" in message


@pytest.mark.parametrize("key", settings.PLAIN)
def test_what_is_plain_is_no_matter(folder, imported, key):
    assert key not in imported(folder(**{key: settings.PLAIN[key][0]}))[1]


@pytest.mark.parametrize("key", sorted(settings.GENERATION_DEFAULTS))
def test_how_text_is_chosen_is_told(folder, imported, key):
    _, notes = imported(folder(**{key: 0.123}))
    assert f"settings of transformers' generate are ignored: {key}=0.123" in notes


def test_how_generation_config_has_text_chosen_is_told(folder, imported):
    path, chosen = folder(), {"do_sample": True, "temperature": 0.7, "new_way": [1]}
    plain = {"eos_token_id": 22, "top_k": 50, "use_cache": True, "top_p": None}
    (path / "generation_config.json").write_text(json.dumps(chosen | plain))
    _, notes = imported(path)
    assert "are ignored: do_sample=True, temperature=0.7, new_way=[1];" in notes


def test_a_setting_that_nobody_knows_is_told(folder, imported):
    _, notes = imported(folder(rope_theta=10000, sliding_window=None))
    assert (
        "unknown keys of config.json are ignored: rope_theta=10000; check that the model does not need them"
        in notes
    )


def test_other_names_of_the_shape_are_taken_and_contradictions_are_not(folder, imported, tmp_path):
    config = {key: value for key, value in CONFIG.items() if key not in ("n_embd", "n_layer")}
    path = folder()
    (path / "config.json").write_text(json.dumps(config | {"hidden_size": 12, "num_hidden_layers": 2}))
    assert_answers(imported(path)[0], gpt2.random_weights())
    (path / "config.json").write_text(json.dumps(CONFIG | {"hidden_size": 24}))
    assert "hidden_size (24) and n_embd (12) mean the same and must be equal" in refusal(path)


def test_weights_of_another_dtype_than_the_config_says_stay_and_are_told(folder, imported):
    checkpoint, notes = imported(folder(dtype="bfloat16"))
    assert "dtype is bfloat16 in config.json, but the weights stay float32" in notes
    assert_answers(checkpoint, gpt2.random_weights())


def test_a_text_without_an_end_stays_one(folder, imported):
    """An end that the tokenizer has is none of the model's where its config says that there is none."""
    path = folder(gpt2.random_weights(vocabulary=259), vocab_size=259, eos_token_id=None)
    write_bpe(path)
    assert imported(path)[0].config.end_tokens == ()


def test_names_for_another_number_of_labels_are_refused(folder):
    weights = gpt2.random_weights() | {"score.weight": np.ones((3, 12), np.float32)}
    path = folder(weights, architectures=["GPT2ForSequenceClassification"], id2label={"0": "no", "1": "yes"})
    assert "id2label must name the labels 0 to 2" in refusal(path)


def test_special_tokens_outside_the_vocabulary_are_left_out(folder, imported):
    checkpoint, notes = imported(folder(eos_token_id=50256))
    assert checkpoint.config.eos_token_id is None
    assert "eos_token_id 50256 is ignored, because it is outside the vocabulary of 23 tokens" in notes


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
    assert "gives [PAD] the id 260, but its id must be" in refusal(path)


def test_a_tokenizer_that_starts_with_a_space_still_does(folder):
    path = folder(gpt2.random_weights(vocabulary=259), vocab_size=259)
    write_bpe(path)
    (path / "tokenizer_config.json").write_text('{"add_prefix_space": true}')
    assert import_checkpoint(path).tokenizer.encode("o").tokens == ["Ġ", "o"]


def test_broken_tokenizer_files_are_refused(folder):
    path = folder()
    write_bpe(path)
    (path / "merges.txt").write_text("#version: 0.2\nno such\n")
    assert "vocab.json and merges.txt do not define a BPE tokenizer" in refusal(path)
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
    assert "the tokenizer has 2 tokens, but the model has 23" in notes


def test_the_command_takes_no_activation_for_a_folder(run, folder, tmp_path):
    done = run("import", folder(), "-o", tmp_path / "out", "--activation", "relu", "--json")
    assert done.code == 3
    assert "remove --activation" in json.loads(done.out)["error"]["message"]
    assert not (tmp_path / "out").exists()


def test_the_folder_itself_is_never_replaced(run, folder):
    path = folder()
    done = run("import", path, "-o", path, "--overwrite")
    assert done.code == 3
    assert "is not a NoiseFormer" in done.err
    assert json.loads((path / "config.json").read_text())["model_type"] == "gpt2"
