"""Fixtures and helpers for all tests: the command line, models of many shapes, artifacts made once."""

import copy
import functools
import gc
import hashlib
import io
import json
import os
import pickle
import shutil
import socket
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
import yaml
from hypothesis import settings
from torch.onnx._internal.exporter._registration import ONNXRegistry

from nf_edge.artifact import load_artifact
from nf_edge.backends import REGISTRY, missing_packages
from nf_edge.backends.onnx.cpu import OnnxCpu
from nf_edge.cli import main
from nf_edge.core import native_build, resources
from nf_edge.core.errors import MissingTool
from nf_edge.core.recipe.recipe import load_recipe
from nf_edge.measure.memory import measure
from nf_edge.model import ModelConfig, load_checkpoint, resolve_checkpoint, save_checkpoint
from nf_edge.model.data.rows import Row, Rows
from nf_edge.model.init import init_tensors
from nf_edge.model.network import build
from nf_edge.pipeline.export import export
from nf_edge.quantization.calibration import may_calibrate
from nf_edge.training.bpe import train_bpe

# The same examples in every run, however slow the machine; --hypothesis-profile=default draws others.
settings.register_profile("same examples", deadline=None, derandomize=True)
settings.load_profile("same examples")

# Runs of tests are no jobs of CI whose results people read.
os.environ.pop("GITHUB_STEP_SUMMARY", None)

TESTS = Path(__file__).parent
# The specification and its data, next to a developer's checkout.
SHARED = TESTS.parent.parent / "shared"


def tools_missing():
    """Why the native parts cannot be built here, or ""."""
    try:
        native_build.check_tools("kernels")
    except MissingTool as error:
        return str(error)
    return ""


def backend_missing(recipe):
    """Which packages of a recipe's backend are missing, with the command that installs them, or ""."""
    entry = REGISTRY[load_recipe(recipe).backend]
    missing = missing_packages(entry.packages)
    return f"{', '.join(missing)} not installed: {entry.install}" if missing else ""


# Recipes that make a .pte, which takes a quarter of a minute.
EXECUTORCH = {name for name in resources.names("recipes") if load_recipe(name).runtime == "executorch"}


def pytest_collection_finish():
    """An export makes millions of objects: the collector's passes would take an eighth of its time."""
    gc.freeze()
    gc.set_threshold(200_000, 50, 1000)


@pytest.fixture(scope="session", autouse=True)
def onnx_functions_once():
    """What PyTorch can translate into ONNX, listed once: each export lists it anew, for half a second."""
    listed = functools.cache(ONNXRegistry.from_torchlib)

    def copied(**version):
        registry = copy.copy(listed(**version))
        registry.functions = {name: [*each] for name, each in registry.functions.items()}
        return registry

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(copied))
        yield


def pytest_collection_modifyitems(items):
    """Mark tests slow that make a .pte (by a recipe among their parameters, or in their code).

    Of a test with several cases that each export, only the first is quick.
    """
    exporting = set()
    for item in items:
        values = [*item.callspec.params.values()] if hasattr(item, "callspec") else []
        if "exported" in item.fixturenames:
            values += item.function.__code__.co_consts
        if any(isinstance(value, str) and value.partition("+")[0] in EXECUTORCH for value in values):
            item.add_marker(pytest.mark.slow)
        elif {"exported", "export"} & {*item.fixturenames} and not item.get_closest_marker("slow"):
            case = (item.path, item.originalname)
            if case in exporting:
                item.add_marker(pytest.mark.slow)
            exporting.add(case)


