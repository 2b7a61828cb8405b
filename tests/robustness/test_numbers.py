"""Numbers that users give: NaN and Inf are refused with the option or key named, and a name has one unit."""

import copy
import importlib
import pkgutil
import re
import typing
from dataclasses import replace

import click
import pytest
import torch
import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError
from safetensors.torch import load_file, save_file

import nf_edge
from nf_edge.backends import backend_for
from nf_edge.backends.memory_plan import MemoryPlan, RuntimeMemory
from nf_edge.cli import cli
from nf_edge.cli.param_types import Counts, Finite, Size
from nf_edge.core import resources
from nf_edge.core.device import load_device
from nf_edge.core.errors import BadInput, OverBudget
from nf_edge.core.figures import Figure
from nf_edge.core.recipe.recipe import load_recipe
from nf_edge.measure.accuracy.parity import Parity
from nf_edge.measure.memory import predict_memory
from nf_edge.measure.memory.accounts import missing_account
from nf_edge.measure.memory.measure import Measurements
from nf_edge.measure.memory.measured_account import account_of_measurements, account_of_net_measurement
from nf_edge.measure.memory.measurement import Measurement
from nf_edge.measure.memory.plan_account import account_of_plan
from nf_edge.measure.memory.python_process import NetMeasurement
from nf_edge.measure.memory.verdict import judge
from nf_edge.render.html.page import report_page

NOT_FINITE = ("nan", "inf", "-inf", "1e400", "NaN", "Infinity")


def commands(command, path=()):
    """Every command that does something, with its words."""
    if isinstance(command, click.Group):
        with click.Context(command) as context:
            for name in command.list_commands(context):
                yield from commands(command.get_command(context, name), (*path, name))
    else:
        yield path, command


OPTIONS = [
    (words, option)
    for words, command in commands(cli)
    for option in command.params
    if isinstance(option.type, click.types.FloatParamType)
]
NUMBERS = (click.types.IntParamType, click.types.FloatParamType, Counts, Size)


def test_there_are_options_to_try():
    assert {option.name for _, option in OPTIONS} == {
        "max_drop",
        "max_changed",
        "max_kl",
        "kl",
        "temperature",
    }


@pytest.mark.parametrize(
    ("words", "option"), OPTIONS, ids=lambda value: getattr(value, "name", None) or "-".join(value)
)
def test_a_number_on_the_command_line_is_finite(words, option, run):
    assert isinstance(option.type, Finite)
    for value in NOT_FINITE:
        done = run(*words, f"{option.opts[0]}={value}")
        assert done.code == 2
        assert option.opts[0] in done.err
        assert value in done.err


def test_a_number_of_thousands_of_digits_is_a_usage_error(run):
    """Python converts no such text to an integer."""
    tried = 0
    for words, command in commands(cli):
        for option in command.params:
            if isinstance(option.type, NUMBERS):
                done = run(*words, f"{option.opts[0]}={'9' * 5000}")
                assert (done.code, option.opts[0] in done.err) == (2, True)
                tried += 1
    assert tried > 30


def test_a_size_that_is_none_is_named(run):
    for value in ("nan", "inf", "-1kB", "1e400kB"):
        done = run("sensitivity", "digits", "--recipe", "onnx-int4", f"--file-size={value}", "-o", "x.yaml")
        assert done.code == 2
        assert value in done.err


def schemas():
    for found in pkgutil.walk_packages(nf_edge.__path__, "nf_edge."):
        if (
            not found.name.startswith(("nf_edge.backends", "nf_edge.kernels"))
            and "__main__" not in found.name
        ):
            importlib.import_module(found.name)
    left = [BaseModel]
    while left:
        left += (subclasses := left.pop().__subclasses__())
        yield from (each for each in subclasses if each.__module__.startswith("nf_edge."))


def floats_in(annotation):
    """Whether a float may stand somewhere in a field."""
    if annotation is float:
        return True
    return any(floats_in(part) for part in typing.get_args(annotation))


def test_no_schema_of_a_file_takes_a_number_that_is_none():
    tried = set()
    for schema in schemas():
        assert schema.model_config.get("allow_inf_nan") is False, schema
        for name, field in schema.model_fields.items():
            if not floats_in(field.annotation):
                continue
            tried.add(f"{schema.__name__}.{name}")
            for value in (float("nan"), float("inf"), "nan", "1e999"):
                for given in (value, [value, 1], [0, value]):
                    with pytest.raises(ValidationError) as error:
                        schema.model_validate({field.alias or name: given})
                    places = {item["loc"][0] for item in error.value.errors() if item["loc"]}
                    assert (field.alias or name) in places, (schema, name, given)
    assert {
        "Limits.max_drop",
        "Optimizer.learning_rate",
        "Source.part",
        "ModelConfig.layer_norm_epsilon",
    } <= tried
    assert TypeAdapter(float).validate_python("nan") != 0  # what pydantic does unless told


