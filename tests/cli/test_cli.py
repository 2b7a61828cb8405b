"""The command line itself: help without waiting, errors on stderr, exit codes, JSON; recipes and doctor."""

import contextlib
import io
import json
import os
import subprocess
import sys

import pytest

from nf_edge import __version__
from nf_edge.backends import REGISTRY
from nf_edge.cli import VERBS
from nf_edge.core import resources
from nf_edge.core.quiet import quiet_stdout
from nf_edge.core.recipe.recipe import load_recipe

HEAVY = ("torch", "pydantic", "onnx", "onnxruntime", "executorch", "numpy", "rich", "yaml", "tokenizers")
GROUPS = ("recipes", "devices")


def python(code, **environment):
    """Run code in a fresh interpreter and give what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["exprot"], ["export", "--help"]])
def test_help_comes_without_loading_anything_heavy(arguments):
    out = python(f"""
import sys
from nf_edge.cli import main
sys.argv = ["nf-edge", *{arguments!r}]
try:
    main()
except SystemExit:
    pass
print("loaded:", [name for name in {HEAVY!r} if name in sys.modules])
""")
    assert out.splitlines()[-1] == "loaded: []"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example_of_itself(verb, run):
    done = run(verb, "--help")
    assert (done.code, done.err) == (0, "")
    assert "Example" in done.out
    assert f"  nf-edge {verb}" in done.out


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("subcommand", ["list", "show", "check"])
def test_every_subcommand_has_help_with_an_example_of_itself(group, subcommand, run):
    done = run(group, subcommand, "--help")
    assert done.code == 0
    assert f"  nf-edge {group} {subcommand}" in done.out


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_lists_every_verb_and_what_the_exit_codes_mean(option, run):
    done = run(option)
    assert done.code == 0
    for verb, (_, line) in VERBS.items():
        assert verb in done.out
        assert line[:30] in done.out
    for code in ("0 ok", "2 wrong usage", "4 over the memory budget", "5 beyond the accuracy limit"):
        assert code in done.out


def test_the_version_is_printed(run):
    done = run("--version")
    assert (done.code, done.out.split()[-1]) == (0, __version__)


@pytest.mark.parametrize(
    ("typed", "meant"), [("exprot", "export"), ("profle", "profile"), ("recipe", "recipes")]
)
def test_a_mistyped_verb_is_met_with_the_nearest_one(typed, meant, run):
    done = run(typed)
    assert (done.code, done.out) == (2, "")
    assert f"Did you mean '{meant}'?" in done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["xyzzy"],
        ["export"],
        ["export", "digits", "--recipe", "onnx-fp32"],
        ["export", "digits", "--recipe", "onnx-fp32", "-o", "out", "--max-drop", "101"],
        ["export", "digits", "--recipe", "onnx-fp32", "-o", "out", "--limit", "0"],
        ["export", "digits", "--recipe", "onnx-fp32", "-o", "out", "--limit", "9"],
        # Nothing would be measured against it, and the artifact would pass.
        ["export", "digits", "--recipe", "onnx-fp32", "-o", "out", "--max-drop", "1"],
        ["export", "digits", "--recipe", "onnx-fp32", "--dry-run", "--max-drop", "1"],
        ["check", "out"],
        ["profile", "--no-such-option"],
        ["recipes", "shwo", "onnx-fp32"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("json_option", [[], ["--json"]], ids=["", "json"])
def test_wrong_usage_is_exit_2_and_leaves_stdout_to_json(arguments, json_option, run):
    done = run(*arguments, *json_option)
    assert done.code == 2
    assert done.err
    assert "Traceback" not in done.err
    if not json_option:
        assert done.out == ""
        return
    document = json.loads(done.out)
    assert document["schema"] == "nf-edge/1"
    assert document["error"]["exit_code"] == 2
    assert document["error"]["message"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["recipes", "show", "no-such-recipe"],
        ["devices", "show", "no-such-device"],
        ["profile", "no-such-artifact"],
        ["check", "no-such-artifact", "--data", "x.tsv"],
        ["bench", "no-such-artifact"],
        ["compare", "no-such-model", "digits", "--recipe", "onnx-fp32"],
        ["compare", "--preset", "tiny", "--recipe", "no-such-recipe"],
        ["export", "no-such-model", "--recipe", "onnx-fp32", "-o", "out"],
        ["export", "no-such-model", "--recipe", "no-such-recipe", "-o", "out"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("json_option", [[], ["--json"]], ids=["", "json"])
def test_bad_input_is_exit_3_on_stderr_and_in_json(arguments, json_option, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run(*arguments, *json_option)
    assert done.code == 3
    assert done.err.startswith("nf-edge: ")
    assert "no-such" in done.err
    if not json_option:
        assert done.out == ""
        return
    document = json.loads(done.out)
    assert (document["schema"], document["error"]["exit_code"]) == ("nf-edge/1", 3)
    assert document["error"]["message"] in done.err
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_a_folder_should_be_is_the_users_to_mend(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").write_text("a file")
    done = run("export", "no-such-model", "--recipe", "onnx-fp32", "-o", "out", "--overwrite")
    assert done.code == 3
    assert (tmp_path / "out").read_text() == "a file"


def json_of(done):
    assert done.code == 0
    document = json.loads(done.out)
    assert document["schema"] == "nf-edge/1"
    return document["result"]


def test_doctor_reports_every_package_and_what_each_is_for(run):
    findings = {finding["name"]: finding for finding in json_of(run("doctor", "--json"))}
    for name in ("python", "torch", "executorch", "onnxruntime", "cmake", "native runner, executorch"):
        assert findings[name]["needed_for"]
        assert findings[name]["state"]
    assert findings["torch"]["ok"]
    assert all(finding["ok"] or finding["fix"] for finding in findings.values())
    text = run("doctor")
    assert text.code == 0
    assert all(name in text.out for name in findings)


def test_doctor_names_the_command_that_gets_a_compiler(run, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    findings = {finding["name"]: finding for finding in json_of(run("doctor", "--json"))}
    runner = findings["native runner, onnxruntime"]
    assert not runner["ok"]
    assert "no-such-compiler" in runner["state"]
    assert "unset CXX" in runner["fix"]
    assert "To get what is missing" in run("doctor").out


def test_backends_tell_which_recipes_use_them(run):
    facts = {fact["name"]: fact for fact in json_of(run("backends", "--json"))}
    assert facts["xnnpack"]["available"]
    assert "xnnpack-fp32" in facts["xnnpack"]["recipes"]
    assert "onnx-fp32" in facts["onnx_cpu"]["recipes"]
    assert "lowers and runs here" in run("backends").out


def test_backends_tell_their_precisions_attention_devices_and_targets(run):
    facts = {fact["name"]: fact for fact in json_of(run("backends", "--json"))}
    assert facts.keys() == REGISTRY.keys()
    assert all(fact["attention"] and fact["recipes"] for fact in facts.values())
    assert facts["coreml"]["precisions"]["coreml-fp16"] == "float16"
    assert facts["xnnpack"]["precisions"]["xnnpack-8da4w"] == "int4, groups of 32; int8 dynamic activations"
    assert facts["ethos_u"]["devices"][0] == "alif-e3-devkit"
    assert facts["openvino"]["devices"] == ["intel-n100-4gb"]
    assert "cortex-m-mve" in facts["cortex_m"]["targets"]
    assert "simulator" in facts["qnn"]["answers_by"]
    printed = run("backends").out
    for name in resources.names("recipes"):
        assert name in printed


def test_recipes_are_listed_shown_and_valid(run):
    names = resources.names("recipes")
    assert [recipe["name"] for recipe in json_of(run("recipes", "list", "--json"))] == names
    assert json_of(run("recipes", "check", "--json"))["valid"] == names
    assert run("recipes", "check").out.startswith(f"{len(names)} valid: ")
    listed = run("recipes", "list").out
    for name in names:
        assert name in listed
        shown = run("recipes", "show", name)
        assert shown.out == (resources.folder("recipes") / f"{name}.yaml").read_text(encoding="utf-8")
        assert json_of(run("recipes", "show", name, "--json"))["logits"] == load_recipe(name).logits


def test_a_shown_recipe_is_the_start_of_ones_own(run, tmp_path):
    text = run("recipes", "show", "xnnpack-8da8w").out
    mine = tmp_path / "mine.yaml"
    mine.write_text(text.replace("name: xnnpack-8da8w", "name: mine"))
    assert json_of(run("recipes", "check", mine, "--json"))["valid"] == [str(mine)]


BAD_RECIPE = """\
name: bad
description: with five mistakes
runtime: ONNX Runtime
backend: onnx_cpu
shapes:
  batch: 2
  lenght: 7
