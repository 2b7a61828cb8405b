"""Checkpoints made smaller: what goes, that nothing else changes, and that recovery brings answers back."""

import json

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from nf_edge.artifact import load_artifact
from nf_edge.core.recipe.prune import Weights
from nf_edge.core.recipe.recipe import load_recipe
from nf_edge.measure.accuracy.divergence import divergence_of
from nf_edge.model import Checkpoint, ModelConfig, load_checkpoint, save_checkpoint
from nf_edge.model.data import Row, collate
from nf_edge.model.init import init_tensors
from nf_edge.model.tokenizer import read_tokenizer, vocabulary_size
from nf_edge.pruning.compress import compress_checkpoint
from nf_edge.pruning.data import Sources
from nf_edge.pruning.importance import Importance, importance
from nf_edge.pruning.recover import state_file
from nf_edge.pruning.select import first_of, pieces, remaining
from nf_edge.pruning.sparsity import apply_masks, weight_masks
from nf_edge.pruning.structured import Kept, all_kept, cut, drop_layers
from nf_edge.pruning.vocabulary import drop_tokens, smaller_tokenizer, tokens_to_keep
from nf_edge.training.bpe import train_bpe

NOISES = {
    "none": {"kind": "none"},
    "lowrank": {"kind": "lowrank", "rank": 2},
    "pairwise": {"kind": "pairwise"},
    "relative": {"kind": "relative"},
    "standard": {"kind": "none"},
}


def checkpoint_of(tmp_path, kind="lowrank", **changes):
    config = ModelConfig(
        **{
            "architectures": ("NoiseFormerForSequenceClassification",),
            "vocab_size": 50,
            "n_positions": 12,
            "n_embd": 16,
            "n_layer": 3,
            "n_head": 4,
            "n_inner": 24,
            "num_labels": 3,
            "attention": "standard" if kind == "standard" else "symmetric",
            "noise": NOISES[kind],
            **changes,
        }
    )
    generator = torch.Generator().manual_seed(1)
    tensors = {
        name: tensor + 0.3 * torch.randn(tensor.shape, generator=generator)
        for name, tensor in init_tensors(config, 0).items()
    }
    return Checkpoint(tmp_path, config, tensors)


def ids_of(checkpoint, rows=4):
    generator = torch.Generator().manual_seed(2)
    return torch.randint(checkpoint.config.vocab_size, (rows, 9), generator=generator)


def silenced(checkpoint, gone):
    """The checkpoint with zeros where the heads and units that go are multiplied into the output."""
    tensors = {name: tensor.clone() for name, tensor in checkpoint.tensors.items()}
    d = checkpoint.config.head_size
    for layer, (heads, units) in enumerate(gone):
        for head in heads:
            tensors[f"transformer.h.{layer}.attn.c_proj.weight"][:, head * d : (head + 1) * d] = 0
        for unit in units:
            tensors[f"transformer.h.{layer}.mlp.c_proj.weight"][:, unit] = 0
    return Checkpoint(checkpoint.path, checkpoint.config, tensors)


@pytest.mark.parametrize("kind", NOISES)
@given(data=st.data())
@settings(max_examples=10)
def test_a_model_cut_is_the_model_whose_missing_heads_and_units_say_nothing(kind, data, tmp_path_factory):
    checkpoint = checkpoint_of(tmp_path_factory.getbasetemp(), kind)
    gone = [
        (
            data.draw(st.sets(st.integers(0, heads - 1), max_size=heads - 1)),
            data.draw(st.sets(st.integers(0, inner - 1), max_size=inner - 1)),
        )
        for heads, inner in checkpoint.config.layer_sizes
    ]
    kept = [
        Kept(
            tuple(head for head in layer.heads if head not in heads),
            tuple(unit for unit in layer.units if unit not in units),
        )
        for layer, (heads, units) in zip(all_kept(checkpoint.config), gone, strict=True)
    ]
    small = Checkpoint(checkpoint.path, *cut(checkpoint.config, checkpoint.tensors, kept))
    ids = ids_of(checkpoint)
    torch.testing.assert_close(
        small.model()(ids), silenced(checkpoint, gone).model()(ids), atol=1e-5, rtol=1e-5
    )
    assert small.config.layer_sizes == [(len(layer.heads), len(layer.units)) for layer in kept]
    # What was cut once can be cut again.
    again = Checkpoint(checkpoint.path, *cut(small.config, small.tensors, all_kept(small.config)))
    torch.testing.assert_close(again.model()(ids), small.model()(ids))


