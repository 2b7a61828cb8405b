"""`import nf_edge`: what a user of the Python API gets, beside what the commands print."""

import json
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TESTS

import nf_edge
from nf_edge.core import strict_json
from nf_edge.core.resources import resolve

PAGE = TESTS.parent / "docs" / "python.md"
RECIPE = "onnx-fp32"
ROWS = 100


@pytest.fixture
def facts(run):
    """The result that a command prints as JSON."""

    def call(*arguments, code=0):
        done = run(*arguments, "--json")
        assert done.code == code, done.err
        return json.loads(done.out)["result"]

    return call


@pytest.fixture
def digits(exported):
    return exported("digits", RECIPE)


def as_json(value):
    """What a value writes, read back: it is strict JSON."""
    return strict_json.loads(strict_json.dumps(value.to_json()))


def without_measurements(value):
    """Facts without places and what is measured, which two runs do not have in common."""
    if isinstance(value, dict):
        if value.get("how") == "measured":
            return {**value, "value": None}
        drawn = ("path", "repeats", "available_bytes")
        if "budget" in value:  # the largest account, which may be the predicted or the measured one
            drawn += ("used", "headroom", "need", "phase", "origin")
        return {key: without_measurements(each) for key, each in value.items() if key not in drawn}
    return [without_measurements(each) for each in value] if isinstance(value, list) else value


def python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_importing_it_imports_nothing_heavy():
    heavy = "print({'torch', 'numpy', 'pydantic', 'onnx', 'click'} & set(sys.modules))"
    assert python(f"import nf_edge, sys; {heavy}") == ["set()"]
    assert python(f"import nf_edge, sys; nf_edge.load_device('rpi-5'); {heavy}") == ["{'pydantic'}"]


def test_its_names_are_functions_and_errors_whatever_else_was_imported():
    code = (
        "import nf_edge.pipeline.sweep, nf_edge.pruning.prune, nf_edge\n"
        "print(all(callable(getattr(nf_edge, n)) for n in nf_edge.__all__ if n != '__version__'))\n"
        "print(set(nf_edge.__all__) <= set(dir(nf_edge)))"
    )
    assert python(code) == ["True", "True"]
    with pytest.raises(AttributeError, match="no_such"):
        _ = nf_edge.no_such


def test_type_checkers_are_told_that_it_has_types():
    assert (Path(nf_edge.__file__).parent / "py.typed").is_file()


