"""`nf-edge generate`: text from a checkpoint, from its artifacts, and from the runtimes' own generators."""

import json
import shutil
import subprocess
import sys

import pytest
from conftest import TESTS, place_once, shared_folder, tools_missing
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from nf_edge.artifact import load_artifact
from nf_edge.backends import backend_for
from nf_edge.backends.executorch.constant_methods import constant_methods
from nf_edge.core import resources
from nf_edge.core.recipe.recipe import load_recipe
from nf_edge.model import ModelConfig, TorchDecoder, load_checkpoint, save_checkpoint
from nf_edge.model.generation import generate
from nf_edge.model.init import init_tensors
from nf_edge.pipeline.export import export

FP32 = ["xnnpack-fp32", "nf-fp32", "onnx-fp32"]
TEXT = "to be, or not to be: that is the question: whether 'tis nobler in the mind to suffer the slings"
PROMPT = "to be, or"


def train_tokenizer(path):
    """A byte-level BPE."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator([TEXT] * 3, trainer)
    tokenizer.save(str(path))
    return tokenizer


@pytest.fixture(scope="module")
def text_lm(tmp_path_factory):
    """A random language model with a tokenizer: a checkpoint folder, and its artifact by a recipe."""
    folder = shared_folder(tmp_path_factory, "text-lms")

    def make(path):
        path.mkdir()
        tokenizer = train_tokenizer(path / "tokenizer.json")
        config = ModelConfig(
            architectures=("NoiseFormerForCausalLM",),
            vocab_size=tokenizer.get_vocab_size(),
            n_positions=48,
            n_embd=32,
            n_layer=2,
            n_head=4,
            layers=({"n_head": 4}, {"n_head": 2}),
            noise={"kind": "lowrank", "rank": 2},
            bos_token_id=0,
            eos_token_id=0,
        )
        # Wider than they are initialised, or every step would give the same token.
        tensors = {name: 4 * tensor for name, tensor in init_tensors(config, 0).items()}
        # It never writes what is no letter by itself: the end of the text, and most bytes.
        for token in range(config.vocab_size):
            if not set(tokenizer.decode([token])) & set(TEXT):
                tensors["transformer.wte.weight"][token] = 0
        save_checkpoint(path / "lm", config, tensors, tokenizer_file=path / "tokenizer.json")

    checkpoint = place_once(make, folder / "checkpoint") / "lm"

    def get(recipe=None):
        if recipe is None:
            return checkpoint
        if not load_recipe(recipe).is_stock and (missing := tools_missing()):
            pytest.skip(missing)
        source = load_checkpoint(checkpoint)
        return place_once(lambda path: export(source, load_recipe(recipe), path), folder / recipe)

    return get


@pytest.fixture
def generated(run):
    """Call `nf-edge generate --json`, and give the result."""

    def call(source, *arguments):
        done = run("generate", source, *arguments, "--json")
        assert done.code == 0, done.err
        return json.loads(done.out)["result"]

    return call


@pytest.mark.parametrize("recipe", FP32)
def test_an_fp32_artifact_writes_what_its_checkpoint_writes(recipe, text_lm, generated):
    wanted = generated(text_lm(), PROMPT, "--max-tokens", "30")
    assert len(set(wanted["ids"])) > 5
    assert generated(text_lm(recipe), PROMPT, "--max-tokens", "30") == wanted


@pytest.mark.slow
@pytest.mark.skipif(
    "shakespeare" not in resources.names("checkpoints", suffix=""),
    reason="no bundled model named shakespeare",
)
@pytest.mark.parametrize("recipe", FP32)
def test_the_bundled_language_model_writes_the_same_text_everywhere(recipe, generated, exported):
    wanted = generated("shakespeare", "ROMEO:", "--max-tokens", "60")
    out = exported("shakespeare", recipe).path
    assert generated(out, "ROMEO:", "--max-tokens", "60")["text"] == wanted["text"]


def test_people_read_the_text_alone(text_lm, generated, run):
    source = text_lm("onnx-fp32")
    done = run("generate", source, PROMPT, "--max-tokens", "12")
    assert (done.code, done.out) == (0, generated(source, PROMPT, "--max-tokens", "12")["text"] + "\n")


def test_ids_go_in_and_come_out_where_there_is_no_tokenizer(run, exported):
    source = exported("lm-none", "onnx-fp32").path
    done = run("generate", source, "3 1 4", "--ids", "--max-tokens", "5")
    assert done.code == 0
    assert len([int(word) for word in done.out.split()]) == 5
    done = run("generate", source, "hello")
    assert (done.code, done.out) == (3, "")
    assert "has no tokenizer.json" in done.err
    assert "--ids" in done.err


def test_drawing_depends_on_the_seed_and_on_nothing_else(text_lm, generated):
    def draw(seed, temperature="1.5"):
        options = ("--temperature", temperature, "--seed", seed, "--max-tokens", "20")
        return generated(text_lm(), PROMPT, *options)["ids"]

    assert draw("1") == draw("1") != draw("2")
    # So cold that only the likeliest token is left.
    assert draw("1", "0.0001") == generated(text_lm(), PROMPT, "--max-tokens", "20")["ids"]


@pytest.mark.slow
def test_it_stops_where_no_positions_are_left_and_says_so(text_lm, generated, run):
    found = generated(text_lm("xnnpack-fp32"), PROMPT, "--max-tokens", "1000")
    assert found["ended"] == "full"
    # The last token needs no position: nothing follows it.
    assert len(found["prompt_ids"]) + len(found["ids"]) == 48 + 1
    done = run("generate", text_lm("xnnpack-fp32"), PROMPT, "--max-tokens", "1000")
    assert "the text fills all 48 positions of the model" in done.err


def test_without_a_prompt_it_begins_with_the_beginning_of_a_text(text_lm, generated):
    assert generated(text_lm(), "--max-tokens", "2")["prompt_ids"] == [0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "recipe", "arguments", "message"),
    [
        (
            "lm-none",
            "onnx-fp32",
            ("1 " * 11, "--ids"),
            "the text has 11 tokens, but the cache holds only 10",
        ),
        (
            "lm-none",
            "xnnpack-fp32",
            ("1 " * 11, "--ids"),
            "the text has 11 tokens, but the cache holds only 10",
        ),
        ("lm-none", "onnx-fp32", ("1 x", "--ids"), "is not a list of token ids"),
        ("lm-none", "onnx-fp32", ("19", "--ids"), "token ids must be from 0 to 18, not 19"),
        ("lm-none", "onnx-fp32", (" ", "--ids"), "must have at least one token"),
        ("lm-none", "onnx-fp32", ("--ids",), "has no bos_token_id to start a text with"),
        ("lm-pairwise-relu", "onnx-fp32+all", ("1", "--ids"), "exported without a key-value cache"),
        ("cls-standard-padded", "onnx-fp32", ("1", "--ids"), "is not a language model"),
    ],
)
def test_what_cannot_be_continued_is_refused(name, recipe, arguments, message, run, exported):
    done = run("generate", exported(name, recipe).path, *arguments)
    assert (done.code, done.out) == (3, "")
    assert message in done.err
    assert "Traceback" not in done.err


def test_a_checkpoint_that_is_no_language_model_is_refused(run):
    done = run("generate", TESTS / "cases" / "cls-standard-padded", "1", "--ids")
    assert (done.code, done.out) == (3, "")
    assert "is not a language model" in done.err


EXECUTORCH = """
import ctypes, sys
from executorch.extension.llm.runner import GenerationConfig, TextLLMRunner