WRONG_KEYS = {
    "limits: {max_logit_error: .nan}": "limits.max_logit_error",
    "limits: {max_drop: .inf}": "limits.max_drop",
    "limits: {max_drop: 1e400}": "limits.max_drop",
    "shapes: {length: .nan}": "shapes.length",
    "prune: {heads: .nan}": "prune.heads",
    "prune: {weights: {sparsity: -.inf}}": "prune.weights.sparsity",
    "recover: {steps: 1, learning_rate: .inf}": "recover.learning_rate",
    "recover: {steps: 1, temperature: 1.0e+300}": "recover.temperature",
}


@pytest.mark.parametrize(("line", "key"), WRONG_KEYS.items())
def test_a_number_in_a_recipe_is_finite(line, key, run, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(f"name: mine\ndescription: d\nruntime: onnxruntime\nbackend: onnx_cpu\n{line}\n")
    done = run("recipes", "check", path)
    assert done.code == 3
    assert f"line 5: {key}" in done.err


def test_a_number_in_a_device_file_is_finite(run, tmp_path):
    device = yaml.safe_load((resources.folder("devices") / "rpi-5.yaml").read_text(encoding="utf-8"))
    path = tmp_path / "rpi-5.yaml"
    for key in ("size", "usable"):
        for value in (float("inf"), float("nan"), ".inf GB"):
            wrong = copy.deepcopy(device)
            wrong["memory"][0][key]["value"] = value
            path.write_text(yaml.safe_dump(wrong), encoding="utf-8")
            done = run("devices", "check", path)
            assert done.code == 3
            assert f"memory.0.{key}.value" in done.err


DTYPES = (torch.float32, torch.float16, torch.bfloat16)


@pytest.mark.parametrize(
    ("dtype", "value"), list(zip(DTYPES, map(float, ("nan", "inf", "-inf")), strict=True))
)
def test_a_weight_that_is_no_number_is_refused_in_whatever_tensor_it_is(dtype, value, run, case, tmp_path):
    for name in ("lm-lowrank-full-rank-untied-gelu", "lm-relative", "cls-pairwise-mean-padded"):
        tensors = {
            key: tensor.to(dtype) for key, tensor in load_file(case(name) / "model.safetensors").items()
        }
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_bytes((case(name) / "config.json").read_bytes())
        for key in tensors:
            wrong = tensors | {key: tensors[key].clone()}
            wrong[key].view(-1)[-1] = value
            save_file(wrong, folder / "model.safetensors", {"format": "pt"})
            done = run("export", folder, "--recipe", "onnx-fp32", "-o", tmp_path / "out")
            assert done.code == 3
            assert f"{key} contains NaN or Inf" in done.err


def test_a_figure_is_a_number_or_says_that_it_is_not_known():
    for value in (float("nan"), float("inf"), float("-inf")):
        with pytest.raises(ValueError, match="is not finite"):
            Figure(value, "ms", "measured")
        found = Figure.of(value, "ms", "measured", "of nothing")
        assert (found.value, found.how, str(found)) == (None, "unavailable", "unavailable")
        assert "of nothing" in found.note
    assert Figure.of(2.0, "ms", "measured").value == 2


def test_memory_that_is_not_known_fits_no_device():
    accounts = [missing_account(reason) for reason in ("no plan", "no compiler", "no plan")]
    verdict = judge(load_device("rpi-5"), load_recipe("onnx-fp32"), accounts)
    assert verdict.outcome == "unknown"
    (share,) = verdict.to_json()["memory"]
    assert (share["fits"], share["used"], share["need"]["value"]) == (False, None, None)
    with pytest.raises(OverBudget, match=r"unknown whether the artifact fits rpi-5: .*no plan; no compiler"):
        raise verdict.failure


def test_what_is_known_in_part_fits_only_as_far_as_that(run):
    done = run("profile", "digits", "--recipe", "coreml-fp16", "--device", "iphone-13")
    if done.code == 6:
        pytest.skip(done.err)
    assert done.code == 0
    assert "FITS AS FAR AS KNOWN on iphone-13" in done.out
    assert "at least " in done.out
    assert (
        "not counted: runtime: this machine cannot measure the runtime's memory on this kind of device"
        in done.out
    )


def test_a_page_is_green_only_where_all_is_known(exported):
    recipe, device = load_recipe("onnx-fp32"), load_device("rpi-5")
    manifest = exported("cls-lowrank-last-padded", "onnx-fp32").manifest
    known = predict_memory(backend_for(recipe), manifest.config, recipe, device)
    plan = MemoryPlan(
        program=10, weights=0, embeddings=0, mapped=10, loaded=0, cache=0, arenas=None, workspace=0
    )
    lacking = judge(device, recipe, [account_of_plan(plan, RuntimeMemory(10), "planned")])
    unknown = judge(device, recipe, [missing_account("no plan")])
    pages = [
        report_page(
            manifest, Parity("synthetic", 1, 0, 0.0, 1.0, None), replace(known, verdict=verdict), None
        )
        for verdict in (known.verdict, lacking, unknown)
    ]
    badges = [re.search(r'class="badge ([a-z-]+)">[a-z ]+</span></b>on Raspberry', page)[1] for page in pages]
    assert badges == ["fits", "fits-as-far-as-known", "unknown"]
    green, amber, red = "var(--good)", "var(--warn)", "var(--bad)"
    bars = [page.split('aria-label="Memory against the budget of ')[1].split("</svg>")[0] for page in pages]
    assert [[colour in bar for colour in (green, amber, red)] for bar in bars] == [
        [True, False, False],
        [False, True, False],
        [False, False, True],
    ]
    for text in ("<b>at least 20 B</b>", "not counted: arenas", "at least 20 B of"):
        assert text in pages[1]
        assert text not in pages[0]
    assert re.search(r"<b>not known</b>need of .*: no plan<", pages[2])


def test_what_a_python_process_holds_leaves_out_the_runtime_alone():
    measured = account_of_net_measurement(NetMeasurement(5_000_000, 1_000_000), 10, "there is no compiler")
    (share,) = judge(load_device("rpi-5"), load_recipe("onnx-fp32"), [measured]).shares
    assert share.outcome == "fits as far as known"
    assert list(share.unknown) == ["runtime"]


def measured_run(load_peak, steady, freed=0):
    """One process with 10 B of mapped file, 20 B of weights, 20 B of arenas and 10 B of runtime."""
    run = Measurement(
        mapped=10,
        loaded=20,
        cache=0,
        arenas=20,
        workspace=0,
        runtime_private=5,
        runtime_shareable=5,
        load_peak=load_peak,
        steady=steady,
    )
    return Measurements((run,), freed, threads=1)


def test_a_run_that_shows_nothing_leaves_unknown_what_the_plan_does_not_know():
    """As where there is no /proc: its zeros are no measurement."""
    plan = MemoryPlan(
        program=10, weights=0, embeddings=0, mapped=10, loaded=0, cache=0, arenas=None, workspace=0
    )
    planned = account_of_plan(plan, RuntimeMemory(10), "planned")
    native = account_of_measurements(measured_run(load_peak=0, steady=0), 10)
    python = account_of_net_measurement(NetMeasurement(0, 0), 10, "there is no compiler")
    outcomes = [
        judge(load_device("rpi-5"), load_recipe("onnx-fp32"), [planned, measured]).outcome
        for measured in (account_of_measurements(measured_run(load_peak=50, steady=60), 10), native, python)
    ]
    assert outcomes == ["fits", "fits as far as known", "fits as far as known"]


def test_a_python_process_does_not_show_the_heap_of_a_microcontroller():
    """Its resident memory also holds the file, and reuses pages that Python has freed."""
    plan = MemoryPlan(
        program=10, weights=0, embeddings=0, mapped=10, loaded=0, cache=0, arenas=None, workspace=0
    )
    planned = account_of_plan(plan, RuntimeMemory(10), "planned")
    measured = account_of_net_measurement(NetMeasurement(5_000_000, 0), 10, "there is no compiler")
    working, _ = judge(load_device("rpi-pico-2"), load_recipe("onnx-fp32"), [planned, measured]).shares
    assert (working.outcome, list(working.unknown)) == (
        "fits as far as known",
        ["arenas", "stack and variables"],
    )


def test_a_backend_without_a_measured_firmware_never_completely_fits_a_microcontroller(tmp_path):
    """A run on this machine measures the file, but not the code and the stack of a firmware."""
    text = (resources.folder("devices") / "mimxrt1170-evk.yaml").read_text(encoding="utf-8")
    board = tmp_path / "board.yaml"
    board.write_text(
        text.replace("id: mimxrt1170-evk", "id: board").replace("[cortex_m]", "[xnnpack]"), encoding="utf-8"
    )
    predicted = nf_edge.profile("digits", recipe="xnnpack-8da8w", device=str(board)).verdict
    measured = account_of_measurements(measured_run(load_peak=50, steady=60), 10)
    ran = judge(load_device(str(board)), load_recipe("xnnpack-8da8w"), [measured])
    for verdict in (predicted, ran):
        assert verdict.outcome == "fits as far as known"
        assert [list(share.unknown) for share in verdict.shares] == [["stack and variables"], ["code"]]


def test_a_peak_of_loading_that_nothing_predicts_is_unknown():
    verdict = nf_edge.profile("digits", recipe="coreml-fp16", device="iphone-15").verdict
    assert verdict.outcome == "fits as far as known"
    assert list(verdict.shares[0].unknown) == ["runtime", "load peak"]


def test_free_heap_that_the_c_library_cannot_return_is_unknown_and_stays_in_the_total():
    account = account_of_measurements(measured_run(load_peak=50, steady=60, freed=None), 10)
    assert account.process_total.value == 60
    assert account.process["free heap after load"].value is None
    assert account.process["weights and graph in heap"].value == 20


@pytest.mark.parametrize(
    ("load_peak", "phase", "need"), [(50, "steady state", 60), (70, "load peak", 70), (0, "steady state", 60)]
)
def test_the_verdict_names_the_phase_that_needs_more(load_peak, phase, need):
    account = account_of_measurements(measured_run(load_peak, steady=60), 10)
    (share,) = judge(load_device("rpi-5"), load_recipe("onnx-fp32"), [account]).shares
    assert (share.phase, share.need.value) == (phase, need)


def test_a_peak_of_loading_that_exceeds_the_budget_fails_before_the_export(run):
    plan = MemoryPlan(
        program=0,
        weights=0,
        embeddings=0,
        mapped=0,
        loaded=1,
        cache=0,
        arenas=0,
        workspace=0,
        load_peak=10**12,
    )
    verdict = judge(
        load_device("rpi-5"),
        load_recipe("onnx-fp32"),
        [account_of_plan(plan, RuntimeMemory(10), "predicted")],
    )
    assert verdict.outcome == "over budget"
    assert "load peak" in verdict.failure.what


def test_a_device_that_leaves_a_model_nothing_is_over_budget(run, tmp_path):
    device = yaml.safe_load((resources.folder("devices") / "rpi-5.yaml").read_text(encoding="utf-8"))
    memory = device["memory"][0]
    memory["reserve"] = memory["usable"] | {"source": "made up"}
    device["id"] = "full"
    (tmp_path / "full.yaml").write_text(yaml.safe_dump(device), encoding="utf-8")
    done = run("profile", "digits", "--recipe", "onnx-fp32", "--device", tmp_path / "full.yaml")
    assert done.code == 4
    assert "OVER BUDGET on full" in done.out


@pytest.mark.slow
def test_half_a_point_is_half_a_point_wherever_it_is_written(run, case, tmp_path):
    """In the recipe, on the command line, in what is printed and in JSON."""
    text = "name: mine\ndescription: d\nruntime: onnxruntime\nbackend: onnx_cpu\nlimits: {max_drop: 0.5}\n"
    (tmp_path / "mine.yaml").write_text(text)
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"input_ids": [1, 2, 3], "label": 0}\n' * 200)
    source = case("cls-standard-padded")
    arguments = ("export", source, "--data", rows, "--overwrite", "-o", tmp_path / "out")
    for options in (("--recipe", tmp_path / "mine.yaml"), ("--recipe", "onnx-fp32", "--max-drop", "0.5")):
        done = run(*arguments, *options)
        assert done.code == 0
        assert "limit 0.5)" in done.out
        done = run("check", tmp_path / "out", "--data", rows, "--reference", source, "--json", *options[2:])
        assert '"max_drop": 0.5' in done.out