def test_a_layer_that_adds_nothing_can_be_dropped_without_a_change(tmp_path):
    checkpoint = checkpoint_of(tmp_path, layers=[{"n_head": n, "n_inner": 8 * n} for n in (1, 2, 3)])
    everything = [(range(n), range(8 * n)) for n in (1, 2, 3)]
    silent = silenced(checkpoint, [((), ()), everything[1], ((), ())])
    for name in ("attn", "mlp"):
        silent.tensors[f"transformer.h.1.{name}.c_proj.bias"].zero_()
    small = Checkpoint(tmp_path, *drop_layers(silent.config, silent.tensors, {1}))
    assert small.config.layer_sizes == [(1, 8), (3, 24)]
    ids = ids_of(checkpoint)
    torch.testing.assert_close(small.model()(ids), silent.model()(ids))


def test_what_says_nothing_has_no_importance_and_the_estimate_is_that_of_closing_a_gate(tmp_path):
    gone = [({1}, {3, 4}), (set(), set()), (set(), {0})]
    checkpoint = silenced(checkpoint_of(tmp_path), gone)
    rows = [Row(tuple(ids), i % 3) for i, ids in enumerate(ids_of(checkpoint, 6).tolist())]
    model = checkpoint.model()
    found = importance(model, [collate(rows[:4], None), collate(rows[4:], None)])
    assert found[0].heads[1] == 0
    assert found[0].units[[3, 4]].tolist() == [0, 0]
    assert found[2].units[0] == 0
    assert (torch.cat([layer.heads for layer in found]) > 0).sum() == 11
    # A derivative is what a small step does.
    step, layer, unit = 1e-3, 1, 5
    moved = {name: tensor.clone() for name, tensor in checkpoint.tensors.items()}
    moved[f"transformer.h.{layer}.mlp.c_proj.weight"][:, unit] *= 1 + step
    batch = collate(rows, None)

    def losses(model):
        logits = model(batch.input_ids, batch.attention_mask).double()
        return torch.nn.functional.cross_entropy(logits, batch.labels, reduction="none")

    change = losses(Checkpoint(tmp_path, checkpoint.config, moved).model()) - losses(model)
    assert found[layer].units[unit].item() == pytest.approx(change.abs().mean().item() / step, rel=0.05)


def test_the_least_important_goes_first_and_a_head_and_a_group_of_units_stay(tmp_path):
    config = checkpoint_of(tmp_path, n_inner=64).config
    ascending = [
        Importance(torch.arange(4.0).double() + 10 * i, torch.arange(64.0).double() + 100 * i)
        for i in range(3)
    ]
    found = pieces(config, ascending)
    gone = first_of(found, lambda piece: int(piece.is_head), 4)
    assert [(piece.layer, piece.indices) for piece in gone] == [(0, (0,)), (0, (1,)), (0, (2,)), (1, (0,))]
    kept = remaining(all_kept(config), found)
    assert [len(layer.heads) for layer in kept] == [1, 1, 1]
    assert [layer.units for layer in kept] == [tuple(range(32, 64))] * 3  # a group of 32 is one of int4


TEXTS = ["the cat sat on the mat", "the dog sat on the log", "a cat and a dog"] * 5


