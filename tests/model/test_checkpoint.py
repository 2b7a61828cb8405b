"""What a checkpoint must be, and what its user is told when it is not."""

import hashlib
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from nf_edge.core.errors import BadInput
from nf_edge.core.recipe.recipe import load_recipe
from nf_edge.model import load_checkpoint, save_checkpoint
from nf_edge.pipeline.export import export

BLOCK = "transformer.h.0."


@pytest.fixture
def copy_of(case, tmp_path):
    """A case, copied to where a test may spoil it: `copy_of(name, key=value, ...)` edits its config."""

    def copy(name, **changes):
        folder = tmp_path / name
        shutil.copytree(case(name), folder)
        config = json.loads((folder / "config.json").read_text())
        for key, value in changes.items():
            config.pop(key, None) if value is ... else config.update({key: value})
        (folder / "config.json").write_text(json.dumps(config))
        return folder

    return copy


def edit_tensors(folder, edit):
    tensors = load_file(folder / "model.safetensors")
    edit(tensors)
    save_file(tensors, folder / "model.safetensors")


def refusal(folder):
    with pytest.raises(BadInput) as caught:
        load_checkpoint(folder)
    assert str(folder) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "changes", "reason"),
    [
        ("lm-none", {"causal": False}, "causal must be true for a language model"),
        ("lm-standard", {"noise": {"kind": "relative"}}, "noise.kind must be none with standard attention"),
        (
            "lm-lowrank",
            {"noise": {"kind": "lowrank"}},
            "noise.rank must be from 1 to the head size 4, not None",
        ),
        ("lm-lowrank", {"noise": {"kind": "lowrank", "rank": 0}}, "noise.rank must be from 1"),
        (
            "lm-lowrank",
            {"noise": {"kind": "lowrank", "rank": 5}},
            "noise.rank must be from 1 to the head size 4",
        ),
        ("lm-none", {"n_head": 5}, "n_embd (12) must be a multiple of n_head (5)"),
        ("lm-none", {"layers": [{}]}, "layers must have n_layer = 2 entries, not 1"),
        ("lm-none", {"layers": [{"n_head": 0}, {}]}, "layers[0].n_head must be from 1 to 3, not 0"),
        ("lm-none", {"layers": [{}, {"n_head": 4}]}, "layers[1].n_head must be from 1 to 3, not 4"),
        ("lm-none", {"activation_function": "swish"}, "activation_function"),
        ("lm-none", {"noise": {"kind": "white"}}, "noise.kind"),
        ("lm-none", {"attention": "linear"}, "attention"),
        ("lm-none", {"model_type": "gpt2"}, "model_type"),
        ("lm-none", {"vocab_size": ...}, "vocab_size: Field required"),
        ("lm-none", {"layer_norm_epsilon": 0.0}, "layer_norm_epsilon"),
        ("lm-none", {"layer_norm_epsilon": True}, "layer_norm_epsilon: Input should be a valid number"),
        ("lm-none", {"vocab_size": True}, "vocab_size: Input should be a valid integer"),
        ("lm-none", {"layers": [{"n_head": True}, {}]}, "layers.0.n_head: Input should be a valid integer"),
        ("lm-lowrank", {"noise": {"kind": "lowrank", "rank": True}}, "noise.rank: Input should be a valid"),
        ("lm-none", {"eos_token_id": 19}, "eos_token_id must be below vocab_size 19, not 19"),
        ("lm-none", {"eos_token_id": [3, 19]}, "eos_token_id must be below vocab_size 19, not 19"),
        ("lm-none", {"eos_token_id": []}, "eos_token_id: must be a token id (a whole number) or a list"),
        (
            "lm-none",
            {"eos_token_id": [3, "4"]},
            "eos_token_id: must be a token id (a whole number) or a list",
        ),
        (
            "lm-none",
            {"pad_token_id": True},
            "pad_token_id: must be a token id (a whole number) (found 'true')",
        ),
        ("cls-causal-first", {"problem_type": "ranking"}, "problem_type: Input should be"),
        (
            "cls-regression-padded",
            {"problem_type": "single_label_classification"},
            "problem_type must be regression or multi_label_classification if num_labels is 1",
        ),
        ("cls-causal-first", {"num_labels": ...}, "num_labels is required"),
        ("cls-causal-first", {"id2label": {"0": "no", "2": "yes"}}, "id2label must name the labels 0 to 3"),
        ("cls-causal-first", {"pooling": "max"}, "pooling"),
    ],
)
def test_an_impossible_config_is_refused_with_its_reason(copy_of, name, changes, reason):
    assert reason in refusal(copy_of(name, **changes))