def test_every_function_is_in_the_table_of_the_page_and_none_else():
    named = set(re.findall(r"^\| `(\w+)\(", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert named == {name for name in nf_edge.__all__ if name[0].islower()}


@pytest.mark.slow
def test_the_main_job_on_the_page_has_at_most_15_lines_and_runs(tmp_path, monkeypatch, capsys):
    (code,) = re.findall(r"```python\n(.+?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 15
    monkeypatch.chdir(tmp_path)
    exec(compile(code, str(PAGE), "exec"), {})
    printed = capsys.readouterr().out
    assert "points lost" in printed
    assert printed.startswith("fits")
    assert (tmp_path / "digits-onnx" / "manifest.json").is_file()


def test_export_gives_what_the_command_prints(facts, tmp_path):
    options = {"device": "rpi-zero-2w", "data": "digits:test", "limit": ROWS, "max_drop": 5}
    result = nf_edge.export("digits", RECIPE, tmp_path / "by-api", **options)
    words = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    printed = facts("export", "digits", "--recipe", RECIPE, *words, "-o", tmp_path / "by-command")
    found = as_json(result)
    assert Path(found["path"]) == tmp_path / "by-api"
    for each in (found, printed):  # of a report with measurements, bytes and hash are its own
        each["files"] = [file for file in each["files"] if file["name"] != "report.html"]
    assert without_measurements(found) == without_measurements(printed)
    assert result.passed
    assert "&lt;svg" in result._repr_html_()
    # What was loaded before does as well as its name.
    plan = nf_edge.dry_run(nf_edge.load_checkpoint("digits"), nf_edge.load_recipe(RECIPE))
    printed = facts("export", "digits", "--recipe", RECIPE, "--dry-run")
    assert without_measurements(as_json(plan)) == without_measurements(printed)


def test_profile_gives_what_the_command_prints(facts, digits):
    report = nf_edge.profile(digits, device=nf_edge.load_device("rpi-zero-2w"))
    printed = facts("profile", digits.path, "--device", "rpi-zero-2w")
    assert without_measurements(as_json(report)) == without_measurements(printed)
    assert report.passed
    assert "<table>" in report._repr_html_()
    predicted = nf_edge.profile("digits", recipe=RECIPE)
    assert as_json(predicted) == facts("profile", "digits", "--recipe", RECIPE)
    assert not predicted.passed  # nothing was held against a device


def test_check_gives_what_the_command_prints(facts, digits):
    report = nf_edge.check(digits.path, "digits:test", limit=ROWS)
    assert as_json(report) == facts("check", digits.path, "--data", "digits:test", "--limit", ROWS)
    rows = nf_edge.load_rows("digits:test", "digits", limit=ROWS)
    assert nf_edge.check(digits, rows) == report
    assert nf_edge.check(digits, rows, reference=nf_edge.load_checkpoint("digits")) == report
    assert "<table>" in report._repr_html_()


def test_bench_gives_what_the_command_prints(facts, digits):
    report = nf_edge.bench(digits, lengths=[4], repeats=5)
    printed = facts("bench", digits.path, "--lengths", 4, "--repeats", 5)
    assert without_measurements(as_json(report))["inputs"] == printed["inputs"]
    of_api, of_command = (
        [(line["phase"], line["tokens"], line["rounds"]) for line in each["lines"]]
        for each in (as_json(report), printed)
    )
    assert of_api == of_command
    assert "<table>" in report._repr_html_()


def test_generate_gives_what_the_command_prints(facts):
    pieces = []
    written = nf_edge.generate("shakespeare", "ROMEO:", max_tokens=6, on_text=pieces.append)
    assert as_json(written) == facts("generate", "shakespeare", "ROMEO:", "--max-tokens", 6)
    assert "".join(pieces) == written.text
    page = written._repr_html_()
    assert page.index("prompt: ROMEO:") < page.index("continuation: ") < page.index("ended: max tokens")
    ids = nf_edge.generate("shakespeare", written.prompt_ids, max_tokens=6)
    assert (ids.ids, ids.text) == (written.ids, None)
    assert f"prompt: token ids {' '.join(map(str, written.prompt_ids))}" in ids._repr_html_()
    assert f"continuation: token ids {' '.join(map(str, written.ids))}" in ids._repr_html_()


def test_sensitivity_gives_what_the_command_prints(facts):
    report = nf_edge.sensitivity("digits", "onnx-int8-dynamic", limit=4)
    printed = facts("sensitivity", "digits", "--recipe", "onnx-int8-dynamic", "--limit", 4)
    assert as_json(report) == printed
    assert not report.passed  # there was no target
    assert "<table>" in report._repr_html_()


def test_compress_gives_what_the_command_prints(facts, tmp_path):
    recipe = tmp_path / "mine.yaml"
    text = (TESTS.parent / "recipes" / "onnx-fp32.yaml").read_text(encoding="utf-8")
    recipe.write_text(text.replace("onnx-fp32", "mine", 1) + "prune:\n  inner: 0.5\n", encoding="utf-8")
    result = nf_edge.compress("digits", recipe, tmp_path / "by-api", train="digits:test")
    words = ("--recipe", recipe, "--train", "digits:test", "-o", tmp_path / "by-command")
    printed = facts("compress", "digits", *words)
    assert (found := as_json(result)).pop("path") == str(tmp_path / "by-api")
    assert printed.pop("path") == str(tmp_path / "by-command")
    assert found == printed
    assert result.after.parameters < result.before.parameters
    assert "<table>" in result._repr_html_()


def test_sweep_gives_what_the_command_prints_and_writes_it(facts, tmp_path):
    options = {"limit": ROWS, "lengths": [4], "repeats": 5}
    report = nf_edge.sweep("digits", "digits:test", recipes=[RECIPE], out=tmp_path / "out", **options)
    kept = strict_json.loads((tmp_path / "out" / "sweep.json").read_bytes())
    assert kept == {"schema": "nf-edge/1", "command": "sweep", "result": as_json(report)}
    assert (tmp_path / "out" / "sweep.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert report._repr_html_().startswith("<iframe")


def test_a_gate_that_is_not_passed_is_a_value_and_nothing_is_placed(cramped, digits, tmp_path):
    result = nf_edge.export("digits", RECIPE, tmp_path / "out", device=cramped)
    assert (result.passed, result.path, (tmp_path / "out").exists()) == (False, None, False)
    assert isinstance(result.failure, nf_edge.OverBudget)
    report = nf_edge.profile(digits, device=cramped)
    assert not report.passed
    assert "does not fit cramped: it needs" in str(report.failure)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda a: nf_edge.export("digits", "none", "out"),
            ["export", "digits", "--recipe", "none", "-o", "out"],
        ),
        (lambda a: nf_edge.profile(a, device="none"), ["profile", "ARTIFACT", "--device", "none"]),
        (lambda a: nf_edge.profile("none"), ["profile", "none"]),
        (lambda a: nf_edge.check(a, "none.tsv"), ["check", "ARTIFACT", "--data", "none.tsv"]),
        (lambda a: nf_edge.bench(a, lengths=[10**6]), ["bench", "ARTIFACT", "--lengths", 10**6]),
        (lambda a: nf_edge.generate("digits", "a"), ["generate", "digits", "a"]),
        (
            lambda a: nf_edge.compress("digits", RECIPE, "out", train="digits:train"),
            ["compress", "digits", "--recipe", RECIPE, "--train", "digits:train", "-o", "out"],
        ),
        (
            lambda a: nf_edge.sensitivity("digits", RECIPE, data="none.tsv"),
            ["sensitivity", "digits", "--recipe", RECIPE, "--data", "none.tsv"],
        ),
        (lambda a: nf_edge.sweep("digits", "none.tsv"), ["sweep", "digits", "--data", "none.tsv"]),
    ],
)
def test_bad_input_has_the_message_of_the_command(call, words, run, digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(nf_edge.NfEdgeError) as error:
        call(str(digits.path))
    done = run(*(digits.path if word == "ARTIFACT" else word for word in words))
    assert (done.code, done.err.strip()) == (error.value.exit_code, f"nf-edge: {error.value}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["digits", "rpi-5"])
def test_a_path_is_never_the_name_of_what_ships(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    load = nf_edge.load_checkpoint if name == "digits" else nf_edge.load_device
    assert load(name)
    with pytest.raises(nf_edge.BadInput, match=f"./{name}"):
        load(Path(name))


@pytest.mark.parametrize("value", [math.nan, math.inf, -1, 101, 0.01, "1"])
def test_a_limit_that_holds_nothing_is_refused(value, digits):
    with pytest.raises(nf_edge.BadInput, match="max_drop"):
        nf_edge.check(digits, "digits:test", max_drop=value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda a: nf_edge.profile(a, device=""), "neither a name nor a path"),
        (lambda a: nf_edge.check(a, "digits:test", limit=0), "limit"),
        (lambda a: nf_edge.bench(), "no artifact"),
        (lambda a: nf_edge.bench(a, threads=[0]), "threads"),
        (lambda a: nf_edge.bench(a, threads=2), r"write \[2\]"),
        (lambda a: nf_edge.bench(a, threads=None), "threads must be a list, not None"),
        (lambda a: nf_edge.bench(a, lengths=4), "lengths must be a list, not 4"),
        (lambda a: nf_edge.bench(a, repeats=1), "repeats"),
        (lambda a: nf_edge.bench(a, repeats=None), "repeats"),
        (lambda a: nf_edge.sweep("digits", "digits:test", recipes=RECIPE), "recipes must be a list"),
        (lambda a: nf_edge.check_on(a, "digits:test", "rpi-5"), r"write \['rpi-5'\]"),
        (lambda a: nf_edge.check_on(a, "digits:test", None), "on must be a list, not None"),
        (lambda a: nf_edge.check_on(a, "digits:test", []), "`on` is an empty list"),
        (lambda a: nf_edge.export("digits", RECIPE, "out", max_drop=1), "max_drop cannot be used"),
        (lambda a: nf_edge.export("digits", RECIPE, "out", limit=9), "limit cannot be used without data"),
        (lambda a: nf_edge.dry_run("digits", RECIPE, limit=9), "limit cannot be used without data"),
        *(
            (lambda a, path=path: nf_edge.load_artifact(path), "is neither a name nor a path")
            for path in (None, 3, b"out", "", "a\0b", Path("a\0b"))
        ),
        (lambda a: nf_edge.load_artifact(a, public_key=3), "is neither a name nor a path"),
        (lambda a: nf_edge.export("digits", RECIPE, "a\0b"), "is neither a name nor a path"),
        (lambda a: nf_edge.profile("digits"), "give a recipe to predict its memory"),
        (lambda a: nf_edge.profile(a, recipe=RECIPE), "already has a recipe"),
        (lambda a: nf_edge.profile(a, require_signature=True), "is not signed"),
        (lambda a: nf_edge.sensitivity("digits", RECIPE, kl=0.1), "give both or neither"),
        (lambda a: nf_edge.sensitivity("digits", RECIPE, kl=math.nan, out="a.yaml"), "kl"),
        (lambda a: nf_edge.sensitivity("digits", RECIPE, kl=10**400, out="a.yaml"), "kl"),
        *(
            (lambda a, value=value: nf_edge.generate("shakespeare", "a", temperature=value), "temperature")
            for value in (math.nan, None, True, "1", -1, 10**400)
        ),
        (lambda a: nf_edge.generate("shakespeare", "a", max_tokens=None), "max_tokens"),
        (lambda a: nf_edge.generate("shakespeare", [10**6000]), "token ids must be"),
        (lambda a: nf_edge.bench(a, lengths=[10**6000]), "lengths must be a whole number"),
        (lambda a: nf_edge.bench(a, contexts=[10**6000]), "contexts must be a whole number"),
        (lambda a: nf_edge.bench(a, threads=[10**6000]), "threads must be a whole number"),
        (lambda a: nf_edge.generate("shakespeare", []), "must have at least one token"),
        *(
            (lambda a, prompt=prompt: nf_edge.generate("shakespeare", prompt), "not a list of token ids")
            for prompt in (["a"], [1.5], [None], 5)
        ),
    ],
)
def test_arguments_that_no_command_lets_through_are_refused(call, message, digits):
    with pytest.raises(nf_edge.BadInput, match=message):
        call(digits)


@pytest.mark.parametrize("name", ["a" * 5000, "a\0b"], ids=["too long", "a NUL"])
@pytest.mark.parametrize(
    "call",
    [
        lambda name: nf_edge.load_checkpoint(name),
        lambda name: nf_edge.load_device(name),
        lambda name: nf_edge.load_artifact(name),
        lambda name: nf_edge.load_artifact(Path(name)),
        lambda name: nf_edge.load_rows(name, "digits"),
        lambda name: nf_edge.bench(name),
        lambda name: nf_edge.profile(name),
        lambda name: nf_edge.check(name, "digits:test"),
        lambda name: nf_edge.generate(name),
        lambda name: nf_edge.export(name, RECIPE, "out"),
        lambda name: nf_edge.export("digits", name, "out"),
        lambda name: nf_edge.export("digits", RECIPE, name),
        lambda name: nf_edge.export("digits", RECIPE, Path(name)),
        lambda name: nf_edge.export("digits", RECIPE, "out", data=name),
        lambda name: nf_edge.export("digits", RECIPE, "out", calibrate=name),
        lambda name: nf_edge.compress("digits", "xnnpack-8da8w-half", name, train="digits:train"),
        lambda name: nf_edge.sensitivity("digits", "onnx-int4", kl=1, out=f"{name}/mine.yaml"),
        lambda name: nf_edge.sweep("digits", "digits:test", out=name),
    ],
)
def test_a_path_that_cannot_be_is_bad_input(call, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(nf_edge.BadInput):
        call(name)
    assert list(tmp_path.iterdir()) == []


def test_rows_and_artifacts_that_changed_or_are_for_another_are_refused(digits, tmp_path):
    rows = nf_edge.load_rows("digits:test", "digits", limit=4)
    with pytest.raises(nf_edge.BadInput, match="limit"):
        nf_edge.check(digits, rows, limit=2)
    moved = tmp_path / "artifact"
    shutil.copytree(digits.path, moved)
    before = nf_edge.load_artifact(moved)
    manifest = moved / "manifest.json"
    manifest.write_text(manifest.read_text(encoding="utf-8").replace("\n", "\n\n", 1), encoding="utf-8")
    with pytest.raises(nf_edge.BadInput, match="changed since it was loaded"):
        nf_edge.check(before, rows)


def test_a_remark_is_shown_at_the_line_that_called_the_api(tmp_path):
    folder = shutil.copytree(resolve("checkpoints", "digits", suffix=""), tmp_path / "model")
    config = json.loads((folder / "config.json").read_bytes())
    (folder / "config.json").write_text(json.dumps(config | {"of_another_library": 1}))
    for call in (
        lambda: nf_edge.dry_run(folder, RECIPE),
        lambda: nf_edge.profile(folder, recipe=RECIPE),
        lambda: nf_edge.sensitivity(folder, "onnx-int4", limit=1),
    ):
        with pytest.warns(UserWarning, match="of_another_library") as remarks:
            call()
        assert {remark.filename for remark in remarks} == {__file__}


def test_remarks_are_warnings_unless_someone_takes_them(digits, tmp_path):
    data = tmp_path / "data.jsonl"
    long = {"input_ids": [1] * 1000, "label": 0}
    data.write_text(json.dumps(long) + "\n", encoding="utf-8")
    with pytest.warns(UserWarning, match="cut to"):
        nf_edge.check(digits, data)
    told = []
    nf_edge.check(digits, data, notify=told.append)
    assert len(told) == 1