def text_checkpoint(tmp_path, language_model=False, vocab_size=400, **changes):
    folder = tmp_path / "text"
    folder.mkdir(exist_ok=True)
    tokenizer = train_bpe(
        [*TEXTS, "unrelated words elsewhere " * 5] * 3, vocab_size, lowercase=True, treebank=True
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    kind = ("NoiseFormerForCausalLM",) if language_model else ("NoiseFormerForSequenceClassification",)
    changes |= {"architectures": kind, "num_labels": None if language_model else 2}
    size = tokenizer.get_vocab_size()
    special = {"pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0} | changes
    made = checkpoint_of(folder, vocab_size=size, **special)
    target = tmp_path / "checkpoint"
    save_checkpoint(
        target, made.config, made.tensors, tokenizer_file=folder / "tokenizer.json", overwrite=True
    )
    return load_checkpoint(target)


def rows_file(tmp_path, name="rows.jsonl", texts=TEXTS):
    path = tmp_path / name
    path.write_text("".join(json.dumps({"text": text, "label": int("cat" in text)}) + "\n" for text in texts))
    return path


@pytest.fixture(scope="module")
def fewer_tokens(tmp_path_factory):
    """A checkpoint, one with the tokens of TEXTS alone, both tokenizers, and the old ids by the new ones."""
    folder = tmp_path_factory.mktemp("vocabulary")
    checkpoint = text_checkpoint(folder)
    before = read_tokenizer(checkpoint.tokenizer_file)
    counts = {}
    for each in TEXTS:
        for token in before.encode(each).ids:
            counts[token] = counts.get(token, 0) + 1
    kept = tokens_to_keep(checkpoint.tokenizer_file, checkpoint.config, counts, 1)
    assert len(kept) < checkpoint.config.vocab_size
    (folder / "tokenizer.json").write_text(
        smaller_tokenizer(checkpoint.tokenizer_file, kept), encoding="utf-8"
    )
    after = read_tokenizer(folder / "tokenizer.json")
    config, tensors = drop_tokens(checkpoint.config, checkpoint.tensors, kept)
    return checkpoint, Checkpoint(folder, config, tensors), before, after, kept


def test_texts_of_tokens_that_are_kept_have_the_same_answers_in_a_smaller_vocabulary(fewer_tokens):
    checkpoint, small, before, after, kept = fewer_tokens
    for each in TEXTS:
        old, new = before.encode(each).ids, after.encode(each).ids
        assert [kept[token] for token in new] == old
        torch.testing.assert_close(
            small.model()(torch.tensor([new])), checkpoint.model()(torch.tensor([old]))
        )


def test_special_tokens_stay_in_a_smaller_vocabulary_by_their_new_ids(tmp_path):
    """Also where no text has them: what is pooled, and where a text ends, hangs on them."""
    last = vocabulary_size(read_tokenizer(text_checkpoint(tmp_path).tokenizer_file)) - 1
    checkpoint = text_checkpoint(
        tmp_path, eos_token_id=[0, last], pad_token_id=last - 1, pooling="last_not_pad"
    )
    before = read_tokenizer(checkpoint.tokenizer_file)
    counts = dict.fromkeys(before.encode("the cat").ids, 1)
    kept = tokens_to_keep(checkpoint.tokenizer_file, checkpoint.config, counts, 1)
    config, tensors = drop_tokens(checkpoint.config, checkpoint.tensors, kept)
    assert config.vocab_size < checkpoint.config.vocab_size
    assert [kept[token] for token in (*config.end_tokens, config.pad_token_id)] == [0, last, last - 1]
    small, new = Checkpoint(tmp_path, config, tensors), {old: i for i, old in enumerate(kept)}
    old = [*before.encode("the cat").ids, last - 1, last - 1]
    torch.testing.assert_close(
        small.model()(torch.tensor([[new[token] for token in old]])), checkpoint.model()(torch.tensor([old]))
    )


@given(text=st.text(max_size=40))
@settings(max_examples=50)
def test_any_text_has_ids_in_a_smaller_vocabulary_and_is_read_back_from_them(text, fewer_tokens):
    _, small, before, after, _ = fewer_tokens
    old, new = before.encode(text), after.encode(text)
    assert after.decode(new.ids) == before.decode(old.ids)
    assert all(0 <= token < small.config.vocab_size for token in new.ids)


@pytest.mark.parametrize("method", ["magnitude", "wanda"])
@pytest.mark.parametrize("pattern", [None, "2:4", "1:3"])
def test_zeros_are_where_weights_matter_least(method, pattern, tmp_path):
    checkpoint = checkpoint_of(tmp_path, n_layer=1)
    name = "transformer.h.0.mlp.c_proj.weight"
    # Inputs that are always 0 make their weights matter nothing, however large.
    checkpoint.tensors["transformer.h.0.mlp.c_fc.weight"][:2] = 0
    checkpoint.tensors["transformer.h.0.mlp.c_fc.bias"][:2] = 0
    checkpoint.tensors[name][:, :2] = 100
    batch = collate([Row(tuple(ids), 0) for ids in ids_of(checkpoint).tolist()], None)
    weights = Weights(method=method, pattern=pattern, sparsity=None if pattern else 0.25)
    stay = weight_masks(checkpoint.model(), weights, [batch])
    assert set(stay) == {key for key in checkpoint.tensors if ".c_" in key and key.endswith(".weight")}
    mask = stay[name]
    assert mask[:, :2].any() == (method == "magnitude")
    pruned = apply_masks(checkpoint.tensors, stay)[name]
    if pattern:
        n, m = int(pattern[0]), int(pattern[2])
        assert ((pruned != 0).unflatten(1, (-1, m)).sum(dim=-1) == n).all()
    else:
        assert (pruned == 0).sum() == pruned.numel() // 4
    if method == "wanda" and not pattern:
        assert ((pruned == 0).sum(dim=1) == 6).all()
    if method == "magnitude" and not pattern:
        assert checkpoint.tensors[name][~mask].abs().max() <= checkpoint.tensors[name][mask].abs().min()


def recipe_file(tmp_path, **sections):
    path = tmp_path / "small.yaml"
    document = {
        "name": "small",
        "description": "a test",
        "runtime": "executorch",
        "backend": "xnnpack",
        **sections,
    }
    path.write_text(yaml.safe_dump(document))
    return path


def test_equal_rows_cannot_be_split_for_validation_and_the_error_names_the_option(run, tmp_path):
    checkpoint, rows = text_checkpoint(tmp_path), tmp_path / "equal.jsonl"
    rows.write_text('{"input_ids": [1, 2], "label": 1}\n' * 40)
    recipe = recipe_file(tmp_path, prune={"heads": 0.5})
    failed = run("compress", checkpoint.path, "--recipe", recipe, "--train", rows, "-o", tmp_path / "small")
    assert failed.code == 3
    assert "none of the 40 rows is in the part that is read" in failed.err
    assert "--valid" in failed.err


@pytest.mark.slow
def test_a_checkpoint_is_pruned_recovered_and_exported(run, tmp_path):
    checkpoint, rows = text_checkpoint(tmp_path), rows_file(tmp_path)
    recipe = recipe_file(
        tmp_path,
        prune={"vocabulary": 1, "layers": 1, "heads": 0.5, "inner": 0.5},
        recover={"steps": 20, "validate_every": 10, "learning_rate": 0.01},
    )
    out = tmp_path / "small"
    arguments = ("compress", checkpoint.path, "--recipe", recipe, "--train", rows, "--valid", rows, "-o", out)
    done = run(*arguments, "--json")
    assert done.code == 0, done.err
    result = json.loads(done.out)["result"]
    small = load_checkpoint(out)
    assert small.config.n_layer == 2
    assert sum(heads for heads, _ in small.config.layer_sizes) == 4
    assert sum(inner for _, inner in small.config.layer_sizes) == 24
    assert result["after"]["parameters"] == small.parameters < 0.7 * checkpoint.parameters
    assert result["encoded_otherwise"] == [0, len(TEXTS)]
    assert "step 20" in done.err
    assert not state_file(out).exists()

    artifact = tmp_path / "artifact"
    refused = run("export", checkpoint.path, "--recipe", recipe, "-o", artifact)
    assert refused.code == 3
    assert "nf-edge compress CHECKPOINT" in refused.err
    exported = run("export", out, "--recipe", recipe, "--data", rows, "-o", artifact)
    assert exported.code == 0, exported.err
    assert f"parameters {checkpoint.parameters:,} → {small.parameters:,}" in exported.out
    assert load_artifact(artifact).manifest.compression.original == "checkpoint"
    page = (artifact / "report.html").read_text(encoding="utf-8")
    assert "Pruning and recovery" in page

    # The loss of all steps together: the original reads the same texts in its own tokens.
    checked = run("check", artifact, "--data", rows, "--reference", checkpoint.path, "--json")
    assert checked.code == 0, checked.err
    assert json.loads(checked.out)["result"]["reference"]["right"] == result["original"]["correct"]
    (tmp_path / "another").mkdir()
    stranger = text_checkpoint(tmp_path / "another", n_layer=1)
    refused = run("check", artifact, "--data", rows, "--reference", stranger.path)
    assert refused.code == 3
    assert "is not the checkpoint that" in refused.err


def test_a_language_model_is_pruned_and_recovered_on_text(run, tmp_path):
    checkpoint = text_checkpoint(tmp_path, language_model=True)
    text = tmp_path / "text.txt"
    text.write_text("\n".join(TEXTS * 8))
    prune = {"vocabulary": 1, "heads": 0.5, "inner": 0.5}
    recipe = recipe_file(tmp_path, prune=prune, recover={"steps": 60, "learning_rate": 0.01})
    done = run(
        "compress", checkpoint.path, "--recipe", recipe, "--train", text, "-o", tmp_path / "small", "--json"
    )
    assert done.code == 0, done.err
    result = json.loads(done.out)["result"]
    small = load_checkpoint(tmp_path / "small")
    assert small.config.vocab_size < checkpoint.config.vocab_size
    assert small.tensors["transformer.wte.weight"].shape[0] == small.config.vocab_size
    assert result["result"]["metric"] == "perplexity"
    assert result["faithfulness"]["questions"] == 12 * result["result"]["count"]
    out = tmp_path / "pruned"
    recipe = recipe_file(tmp_path, prune=prune)
    pruned = run("compress", checkpoint.path, "--recipe", recipe, "--train", text, "-o", out, "--json")
    assert json.loads(pruned.out)["result"]["faithfulness"]["kl"] > 2 * result["faithfulness"]["kl"]


def test_a_target_is_met_and_one_that_cannot_be_is_told_with_what_can(run, tmp_path):
    checkpoint, rows = text_checkpoint(tmp_path), rows_file(tmp_path)
    target = checkpoint.parameters - 2000
    recipe = recipe_file(tmp_path, prune={"target_params": target})
    arguments = ("compress", checkpoint.path, "--train", rows, "-o", tmp_path / "small", "--overwrite")
    assert run(*arguments, "--recipe", recipe).code == 0
    parameters = load_checkpoint(tmp_path / "small").parameters
    assert target - 400 < parameters <= target  # the largest piece, a head, has fewer than 400
    failed = run(*arguments, "--recipe", recipe_file(tmp_path, prune={"target_params": 1000}))
    assert failed.code == 3
    assert "with one head and one group of inner units per layer" in failed.err
    assert load_checkpoint(tmp_path / "small").parameters == parameters


def test_the_memory_of_the_process_is_brought_below_a_target_and_hardly_further(run, tmp_path):
    checkpoint, rows = text_checkpoint(tmp_path, n_inner=256), rows_file(tmp_path)

    def predicted(source):
        done = run("profile", source, "--recipe", "xnnpack-fp32", "--json")
        process = json.loads(done.out)["result"]["process"]
        return next(line["predicted"]["value"] for line in process if line["name"] == "process")

    target = int(predicted(checkpoint.path) - 60_000) // 1000
    recipe = recipe_file(tmp_path, prune={"target_memory": f"{target} kB"})
    arguments = ("compress", checkpoint.path, "--train", rows, "-o", tmp_path / "small", "--overwrite")
    done = run(*arguments, "--recipe", recipe)
    assert done.code == 0, done.err
    # 32 units of 16 inputs and outputs have 4 kB of weights, which the process holds more than once.
    assert 1000 * target - 20_000 < predicted(tmp_path / "small") <= 1000 * target
    failed = run(*arguments, "--recipe", recipe_file(tmp_path, prune={"target_memory": "1 MB"}))
    assert failed.code == 3
    assert "even with one head and one group of inner units per layer" in failed.err


def test_zeros_are_still_there_after_recovery_and_the_tool_says_what_they_save(run, tmp_path):
    checkpoint, rows = text_checkpoint(tmp_path), rows_file(tmp_path)
    recipe = recipe_file(
        tmp_path, prune={"weights": {"pattern": "2:4"}}, recover={"steps": 20, "learning_rate": 0.01}
    )
    done = run("compress", checkpoint.path, "--recipe", recipe, "--train", rows, "-o", tmp_path / "small")
    assert done.code == 0, done.err
    assert "zeros: 50.0 % of the weights of linear layers; they save no file size, RAM" in done.out
    assert "has a smaller file" not in done.out
    small = load_checkpoint(tmp_path / "small")
    for name in ("attn.c_kv", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"):
        before, after = (each.tensors[f"transformer.h.1.{name}.weight"] for each in (checkpoint, small))
        assert ((after != 0).unflatten(1, (-1, 4)).sum(dim=-1) == 2).all()
        assert not torch.equal(after, before * (after != 0))  # the others have learned


def test_recovery_that_is_interrupted_goes_on_to_the_same_bytes(run, tmp_path):
    checkpoint, rows = text_checkpoint(tmp_path), rows_file(tmp_path)
    recipe = recipe_file(tmp_path, prune={"heads": 0.5}, recover={"steps": 12, "validate_every": 4})
    arguments = ("compress", checkpoint.path, "--recipe", recipe, "--train", rows)
    assert run(*arguments, "-o", tmp_path / "whole").code == 0

    def ctrl_c(validation):
        if validation.step == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compress_checkpoint(
            checkpoint, load_recipe(str(recipe)), Sources(str(rows)), tmp_path / "parts", on_validation=ctrl_c
        )
    assert not (tmp_path / "parts").exists()
    again = run(*arguments, "-o", tmp_path / "parts")
    assert again.code == 3
    assert "give --resume to continue it, or --overwrite to start again" in again.err
    other = run(
        *arguments[:4],
        "--train",
        rows_file(tmp_path, "other.jsonl", TEXTS[:9]),
        "-o",
        tmp_path / "parts",
        "--resume",
    )
    assert other.code == 3
    done = run(*arguments, "-o", tmp_path / "parts", "--resume")
    assert done.code == 0
    assert "step 12" in done.err
    assert "step 4:" not in done.err
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "parts")]
    assert weights[0] == weights[1]


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({}, "has neither a section `prune` nor `recover`"),
        ({"prune": {}}, "removes nothing; set vocabulary"),
        ({"prune": {"target_params": 5, "heads": 0.5}}, "Keep one of the three"),
        ({"prune": {"target_memory": "5"}}, "must be a whole number, a space and a unit"),
        ({"prune": {"weights": {}}}, "must set exactly one of sparsity and pattern"),
        ({"prune": {"weights": {"pattern": "4:4"}}}, "N must be less than M"),
        ({"recover": {"steps": 5, "qat": True}}, "recover.qat needs the section quantize"),
        ({"prune": {"layers": 3}}, "set prune.layers to at most 2"),
        ({"prune": {"vocabulary": 1}}, "has no tokenizer.json"),
    ],
)
def test_what_cannot_be_pruned_is_refused(run, tmp_path, sections, message):
    checkpoint = text_checkpoint(tmp_path)
    if "vocabulary" in sections.get("prune", {}):
        (checkpoint.path / "tokenizer.json").unlink()
    rows = tmp_path / "ids.jsonl"
    rows.write_text("".join(json.dumps({"input_ids": [i, 2, 3], "label": i % 2}) + "\n" for i in range(30)))
    failed = run(
        "compress",
        checkpoint.path,
        "--recipe",
        recipe_file(tmp_path, **sections),
        "--train",
        rows,
        "-o",
        tmp_path / "x",
    )
    assert failed.code == 3
    assert message in failed.err
    assert not (tmp_path / "x").exists()