@pytest.mark.parametrize(
    ("name", "edit", "reason"),
    [
        (
            "lm-none",
            lambda tensors: tensors.update({"lm_head.weight": torch.ones(19, 12)}),
            "lm_head.weight [19, 12] is not part of this model, because tie_word_embeddings is true",
        ),
        (
            "lm-lowrank-full-rank-untied-gelu",
            lambda tensors: tensors.pop("lm_head.weight"),
            "lm_head.weight is missing (required shape: [19, 12])",
        ),
        (
            "lm-none",
            lambda tensors: tensors.pop(BLOCK + "attn.c_kv.bias"),
            BLOCK + "attn.c_kv.bias is missing (required shape: [24])",
        ),
        (
            "lm-none",
            lambda tensors: tensors.update({BLOCK + "attn.c_attn.weight": torch.ones(36, 12)}),
            "attention is symmetric; its projection is c_kv",
        ),
        (
            "lm-none",
            lambda tensors: tensors.update({BLOCK + "attn.noise.p": torch.ones(3, 4, 4)}),
            "noise.kind is none",
        ),
        (
            "lm-none",
            lambda tensors: tensors.update({"transformer.ln_f.weight": torch.ones(11)}),
            "transformer.ln_f.weight must have shape [12], not [11]",
        ),
        (
            "lm-none",
            lambda tensors: tensors.update({"transformer.ln_f.weight": torch.ones(12, dtype=torch.int32)}),
            "transformer.ln_f.weight must be float32, float16 or bfloat16, not int32",
        ),
        (
            "lm-none",
            lambda tensors: tensors["transformer.wte.weight"][3, 4].fill_(float("nan")),
            "transformer.wte.weight contains NaN or Inf",
        ),
        (
            "lm-none",
            lambda tensors: tensors["transformer.wpe.weight"][0, 0].fill_(float("-inf")),
            "transformer.wpe.weight contains NaN or Inf",
        ),
    ],
)
def test_a_wrong_tensor_is_refused_by_name(copy_of, name, edit, reason):
    folder = copy_of(name)
    edit_tensors(folder, edit)
    assert reason in refusal(folder)


def test_everything_wrong_with_a_config_is_said_at_once(copy_of):
    message = refusal(
        copy_of("lm-none", causal=False, n_head=5, layers=[{"n_head": 9}, {}], noise={"kind": "lowrank"})
    )
    for reason in ("causal must be true", "must be a multiple", "layers[0].n_head", "noise.rank"):
        assert reason in message


def test_everything_wrong_with_the_tensors_is_said_at_once(copy_of):
    folder = copy_of("lm-none")

    def spoil(tensors):
        del tensors["transformer.wte.weight"]
        tensors["extra"] = torch.ones(2)
        tensors["transformer.ln_f.bias"] = torch.full((7,), float("nan"))

    edit_tensors(folder, spoil)
    message = refusal(folder)
    for reason in (
        "4 problems",
        "transformer.wte.weight is missing",
        "extra [2] is not part of this model",
        "transformer.ln_f.bias must have shape [12], not [7]",
        "transformer.ln_f.bias contains NaN",
    ):
        assert reason in message


def test_the_spread_of_the_training_noise_may_be_there_but_must_fit(copy_of):
    folder = copy_of("lm-none")
    edit_tensors(folder, lambda tensors: tensors.update({BLOCK + "attn.noise.log_sigma": torch.ones(3)}))
    load_checkpoint(folder).model()
    edit_tensors(folder, lambda tensors: tensors.update({BLOCK + "attn.noise.log_sigma": torch.ones(2)}))
    assert "log_sigma must have shape [3], not [2]" in refusal(folder)