def test_a_share_that_was_meant_as_points_is_told_so(run, tmp_path):
    text = "name: mine\ndescription: d\nruntime: onnxruntime\nbackend: onnx_cpu\nlimits: {max_drop: 0.01}\n"
    (tmp_path / "mine.yaml").write_text(text)
    words = "0.01 looks like a share, but the unit is points of accuracy"
    done = run("recipes", "check", tmp_path / "mine.yaml")
    assert (done.code, words in done.err, "write 1 if you mean 1 %" in done.err) == (3, True, True)
    for verb in (("check", "x", "--data", "d"), ("export", "digits", "--recipe", "onnx-fp32", "-o", "x")):
        done = run(*verb, "--max-drop", "0.01")
        assert (done.code, words in done.err) == (2, True)
    for points in ("0", "0.05", "1", "100"):
        done = run("check", tmp_path / "x", "--data", "d", "--max-drop", points)
        assert (done.code, "does not exist" in done.err) == (3, True)


@pytest.mark.parametrize("number", ["1:30", "1_0", "010", "0x10", "0b1"])
def test_a_number_that_yaml_reads_as_another_is_refused(number, tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text(
        f"name: r\ndescription: x\nruntime: onnxruntime\nbackend: onnx_cpu\nlimits: {{max_drop: {number}}}\n"
    )
    with pytest.raises(BadInput, match="is not a plain decimal number"):
        load_recipe(str(path))