def test_equal_answers_do_not_diverge_and_others_are_counted():
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 1.0]])
    assert divergence_of([(logits, logits)]).kl == 0
    other = logits.clone()
    other[1] = torch.tensor([1.0, 0.0])
    found = divergence_of([(logits[:2], other[:2]), (logits[2:], other[2:])])
    assert (found.questions, found.flips) == (3, 1)
    p = torch.tensor([1.0, torch.e]) / (1 + torch.e)
    kl_divergence = (p * (p / p.flip(0)).log()).sum().item()
    assert found.kl == pytest.approx(kl_divergence / 3, rel=1e-5)


@pytest.mark.slow
def test_a_model_that_was_rounded_while_it_learned_loses_less_when_it_is_rounded(run, tmp_path):
    checkpoint = text_checkpoint(tmp_path, language_model=True, n_embd=64, n_inner=64, n_layer=2)
    rows, text = rows_file(tmp_path), tmp_path / "text.txt"
    text.write_text("\n".join(TEXTS * 8))
    quantize = {
        "weights": "int4",
        "granularity": "group_32",
        "activations": "int8_dynamic",
        "embeddings": "int4",
    }
    flips = {}
    for name, qat in (("rounded", True), ("not", False)):
        recover = {"steps": 150, "learning_rate": 0.003, "qat": qat}
        recipe = recipe_file(tmp_path, recover=recover, quantize=quantize)
        out, artifact = tmp_path / name, tmp_path / f"{name}-artifact"
        done = run("compress", checkpoint.path, "--recipe", recipe, "--train", text, "-o", out)
        assert done.code == 0, done.err
        exported = run("export", out, "--recipe", recipe, "-o", artifact)
        assert exported.code == 0, exported.err
        how = ("--data", rows, "--reference", checkpoint.path, "--json")
        checked = run("check", artifact, *how)
        assert checked.code == 0, checked.err
        flips[name] = json.loads(checked.out)["result"]["flips"]
    assert 0 < flips["rounded"] < 0.7 * flips["not"]


@pytest.mark.slow
def test_half_of_the_heads_and_inner_units_go_and_digits_are_still_read(run, tmp_path):
    out = tmp_path / "half"
    arguments = ("--recipe", "xnnpack-8da8w-half", "--train", "digits:train", "--valid", "digits:valid")
    done = run("compress", "digits", *arguments, "--data", "digits:test", "-o", out, "--json")
    assert done.code == 0, done.err
    result = json.loads(done.out)["result"]
    assert result["after"]["layers"] == [[1, 32], [1, 96]]
    assert result["pruned"]["score"] < 0.8
    assert result["original"]["score"] - result["result"]["score"] < 0.015