class Finished(NamedTuple):
    """Exit code and output of a command."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs `nf-edge ARGUMENTS` in this process."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["nf-edge", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        return Finished(code, *capsys.readouterr())

    return call


@pytest.fixture
def genai_tokens():
    """Generates with onnxruntime-genai: ids of the prompt, new ids, and their text."""
    genai = pytest.importorskip("onnxruntime_genai", reason="pip install 'nf-edge[genai]'")

    def generate(folder, prompt, count):
        model = genai.Model(str(folder))
        tokenizer = genai.Tokenizer(model)
        ids = tokenizer.encode(prompt)
        parameters = genai.GeneratorParams(model)
        parameters.set_search_options(max_length=len(ids) + count)
        generator = genai.Generator(model, parameters)
        generator.append_tokens(ids)
        while not generator.is_done():
            generator.generate_next_token()
        new = generator.get_sequence(0)[len(ids) :]
        return ids.tolist(), list(new), tokenizer.decode(new)

    return generate


@pytest.fixture
def case():
    """Path of one of the checkpoints in tests/cases, by name."""
    return lambda name: TESTS / "cases" / name


@pytest.fixture
def changed_recipe(run, tmp_path):
    """Writes a bundled recipe as `mine`, with text replaced; skips if its backend is not installed."""

    def make(recipe, changes):
        if missing := backend_missing(recipe):
            pytest.skip(missing)
        text = run("recipes", "show", recipe).out.replace(recipe, "mine")
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "mine.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return make


@pytest.fixture
def cramped(tmp_path):
    """A device file: the Raspberry Pi Zero 2 W with a process limit that nothing fits."""
    device = yaml.safe_load((resources.folder("devices") / "rpi-zero-2w.yaml").read_text(encoding="utf-8"))
    device |= {"id": "cramped", "name": "A cramped board"}
    device["memory"][0]["usable"] |= {"value": "1 MiB", "source": "made up"}
    path = tmp_path / "cramped.yaml"
    path.write_text(yaml.safe_dump(device), encoding="utf-8")
    return path


LM, CLASSIFIER = ("NoiseFormerForCausalLM",), ("NoiseFormerForSequenceClassification",)
LOWRANK = {"kind": "lowrank", "rank": 4}
# Kinds of attention and tasks: each form of the network must be right for all combinations.
NOISES = {
    "none": {},
    "lowrank": {"noise": {"kind": "lowrank", "rank": 3}},
    "pairwise": {"noise": {"kind": "pairwise"}},
    "relative": {"noise": {"kind": "relative"}},
    "standard": {"attention": "standard"},
}
NOT_PAD = {"architectures": CLASSIFIER, "num_labels": 3, "pooling": "last_not_pad", "pad_token_id": 7}
TASKS = {
    "last token": {"architectures": CLASSIFIER, "num_labels": 3, "pooling": "last"},
    "mean, causal": {"architectures": CLASSIFIER, "num_labels": 3, "pooling": "mean"},
    "first token": {"architectures": CLASSIFIER, "num_labels": 3, "pooling": "first", "causal": False},
    "mean": {"architectures": CLASSIFIER, "num_labels": 3, "pooling": "mean", "causal": False},
    "last but pad tokens": {**NOT_PAD, "causal": True},
    "last but pad tokens, bidirectional": {**NOT_PAD, "causal": False},
    "language model": {"architectures": LM},
}
RANDOM_LENGTH = 40
# Checkpoints of other shapes than the cases: the weights of the wide ones outweigh their program, and of
# the others two layers are as wide as a group of int4 weights.
SHAPES = {
    "wide-lm": {"architectures": LM, "vocab_size": 4000, "n_embd": 256, "noise": LOWRANK},
    "wide-cls": {
        "architectures": CLASSIFIER,
        "vocab_size": 300,
        "n_embd": 128,
        "causal": False,
        "num_labels": 3,
        "noise": LOWRANK,
    },
    "none-lm": {"architectures": LM, "vocab_size": 300, "n_embd": 128, "noise": {"kind": "none"}},
    "relative-lm": {
        "architectures": LM,
        "vocab_size": 300,
        "n_embd": 128,
        "noise": {"kind": "relative"},
        "tie_word_embeddings": False,
    },
    "pairwise-cls": {
        "architectures": CLASSIFIER,
        "vocab_size": 300,
        "n_embd": 128,
        "num_labels": 3,
        "noise": {"kind": "pairwise"},
    },
    # Its weights take more memory than the libraries that run it: a second copy shows.
    "large-cls": {
        "architectures": CLASSIFIER,
        "vocab_size": 300,
        "n_embd": 512,
        "n_layer": 2,
        "causal": False,
        "num_labels": 3,
        "noise": LOWRANK,
    },
    # Groups of 32 divide the inputs of c_proj in the MLP only.
    "uneven-cls": {
        "architectures": CLASSIFIER,
        "vocab_size": 300,
        "n_embd": 48,
        "n_inner": 64,
        "num_labels": 3,
        "noise": LOWRANK,
    },
    # Language models with a head size of 8, which ONNX Runtime's GroupQueryAttention takes.
    **{
        f"eight-{kind}": {
            "architectures": ("NoiseFormerForCausalLM",),
            "vocab_size": 40,
            "n_embd": 32,
            "noise": {"kind": kind},
        }
        for kind in ("none", "pairwise", "relative")
    },
}


@pytest.fixture
def random_network():
    """Makes a network with random weights and norms, far from their initial values."""

    def make(task, noise):
        shape = {"vocab_size": 50, "n_positions": RANDOM_LENGTH, "n_embd": 32, "n_layer": 2, "n_head": 4}
        config = ModelConfig(**shape, **TASKS[task], **NOISES[noise])
        generator = torch.Generator().manual_seed(1)
        model = build(config)
        tensors = {
            name: 6 * tensor
            if tensor.dim() > 1
            else tensor + 0.3 * torch.randn(tensor.shape, generator=generator)
            for name, tensor in init_tensors(config, 0).items()
        }
        model.load_state_dict(tensors, strict=not config.is_language_model)
        return model.eval()

    return make


def text_config(vocab_size, **changes):
    """Config of a small language model, with changes."""
    shape = {"n_positions": 16, "n_embd": 16, "n_layer": 1, "n_head": 2, "bos_token_id": 0, "eos_token_id": 0}
    return ModelConfig(**{"architectures": LM, "vocab_size": vocab_size, **shape, **changes})


def save_text_model(folder, texts, vocab_size, **changes):
    """A checkpoint of `text_config`, with a tokenizer trained on `texts`."""
    tokenizer = train_bpe(texts, vocab_size, lowercase=False, treebank=False)
    tokenizer.save(str(folder / "tokenizer.json"))
    config, target = text_config(tokenizer.get_vocab_size(), **changes), folder / "checkpoint"
    save_checkpoint(target, config, init_tensors(config, 0), tokenizer_file=folder / "tokenizer.json")
    return load_checkpoint(target)


def edit_manifest(folder, change):
    """Change the manifest of an artifact and no other file."""
    path = folder / "manifest.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def random_rows(config):
    """Token ids and mask [1, RANDOM_LENGTH], and the number of real tokens, for several paddings.

    If pooling skips pad tokens, some rows end in pad tokens, and one row has no other tokens.
    """
    ids = torch.randint(0, 50, (1, RANDOM_LENGTH), generator=torch.Generator().manual_seed(2))
    for real in (RANDOM_LENGTH, 17, 1):
        mask = (torch.arange(RANDOM_LENGTH) < real).long()[None]
        for pads in (0, 1, 5, real) if config.pooling == "last_not_pad" else (0,):
            row = ids.clone()
            row[0, max(real - pads, 0) : real] = config.pad_token_id or 0
            yield row, mask, real


def shared_folder(tmp_path_factory, name):
    """A folder that all workers of a test run share."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    folder.mkdir(exist_ok=True)
    return folder


