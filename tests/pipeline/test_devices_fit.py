"""`nf-edge devices fit`: every device against every recipe, with the verdicts that `profile` gives."""

import json
import re
from itertools import pairwise
from math import inf

import pytest
import yaml

import nf_edge
from nf_edge.core import resources
from nf_edge.core.device import bundled_devices, load_device
from nf_edge.core.figures import Figure, format_bytes
from nf_edge.core.recipe.recipe import bundled_recipes, load_recipe
from nf_edge.measure.memory.verdict import Share, Verdict
from nf_edge.pipeline.devices_fit import DeviceFits, Fit, tried_lengths
from nf_edge.render.html.devices_fit_page import devices_fit_page as page_of

# GPT-2's shape: it fits phones, some boards with some recipes, and no microcontroller.
LARGE = {
    "architectures": ["NoiseFormerForCausalLM"],
    "vocab_size": 50257,
    "n_positions": 1024,
    "n_embd": 768,
    "n_layer": 12,
    "n_head": 12,
    "noise": {"kind": "relative"},
}
SMALL_BOARD, PHONE, MICROCONTROLLER = "rpi-zero-2w", "pixel-8", "alif-e8-devkit"
SOME = (SMALL_BOARD, PHONE, MICROCONTROLLER, "rpi-pico", "intel-n100-4gb", "iphone-15")


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A folder with a config and no weights."""
    folder = tmp_path_factory.mktemp("large")
    (folder / "config.json").write_text(json.dumps(LARGE), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def report(large):
    return nf_edge.devices_fit(large)


@pytest.fixture
def facts(run):
    """The exit code and the result of `nf-edge devices fit --json`."""

    def call(*arguments):
        done = run("devices", "fit", *arguments, "--json")
        return done.code, json.loads(done.out)["result"]

    return call


def the_fit(report, device, recipe):
    (row,) = (each for each in report.devices if each.device.id == device)
    return next(fit for fit in row.fits if fit.recipe == recipe)


def profiled(checkpoint, recipe, device):
    """The verdict of `profile`; None if it refuses the recipe for this checkpoint."""
    try:
        return nf_edge.profile(checkpoint, recipe=recipe, device=device).verdict
    except nf_edge.BadInput:
        return None


def test_every_verdict_is_the_one_that_profile_gives(large, report):
    devices, recipes = bundled_devices(), bundled_recipes()
    assert [each.device.id for each in report.devices] == [device.id for device in devices]
    # A device of each kind: profiling all 51 by all recipes would take half a minute.
    devices = [device for device in devices if device.id in SOME]
    outcomes = set()
    for recipe in recipes:
        for device in devices:
            fit = the_fit(report, device.id, recipe.name)
            outcomes.add(fit.verdict.outcome)
            if (verdict := profiled(large, recipe, device)) is not None:
                assert fit.verdict == verdict
            else:
                assert fit.verdict.outcome == "does not run"
    assert outcomes == {"fits", "fits as far as known", "over budget", "does not run"}


def test_the_longest_context_fits_and_the_next_longer_one_does_not(large, report):
    fits = [(each.device, fit) for each in report.devices for fit in each.fits if fit.context]
    assert len({fit.recipe for _, fit in fits}) > 1
    tried = [*tried_lengths(LARGE["n_positions"]), LARGE["n_positions"]]
    assert max(longer - shorter for shorter, longer in pairwise(tried)) == LARGE["n_positions"] // 16
    for device, fit in fits:
        longer = tried[tried.index(fit.context) + 1]
        for tokens, passes in ((fit.context, True), (longer, False)):
            recipe = load_recipe(fit.recipe)
            shapes = recipe.shapes.model_copy(update={"length": tokens})
            shorter = recipe.model_copy(update={"shapes": shapes})
            assert nf_edge.profile(large, recipe=shorter, device=device).passed == passes


def test_the_next_smaller_recipe_is_the_largest_need_that_fits(report):
    over = [(each, fit) for each in report.devices for fit in each.fits if fit.smaller]
    assert over
    for each, fit in over:
        assert fit.verdict.outcome == "over budget"
        (smaller,) = (other for other in each.passing if other.recipe == fit.smaller)
        needs = [other.share.need.value for other in each.passing]
        assert smaller.share.need.value == max(needs) < fit.share.need.value


def test_a_recipe_that_no_backend_of_the_device_takes_does_not_run_and_is_listed(run):
    done = run("devices", "fit", "digits", "--device", "rpi-pico-2")
    assert done.code == 0
    assert re.search(r"cortex-m-int8 +fits", done.out)
    assert "openvino (4)" in done.out
    assert "the device supports cortex_m" in done.out
    one = run("devices", "fit", "digits", "--recipe", "nf-int8")
    assert re.search(r"does not run: .*rpi-pico-2.*: the device supports cortex_m, but", one.out)


def test_a_recipe_that_the_checkpoint_does_not_suit_does_not_run_and_says_why(facts):
    _, result = facts("digits", "--recipe", "xnnpack-8da8w-half", "--device", PHONE)
    (fit,) = result["devices"][0]["recipes"]
    assert fit["outcome"] == "does not run"
    assert "was not compressed by recipe xnnpack-8da8w-half" in fit["problem"]


def test_a_recipe_whose_backend_has_no_cache_for_the_model_does_not_run(run, facts, large, tmp_path):
    recipe = tmp_path / "vulkan-cached.yaml"
    text = (nf_edge.core.resources.folder("recipes") / "vulkan-fp16.yaml").read_text(encoding="utf-8")
    text = text.replace("vulkan-fp16", "vulkan-cached").replace("logits: all", "logits: last")
    recipe.write_text(text, encoding="utf-8")
    _, result = facts(large, "--recipe", recipe, "--device", PHONE)
    (fit,) = result["devices"][0]["recipes"]
    assert fit["outcome"] == "does not run"
    assert "backend vulkan has no cache" in fit["problem"]
    assert run("profile", large, "--recipe", recipe).code == 3


def test_a_report_names_the_checkpoint_and_the_device_or_recipe(run):
    for options, title in (
        (("--device", MICROCONTROLLER), f"digits on {MICROCONTROLLER} (Alif Ensemble E8 DevKit)"),
        (("--recipe", "nf-int8"), "digits with nf-int8"),
    ):
        assert run("devices", "fit", "digits", *options).out.splitlines()[0].strip() == title


def test_a_device_without_a_backend_says_which_one_it_needs(run):
    done = run("devices", "fit", "digits", "--device", "rpi-pico")
    assert done.code == 4
    assert "no backend of nf-edge runs on the device; it would need a backend for Cortex-M" in done.out
    assert "verdict" not in done.out
    assert "use another device" in done.err


def test_the_exit_code_is_4_only_if_a_named_device_fits_no_recipe(facts, large):
    assert facts(large)[0] == 0
    assert facts(large, "--recipe", "xnnpack-fp32")[0] == 0
    assert facts(large, "--device", PHONE)[0] == 0
    assert facts(large, "--device", PHONE, "--device", MICROCONTROLLER)[0] == 4
    assert facts(large, "--device", SMALL_BOARD, "--recipe", "xnnpack-fp32")[0] == 4


def test_with_one_device_and_one_recipe_the_error_is_that_of_profile(run, large):
    options = (large, "--recipe", "xnnpack-fp32", "--device", SMALL_BOARD)
    assert run("devices", "fit", *options).err == run("profile", *options).err


def test_the_json_has_the_headroom_and_what_would_fit(facts, large):
    _, result = facts(large, "--device", SMALL_BOARD)
    assert [each["device"] for each in result["devices"]] == [SMALL_BOARD]
    for fit in result["devices"][0]["recipes"]:
        if fit["outcome"] == "over budget":
            assert fit["headroom"] == fit["budget"] - fit["need"]["value"] < 0
            assert fit["memory"] == load_device(SMALL_BOARD).working_memory.name
    assert result["devices"][0]["unverified"]


def test_the_table_is_at_most_100_columns_wide(run, large):
    rows = [line.rstrip() for line in run("devices", "fit", large).out.splitlines() if line.startswith(" ")]
    assert len([row for row in rows if row]) > len(bundled_devices())
    assert max(map(len, rows)) <= 100


def test_the_page_has_every_verdict_and_loads_nothing(run, large, tmp_path):
    page = tmp_path / "fit.html"
    assert run("devices", "fit", large, "--html", page).code == 0
    text = page.read_text(encoding="utf-8")
    assert text.count('<i class="cell') == len(bundled_devices()) * len(bundled_recipes())
    assert "onnx-int4: " in text
    assert not re.search(r"<script|https?://|src=|@import", text)
    assert "prefers-color-scheme: dark" in text
    assert run("devices", "fit", large, "--html", page).code == 3
    assert page.read_text(encoding="utf-8") == text
    assert run("devices", "fit", large, "--html", page, "--overwrite").code == 0


def test_the_table_counts_verdicts_and_names_the_least_compressed_recipe_that_fits(run, large, report):
    lines = [re.split(r" {2,}", line.strip()) for line in run("devices", "fit", large).out.splitlines()]
    for row in report.devices:
        (cells,) = (line for line in lines if line[0] == row.device.id and len(line) >= 6)
        outcomes = [fit.verdict.outcome for fit in row.fits]
        counts = [len(outcomes) - outcomes.count("does not run")]
        counts += [outcomes.count("fits"), outcomes.count("fits as far as known")]
        assert [int(cell) for cell in cells[1:4]] == counts
        best = next((fit for fit in row.fits if fit.recipe == cells[4]), None)
        rivals = [fit for fit in row.fits if fit.verdict.outcome == "fits"] or row.passing
        assert (best is None) == (rivals == [])
        if best is not None:
            assert best in rivals
            assert best.file.value == max(fit.file.value for fit in rivals)
            assert cells[5] in (
                format_bytes(best.share.headroom),
                f"≤ {format_bytes(best.share.headroom)}",
            )


def test_a_cell_of_the_heat_map_has_the_sign_and_the_shade_of_its_verdict(report):
    cells = re.findall(
        r'<i class="cell (\w*)(?: first)?" title="([^:]+): ([^("]+?)(?: \([^"]*)?">(.?)</i>', page_of(report)
    )
    fits = [fit for row in report.devices for fit in row.fits]
    assert len(cells) == len(fits)
    signs = {"fits": "", "fits as far as known": "~", "over budget": "×", "does not run": ""}
    shades = {"roomy": (0, 0.25), "half": (0.25, 0.75), "full": (0.75, 1), "over": (1, 2), "far": (2, inf)}
    for (style, recipe, outcome, sign), fit in zip(cells, fits, strict=True):
        assert (recipe, outcome) == (fit.recipe, fit.verdict.outcome)
        assert sign == signs[outcome]
        if outcome == "does not run":
            assert style == "none"
        else:
            least, most = shades[style]
            assert least < fit.share.used <= most


def test_devices_and_recipes_can_be_files(facts, tmp_path):
    device = tmp_path / "my-board.yaml"
    document = load_device(SMALL_BOARD)
    text = (nf_edge.core.resources.folder("devices") / f"{document.id}.yaml").read_text(encoding="utf-8")
    device.write_text(text.replace(f"id: {SMALL_BOARD}", "id: my-board"), encoding="utf-8")
    recipe = tmp_path / "short.yaml"
    recipe.write_text(
        yaml.safe_dump(
            {
                "name": "short",
                "description": "float32",
                "runtime": "onnxruntime",
                "backend": "onnx_cpu",
                "shapes": {"length": 8},
            }
        ),
        encoding="utf-8",
    )
    code, result = facts("digits", "--device", device, "--recipe", recipe)
    assert code == 0
    assert result["devices"][0]["device"] == "my-board"
    assert result["devices"][0]["recipes"][0]["recipe"] == "short"


def test_python_takes_loaded_values_and_gives_what_the_command_prints(facts):
    devices = [nf_edge.load_device(PHONE), SMALL_BOARD]
    report = nf_edge.devices_fit("digits", recipes=[nf_edge.load_recipe("onnx-int4")], devices=devices)
    assert report.passed
    assert report.failure is None
    options = ("--recipe", "onnx-int4", "--device", PHONE, "--device", SMALL_BOARD)
    assert (0, report.to_json()) == facts("digits", *options)
    assert "<iframe" in report._repr_html_()
    with pytest.raises(nf_edge.BadInput, match="5 is not a checkpoint"):
        nf_edge.devices_fit(5)


def test_a_need_that_is_unknown_never_fits():
    device, unknown = load_device(PHONE), Figure.unavailable("bytes", "nobody knows")
    share = Share("RAM", "dram", unknown, {}, 2**40, {})
    fit = Fit("onnx-fp32", Verdict(device.id, device.name, (share,), ""), unknown)
    row = DeviceFits(device, (fit,))
    assert fit.verdict.outcome == "unknown"
    assert row.passing == []
    assert row.best is None


def test_a_memory_without_a_budget_is_over_budget_and_the_report_says_so(run, tmp_path):
    text = (resources.folder("devices") / "rpi-pico-2.yaml").read_text(encoding="utf-8")
    device = yaml.safe_load(text) | {"id": "none-left"}
    device["memory"][0]["usable"]["value"] = "16 KiB"
    (tmp_path / "none-left.yaml").write_text(yaml.safe_dump(device), encoding="utf-8")
    recipes = ("--recipe", "cortex-m-int8", "--recipe", "nf-int8")
    devices = ("--device", tmp_path / "none-left.yaml", "--device", PHONE)
    done = run("devices", "fit", "digits", *recipes, *devices)
    assert done.code == 4
    assert "none-left: cortex-m-int8 is nearest: it needs" in " ".join(done.out.split())
    assert "of SRAM (predicted), but 0 B are allowed" in " ".join(done.out.split())


def test_a_verdict_needs_only_the_config_but_an_export_needs_the_weights(run, large, tmp_path):
    assert run("profile", large, "--recipe", "nf-int8", "--device", PHONE).code == 0
    exported = run("export", large, "--recipe", "nf-int8", "-o", tmp_path / "out")
    assert exported.code == 3
    assert "model.safetensors" in exported.err