@pytest.mark.parametrize("keep", [0, 7, 100, -1])
def test_a_file_that_was_cut_short_is_refused(copy_of, keep):
    folder = copy_of("lm-none")
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:keep])
    assert "is not a complete safetensors file" in refusal(folder)


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(copy_of, missing):
    folder = copy_of("lm-none")
    (folder / missing).unlink()
    assert missing in refusal(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", '"noiseformer"', "[" * 100_000])
def test_a_config_that_is_no_json_object_is_refused(copy_of, text):
    folder = copy_of("lm-none")
    (folder / "config.json").write_text(text)
    assert "JSON" in refusal(folder)


def test_a_key_that_is_not_known_is_only_a_warning(copy_of):
    folder = copy_of("lm-none", dropout=0.1, noise={"kind": "none", "colour": "pink"})
    dropout, colour = load_checkpoint(folder).warnings
    assert "unknown key 'dropout' is ignored" in dropout
    assert "unknown key 'noise.colour' is ignored" in colour


def test_noise_that_is_not_mentioned_is_none(copy_of):
    assert load_checkpoint(copy_of("lm-none", noise=...)).config.noise.kind == "none"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_files_are_loaded_and_computed_in_float32(case, tmp_path, dtype):
    whole = load_checkpoint(case("lm-lowrank"))
    save_checkpoint(tmp_path / "half", whole.config, whole.tensors, dtype=dtype)
    half = load_checkpoint(tmp_path / "half")
    assert {tensor.dtype for tensor in half.tensors.values()} == {dtype}
    ids = torch.arange(8)[None]
    logits = half.model()(ids)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, whole.model()(ids), rtol=0, atol=0.2)


def test_saving_and_loading_gives_the_same_model(case, tmp_path):
    before = load_checkpoint(case("cls-regression-padded"))
    save_checkpoint(tmp_path / "copy", before.config, before.tensors)
    after = load_checkpoint(tmp_path / "copy")
    assert after.config == before.config
    assert after.parameters == sum(tensor.numel() for tensor in before.tensors.values())
    assert {file.stat().st_mode for file in after.path.iterdir()} == {
        (after.path / "config.json").stat().st_mode
    }
    ids = torch.arange(8)[None]
    assert torch.equal(after.model()(ids), before.model()(ids))


@pytest.mark.parametrize("name", ["lm-none", "cls-lowrank-last-padded", "lm-lowrank-full-rank-untied-gelu"])
def test_the_reference_network_shares_the_weights_and_answers_as_a_copy_does(name, case):
    checkpoint = load_checkpoint(case(name))
    ids, reference = torch.arange(8)[None], checkpoint.reference()
    # Sums of floats round by where they lie in memory.
    torch.testing.assert_close(reference(ids), checkpoint.model()(ids), atol=1e-5, rtol=1e-5)
    shared = {tensor.data_ptr() for tensor in checkpoint.tensors.values()}
    assert all(parameter.data_ptr() in shared for parameter in reference.parameters())


def test_a_tied_head_is_written_once(case, tmp_path):
    checkpoint = load_checkpoint(case("lm-none"))
    save_checkpoint(tmp_path / "copy", checkpoint.config, checkpoint.model().state_dict())
    assert "lm_head.weight" not in load_checkpoint(tmp_path / "copy").tensors


def test_nothing_is_written_when_the_tensors_do_not_fit(case, tmp_path):
    checkpoint = load_checkpoint(case("lm-none"))
    too_large = {name: tensor * 1e6 for name, tensor in checkpoint.tensors.items()}
    with pytest.raises(BadInput, match="float16 values above 65504 become Inf"):
        save_checkpoint(tmp_path / "copy", checkpoint.config, too_large, dtype=torch.float16)
    assert list(tmp_path.iterdir()) == []


def test_only_a_noiseformer_is_ever_overwritten(copy_of, case):
    checkpoint = load_checkpoint(case("lm-none"))
    ours, foreign = copy_of("lm-lowrank"), copy_of("lm-relative", model_type="gpt2")
    with pytest.raises(BadInput, match="give --overwrite"):
        save_checkpoint(ours, checkpoint.config, checkpoint.tensors)
    with pytest.raises(BadInput, match="is not a NoiseFormer"):
        save_checkpoint(foreign, checkpoint.config, checkpoint.tensors, overwrite=True)
    (ours / "expected.npz").unlink()
    save_checkpoint(ours, checkpoint.config, checkpoint.tensors, overwrite=True)
    assert load_checkpoint(ours).config == checkpoint.config
    assert (foreign / "expected.npz").exists()


@pytest.mark.parametrize("change", ["weights", "tokenizer", "gone"])
def test_a_checkpoint_whose_files_changed_since_it_was_loaded_has_no_identity(copy_of, change):
    """Else an export would name other weights than those that it exported."""
    folder = copy_of("lm-none")
    assert load_checkpoint(folder).identity == load_checkpoint(folder).identity
    loaded = load_checkpoint(folder)
    if change == "weights":
        edit_tensors(folder, lambda tensors: tensors["transformer.ln_f.bias"].add_(1))
    elif change == "tokenizer":
        (folder / "tokenizer.json").write_text("{}")
    else:
        (folder / "model.safetensors").unlink()
    with pytest.raises(BadInput, match="changed since it was loaded" if change != "gone" else "no such file"):
        _ = loaded.identity


@pytest.mark.slow
def test_an_export_names_the_weights_that_it_began_with(copy_of, tmp_path):
    """Whoever trains again meanwhile loses neither the export nor what its manifest says."""
    folder = copy_of("cls-causal-first")
    before = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()

    def progress(*_):
        edit_tensors(folder, lambda tensors: tensors["transformer.ln_f.bias"].add_(1))

    done = export(load_checkpoint(folder), load_recipe("onnx-fp32"), tmp_path / "out", progress=progress)
    assert done.manifest.checkpoint.sha256 == before
    assert hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest() != before