def place_once(make, place):
    """Make a folder and move it to `place`, unless another worker did so first."""
    if not place.is_dir():
        new = place.with_name(f".{place.name}.{os.getpid()}")
        make(new)
        try:
            new.rename(place)
        except OSError:
            assert place.is_dir()
    return place


@pytest.fixture(scope="session", autouse=True)
def memory_of_one_process():
    """Measure memory in one process; a test of repeated measurements sets the product's number."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "PROCESSES", 1)
        yield


@pytest.fixture(scope="session", autouse=True)
def lowered_to_onnx_once(tmp_path_factory):
    """Lower each network to ONNX once in a test run; recipes quantize a copy of that file.

    Networks with equal modules, tensors and input shapes give equal files.  Yields the function it replaces.
    """
    lower, folder = OnnxCpu.lower, shared_folder(tmp_path_factory, "onnx")

    def once(self, program, config, input_shape, recipe, path):
        def make(new):
            new.mkdir()
            report = lower(self, program, config, input_shape, None, new / "model.onnx")
            (new / "report").write_bytes(pickle.dumps(report))

        torch.save(program.state_dict(), tensors := io.BytesIO())
        structure = f"{config!r} {input_shape!r} {program!r}".encode()
        place = place_once(make, folder / hashlib.sha256(structure + tensors.getvalue()).hexdigest())
        for file in place.iterdir():
            if file.name != "report":
                shutil.copyfile(file, path.with_name(file.name))
        return pickle.loads((place / "report").read_bytes())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OnnxCpu, "lower", once)
        yield lower


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """Loads a case, one of SHAPES, or a bundled checkpoint, by name."""

    def load(name):
        if name in resources.names("checkpoints", suffix=""):
            return resolve_checkpoint(name)
        if name not in SHAPES:
            return load_checkpoint(TESTS / "cases" / name)
        config = ModelConfig(**{"n_positions": 64, "n_layer": 1, "n_head": 4, **SHAPES[name]})
        place = shared_folder(tmp_path_factory, "checkpoints") / name
        # Wider than initialised where the numbers matter: scores near 0 would hide a wrong noise.
        width = 4 if name.startswith("eight") else 1
        tensors = {key: width * tensor for key, tensor in init_tensors(config, 0).items()}
        return load_checkpoint(place_once(lambda path: save_checkpoint(path, config, tensors), place))

    return load


def even_rows(config, longest, seed=0):
    """16 rows of random token ids, with lengths in equal steps.

    Every other row ends in pad tokens, if the model ignores them.
    """
    random = np.random.default_rng(seed)
    lengths = np.linspace(1, longest, min(16, longest)).astype(int)
    rows = [random.integers(0, config.vocab_size, length) for length in lengths]
    if config.pooled_token == "last_not_pad":
        for row in rows[1::2]:
            row[len(row) // 2 :] = config.pad_token_id
    return [Row(tuple(row.tolist()), None) for row in rows]


def calibration_rows(checkpoint):
    """Rows to calibrate on: random ones, or None if the checkpoint has examples."""
    if checkpoint.examples_file:
        return None
    rows = even_rows(checkpoint.config, checkpoint.config.n_positions)
    return Rows(tuple(rows), "synthetic", "", 0)


def traces_of_this_machine(folder):
    """Paths and names of this machine in the files of a folder, as `FILE: TEXT`.

    A user's name counts as part of a path only: it may be a word, such as `runner` on GitHub's machines.
    """
    traces = {
        tempfile.gettempdir() + os.sep,
        os.fspath(Path.home()) + os.sep,
        os.fspath(TESTS.parent),
        sysconfig.get_path("purelib"),
        sys.prefix + os.sep,
        socket.gethostname(),
    }
    # A shorter text may be there by chance.
    long = [trace for trace in traces if len(trace) >= len("/tmp/")]
    return [
        f"{path.name}: {trace}"
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        for content in [path.read_bytes()]
        for trace in long
        if trace.encode() in content
    ]


@pytest.fixture(scope="session")
def exported(tmp_path_factory, checkpoint):
    """Loads the artifact of a checkpoint by a recipe, which is made once in a test run.

    A recipe `NAME+all` gives the logits of all tokens.
    """

    def make(name, recipe):
        recipe_name, _, logits = recipe.partition("+")
        if not load_recipe(recipe_name).is_stock and (missing := tools_missing()):
            pytest.skip(missing)
        if missing := backend_missing(recipe_name):
            pytest.skip(missing)
        the_recipe = load_recipe(recipe_name)
        if logits:
            the_recipe = the_recipe.model_copy(update={"logits": logits})
        place = shared_folder(tmp_path_factory, "artifacts") / f"{name}.{recipe}"
        the_checkpoint = checkpoint(name)
        rows = calibration_rows(the_checkpoint) if may_calibrate(the_recipe) else None
        # Kept even if it fails a gate: tests check it themselves.
        place_once(lambda path: export(the_checkpoint, the_recipe, path, calibrate=rows, keep=True), place)
        assert traces_of_this_machine(place) == []
        return load_artifact(place)

    return make