model, tokenizer, prompt, count, *operators = sys.argv[1:]
for library in operators:
    ctypes.CDLL(library)
pieces = []
config = GenerationConfig(echo=False, temperature=0.0, max_new_tokens=int(count))
TextLLMRunner(model, tokenizer).generate(prompt, config, pieces.append, None)
print("GENERATED:" + "".join(pieces))
"""


@pytest.mark.parametrize("recipe", ["xnnpack-fp32", "nf-fp32"])
def test_executorchs_own_runner_writes_the_same_text(recipe, text_lm, generated):
    pytest.importorskip("executorch.extension.llm.runner", reason="this ExecuTorch has no TextLLMRunner")
    folder = text_lm(recipe)
    operators = backend_for(load_recipe(recipe)).operators_file()
    command = [
        sys.executable,
        "-c",
        EXECUTORCH,
        folder / "model.pte",
        folder / "tokenizer.json",
        PROMPT,
        "20",
        *([] if operators is None else [operators]),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    _, _, text = done.stdout.rpartition("GENERATED:")
    assert text == generated(folder, PROMPT, "--max-tokens", "20")["text"] + "\n"


def test_onnxruntime_genai_writes_the_same_text_from_the_folder(text_lm, generated, genai_tokens):
    folder = text_lm("onnx-fp32")
    wanted = generated(folder, PROMPT, "--max-tokens", "20")
    assert genai_tokens(folder, PROMPT, 20) == (wanted["prompt_ids"], wanted["ids"], wanted["text"])


@pytest.fixture(scope="module")
def often_ended(text_lm, tmp_path_factory):
    """The same model with several ends of a text, two of which it soon writes after PROMPT; its artifact, the
    ends, and what it writes."""
    source, folder = text_lm(), tmp_path_factory.mktemp("ends")
    config = json.loads((source / "config.json").read_text())
    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    model = load_checkpoint(source).model()
    ids = list(generate(TorchDecoder(model), tokenizer.encode(PROMPT).ids, max_tokens=12))
    ends = list(dict.fromkeys([0, ids[-1], ids[4]]))
    shutil.copytree(source, folder / "lm")
    (folder / "lm" / "config.json").write_text(json.dumps(config | {"eos_token_id": ends}))
    export(load_checkpoint(folder / "lm"), load_recipe("onnx-fp32"), folder / "onnx")
    first = next(i for i, token in enumerate(ids) if token in ends)
    return folder / "lm", folder / "onnx", ends, ids[: first + 1]


@pytest.mark.slow
def test_it_stops_at_any_end_of_a_text(often_ended, generated):
    lm, artifact, _, ids = often_ended
    for source in (lm, artifact):
        found = generated(source, PROMPT, "--max-tokens", "12")
        assert (found["ids"], found["ended"]) == (ids, "end of text")


def test_every_end_of_a_text_is_told_to_whoever_runs_the_artifact(often_ended):
    _, artifact, ends, _ = often_ended
    manifest = json.loads((artifact / "manifest.json").read_text())
    assert manifest["interface"]["eos_token_id"] == manifest["config"]["eos_token_id"] == ends
    assert json.loads((artifact / "genai_config.json").read_text())["model"]["eos_token_id"] == ends
    guide = (artifact / "RUN.md").read_text(encoding="utf-8")
    assert f"| end of text | token {' or '.join(map(str, ends))} |" in guide
    assert f"    if {' or '.join(f'token == {end}' for end in ends)}:\n        break\n" in guide
    assert constant_methods(load_artifact(artifact).manifest.config, 48)["get_eos_ids"] == ends


def test_genai_stops_at_any_end_of_a_text(often_ended, genai_tokens):
    _, artifact, ends, ids = often_ended
    _, found, _ = genai_tokens(artifact, PROMPT, 12)
    # It stops before the end, or upon it.
    assert [token for token in found if token not in ends] == ids[:-1]


def test_genai_reads_the_models_own_facts(text_lm):
    folder = text_lm("onnx-fp32")
    config = load_artifact(folder).manifest.config
    found = json.loads((folder / "genai_config.json").read_text())["model"]
    assert (found["type"], found["context_length"], found["eos_token_id"]) == ("decoder", 48, 0)
    assert found["vocab_size"] == config.vocab_size
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    assert tokenizer["eos_token"] == "<|endoftext|>"