quantize:
  weights: int9
  granularity: per_channel
  activations: int8_dynamic
  embeddings: int8
limits:
  max_drop: 0.01
"""


def test_all_mistakes_of_a_recipe_are_told_at_once_each_with_its_line(run, tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(BAD_RECIPE)
    done = run("recipes", "check", path)
    assert (done.code, done.out) == (3, "")
    for line, key in [
        (3, "runtime"),
        (6, "shapes.batch"),
        (7, "shapes.lenght"),
        (9, "quantize.weights"),
        (14, "limits.max_drop"),
    ]:
        assert f"line {line}: {key}: " in done.err
    assert "5 problems" in done.err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name: onnx-fp32": "name: other"}, "must be the file's name without .yaml, 'mine'"),
        (
            {"runtime: onnxruntime": "runtime: executorch"},
            "runtime: backend onnx_cpu needs `runtime: onnxruntime`",
        ),
        (
            {"backend: onnx_cpu": "backend: tpu"},
            "unknown backend 'tpu'\n  use one of: xnnpack, nf_cpu, onnx_cpu, openvino, coreml, vulkan, "
            "ethos_u, cortex_m, qnn",
        ),
        (
            {"shapes:": "limits: {max_logit_error: 0.1}\nshapes:"},
            "a recipe without quantize allows at most 0.0001",
        ),
        ({"batch: dynamic": "length: 0"}, "shapes.length"),
        ({"backend: onnx_cpu": "backend: onnx_cpu\nbackend: onnx_cpu"}, "is already in line 4"),
    ],
    ids=["name", "runtime", "backend", "tolerance", "length", "repeated key"],
)
def test_a_recipe_that_cannot_be_says_what_to_change(changes, message, run, tmp_path):
    text = run("recipes", "show", "onnx-fp32").out
    if not any(old.startswith("name") for old in changes):
        text = text.replace("name: onnx-fp32", "name: mine")
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    done = run("recipes", "check", path)
    assert (done.code, done.out) == (3, "")
    assert message in done.err
    assert str(path) in done.err or "recipe mine" in done.err or "backend" in message


def test_a_tighter_tolerance_is_taken(run, tmp_path):
    path = tmp_path / "tight.yaml"
    text = run("recipes", "show", "onnx-fp32").out.replace("onnx-fp32", "tight")
    path.write_text(text + "limits: {max_logit_error: 1.0e-5}\n")
    assert run("recipes", "check", path).code == 0


def test_every_bad_recipe_of_several_is_told(run, tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text("name: x\n")
    done = run("recipes", "check", tmp_path / "one.yaml", "onnx-fp32", tmp_path / "two.yaml")
    assert done.code == 3
    assert "one.yaml" in done.err
    assert "two.yaml" in done.err


def test_telemetry_is_off_as_soon_as_the_package_is_imported(monkeypatch):
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    look = "import os; import nf_edge; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    assert python(look).strip() == "1"
    # Not to be overruled by what the user's shell happens to have.
    assert python(look, ORT_DISABLE_TELEMETRY="0").strip() == "1"


def test_what_libraries_print_is_not_among_the_results(capfd):
    """Neither where Python's own stdout is another than the process's."""
    with contextlib.redirect_stdout(io.StringIO()) as elsewhere:
        with quiet_stdout():
            print("in Python")
            os.write(1, b"natively")
        print("a result")
    os.write(1, b"another")
    assert (elsewhere.getvalue(), capfd.readouterr().out) == ("a result\n", "another")


@pytest.mark.slow
def test_running_an_onnx_artifact_leaves_nothing_in_the_users_home(exported, tmp_path, monkeypatch):
    # First of all: this process itself must not import ONNX Runtime with telemetry on.
    model = exported("lm-none", "onnx-fp32+all").model_file
    for variable in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "TMPDIR"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    monkeypatch.delenv("CI", raising=False)
    out = python(f"""
import numpy as np
from pathlib import Path
from nf_edge.backends import get_backend
session = get_backend("onnx_cpu").session(Path({str(model)!r}))
ids = np.zeros((1, 3), dtype=np.int64)
print(session.run(ids, np.ones_like(ids)).shape)
""")
    assert out.strip() == "(1, 3, 19)"
    assert list(tmp_path.rglob("*")) == []
