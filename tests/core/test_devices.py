"""Devices: what a user finds in the bundled ones, and what happens with a file of theirs."""

import json
import os
import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import nf_edge
from nf_edge.backends import REGISTRY
from nf_edge.core import resources
from nf_edge.core.available_memory import available_memory
from nf_edge.core.compatibility import incompatibility
from nf_edge.core.device import UNITS, bundled_devices, format_size, load_device, parse_size
from nf_edge.core.device.machine import Machine, read_machine
from nf_edge.core.device.probe import device_text
from nf_edge.core.errors import BadInput, CannotRun
from nf_edge.core.recipe.recipe import load_recipe

SHIPPED = resources.names("devices")

BOARD = """\
id: my-board
name: My board
class: sbc
soc: {value: RK3588, source: "the data sheet, page 1", verified: true}
memory:
  - name: LPDDR4
    kind: dram
    size: {value: 4 GiB, source: "the data sheet, page 9", verified: true}
    usable: {value: 1 GB, source: "Assumption: the service beside it takes the rest.", verified: false}
cpu:
  - core: Cortex-A55
    count: {value: 4, source: "the data sheet, page 2", verified: true}
    mhz: {value: 1800, source: "the data sheet, page 2", verified: true}
    isa: {value: [neon, dotprod], source: "its /proc/cpuinfo", verified: true}
backends: [xnnpack]
"""


@pytest.fixture(autouse=True)
def no_configuration(tmp_path, monkeypatch):
    """A developer's devices change no test."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def board(tmp_path):
    """Write a device file, the board's with some of its text replaced, and give its path."""

    def write(*replacements, name="my-board.yaml"):
        text = BOARD
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def refusal(path):
    """The message about a device file that cannot be used."""
    with pytest.raises(BadInput) as caught:
        load_device(path)
    return str(caught.value)


def test_phones_boards_microcontrollers_and_a_pc_are_bundled():
    classes = {device.id: device.class_ for device in bundled_devices()}
    assert len(classes) >= 30
    assert classes == classes | {
        "stm32h747i-disco": "mcu",
        "esp32-s3-devkitc": "mcu",
        "rpi-zero-2w": "sbc",
        "rpi-5-16gb": "sbc",
        "pixel-8": "phone",
        "iphone-16": "phone",
        "intel-n100-4gb": "pc",
    }


@pytest.mark.parametrize("name", SHIPPED)
def test_a_device_runs_the_recipes_of_its_backends_and_says_why_it_runs_no_other(name):
    device = load_device(name)
    assert set(device.backends) <= REGISTRY.keys()
    assert device.backends or device.missing_backend
    for recipe in map(load_recipe, ("xnnpack-8da8w", "openvino-int8", "cortex-m-int8")):
        runs = recipe.backend in device.backends and (recipe.target in (None, *device.targets))
        problem = incompatibility(device, recipe)
        assert (problem == "") == runs
        if not device.backends:
            assert device.missing_backend.value in problem


def test_the_alif_e8_has_all_of_its_memory_and_its_ethos_u85():
    device = load_device("alif-e8-devkit")
    working, storage = device.budgets
    assert working.usable.value == 8 * 2**20
    assert storage.usable.value == 5632 * 2**10
    assert not incompatibility(device, load_recipe("ethos-u85-256-int8"))
    assert not incompatibility(device, load_recipe("ethos-u55-256-int8"))


@pytest.mark.parametrize("name", SHIPPED)
def test_a_bundled_device_is_valid_and_leaves_room_for_a_model(name):
    device = load_device(name)
    assert device.id == name
    assert all(fact.source for fact in device.facts().values())
    assert 0 < device.working_memory.budget_bytes <= device.working_memory.size.value
    assert device.storage_memory is None or device.storage_memory.budget_bytes > 0


@pytest.mark.parametrize("name", SHIPPED)
def test_a_verified_fact_names_an_address(name):
    for path, fact in load_device(name).facts().items():
        assert "https://" in fact.source or not fact.verified, path


@pytest.mark.parametrize("name", SHIPPED)
def test_what_one_process_may_hold_of_a_phone_or_a_board_is_marked_as_an_assumption(name):
    device = load_device(name)
    if device.class_ != "mcu":
        (path,) = device.working_memory.unverified_budget()
        assert path == f"memory.{device.working_memory.name}.usable"
        assert device.unverified_facts()[path].source.startswith("Assumption")


def test_a_model_on_a_microcontroller_gets_sram_and_flash_less_what_the_firmware_keeps():
    device = load_device("stm32h747i-disco")
    assert device.working_memory.name == "AXI SRAM"
    assert device.working_memory.budget_bytes == 524_288 - 16 * 1024
    assert device.storage_memory.name == "Internal flash"
    assert device.storage_memory.budget_bytes == 2_097_152 - 64 * 1024
    assert list(device.working_memory.unverified_budget()) == ["memory.AXI SRAM.reserve"]


def test_microcontrollers_set_aside_memory_for_the_application_only():
    """A report counts the runtime's code, pools and stack, so a set-aside must not hold them again."""
    for device in bundled_devices():
        if device.class_ == "mcu":
            reserve = device.working_memory.reserve
            assert reserve.value == 16 * 1024, device.id
            assert "runtime" not in reserve.source, device.id
            kept = device.storage_memory.reserve
            assert kept is None or kept.value == 64 * 1024, device.id


def test_a_phone_has_no_budget_for_the_model_file():
    assert load_device("pixel-8").storage_memory is None


def test_a_file_of_ones_own_is_a_device(board):
    device = load_device(board())
    assert device.working_memory.budget_bytes == 1_000_000_000
    assert device.working_memory.size.value == 4 * 2**30
    assert list(device.unverified_facts()) == ["memory.LPDDR4.usable"]


def test_the_first_of_several_memories_of_a_kind_is_the_one_that_models_use(board):
    second = '  - {name: DDR3, kind: dram, size: {value: 8 GiB, source: "-", verified: false}, usable: &u '
    second += '{value: 8 GiB, source: "-", verified: false}}\ncpu:'
    device = load_device(board(("cpu:", second)))
    assert [memory.name for memory in device.memory] == ["LPDDR4", "DDR3"]
    assert device.working_memory.name == "LPDDR4"


def test_all_errors_of_a_file_come_at_once_each_with_its_line(board):
    path = board(
        ("class: sbc", "class: watch"),
        ("value: 4 GiB", "value: 4G"),
        (', source: "the data sheet, page 2", verified: true}\n    mhz', ", verified: true}\n    mhz"),
        ("[neon, dotprod]", "[neon, avx9]"),
        ("backends: [xnnpack]", "backends: [XNNPACK]"),
    )
    message = refusal(path)
    assert message.startswith(f"{path}: 5 problems")
    assert "line 3: class: " in message
    assert "line 8: memory.0.size.value: must be a whole number, a space and a unit" in message
    assert "line 12: cpu.0.count.source: Field required" in message
    assert "line 14: cpu.0.isa.value.1: " in message
    assert "line 15: backends.0: " in message


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("class: sbc", "class: sbc\ncolour: green", "line 4: colour: unknown key"),
        ("value: 1 GB", "value: 5 GB", "line 9: memory.0.usable: 5 GB is more than size, 4 GiB"),
        ("kind: dram", "kind: sram", "line 5: memory: a device of class sbc needs dram memory"),
        ("class: sbc", "class: mcu", "line 5: memory: a device of class mcu needs sram and flash memory"),
        (
            "id: my-board",
            "id: other",
            "line 1: id: must be the file's name without .yaml, 'my-board' (found 'other')",
        ),
        ("value: 4,", "value: yes,", "line 12: cpu.0.count.value: "),
        ("value: 1800", "value: 0", "line 13: cpu.0.mhz.value: "),
        ('"the data sheet, page 1"', '" "', "line 4: soc.source: "),
        (
            '{value: 1 GB, source: "Assumption: the service beside it takes the rest.", verified: false}',
            "1 GB",
            "line 9: memory.0.usable: a value needs its source; write {value: …, source: …, verified: …}",
        ),
        ("cpu:", "cpu: fast\nrest:", "line 10: cpu: must be a list (found 'fast')"),
        ("true}\nmemory", '"true"}\nmemory', "line 4: soc.verified: "),
        ("backends: [xnnpack]", "backends: []", "line 15: backends: must have at least one entry"),
        ("value: 1 GB", "value: unknown", "line 9: memory.0.usable: is unknown, and verdicts depend on it"),
        ("[neon, dotprod]", "unknown", "line 14: cpu.0.isa: is unknown, and verdicts depend on it"),
        ("value: 1800", "value: unknown", "line 13: cpu.0.mhz: cannot be unknown and verified"),
        ("value: 1800", "value:", "line 13: cpu.0.mhz.value: must be a number of MHz, or unknown"),
        ('"its /proc/cpuinfo"', "unknown", "line 14: cpu.0.isa: a value needs its source"),
    ],
)
def test_a_mistake_is_named_with_its_line(board, old, new, expected):
    assert expected in refusal(board((old, new)))


def test_a_fact_cannot_leave_out_whether_it_was_verified(board):
    message = refusal(
        board((', source: "its /proc/cpuinfo", verified: true', ', source: "its /proc/cpuinfo"'))
    )
    assert "line 14: cpu.0.isa.verified: Field required" in message


def test_two_cores_of_one_name_are_refused_since_their_facts_could_not_be_told_apart(board):
    cores = BOARD[BOARD.index("  - core") : BOARD.index("backends")]
    assert "line 10: cpu: lists Cortex-A55 more than once" in refusal(board((cores, cores + cores)))


def test_a_device_file_is_read_the_same_without_libyaml(monkeypatch):
    fast = bundled_devices()
    monkeypatch.setattr("nf_edge.core.yaml_schema._FastLoader", None)
    assert bundled_devices() == fast


def test_an_unknown_name_lists_the_devices_there_are():
    assert f"one of: {', '.join(SHIPPED)}" in refusal("rpi-6")


@given(st.integers(min_value=0, max_value=2**50))
def test_a_size_is_written_without_loss(count):
    assert parse_size(format_size(count)) == count


@given(st.integers(min_value=0, max_value=2**20), st.sampled_from(sorted(UNITS)))
def test_a_size_is_never_written_with_more_digits_than_it_was_given(number, unit):
    written = format_size(parse_size(f"{number} {unit}"))
    assert int(written.split()[0]) <= number


@pytest.mark.parametrize(
    "text",
    ["512", 512, "512M", "512MiB", "512 mib", "1.5 GiB", "-1 B", "512  MiB", "٥ MiB", " 8 GB", True, None],
)
def test_a_size_that_leaves_its_unit_to_guess_is_refused(text):
    with pytest.raises(ValueError, match="a whole number, a space and a unit"):
        parse_size(text)


def test_decimal_and_binary_units_differ():
    assert parse_size("8 GB") == 8_000_000_000
    assert parse_size("8 GiB") == 8_589_934_592
    assert parse_size("524288 B") == parse_size("512 KiB")


def test_devices_list_shows_every_device(run):
    result = run("devices", "list")
    assert result.code == 0
    assert all(name in result.out for name in SHIPPED)


def test_devices_list_json_has_the_memory_that_a_model_may_take(run):
    result = run("devices", "list", "--json")
    listed = {device["id"]: device for device in json.loads(result.out)["result"]}
    assert sorted(listed) == SHIPPED
    assert listed["rpi-zero-2w"]["budgets"] == [{"memory": "LPDDR2", "bytes": 192 * 2**20}]
    assert [budget["memory"] for budget in listed["stm32h747i-disco"]["budgets"]] == [
        "AXI SRAM",
        "Internal flash",
    ]


@pytest.mark.parametrize("name", SHIPPED)
def test_devices_show_has_every_fact_with_its_source(run, name):
    device = load_device(name)
    result = run("devices", "show", name)
    assert result.code == 0
    words = result.out.split()
    for path, fact in device.facts().items():
        assert path in result.out
        assert set(fact.source.split()) <= set(words)
    assert result.out.count("(unverified)") == len(device.unverified_facts())


def test_devices_show_json_gives_the_file_back(run):
    shown = json.loads(run("devices", "show", "rpi-5", "--json").out)["result"]
    written = yaml.safe_load((resources.folder("devices") / "rpi-5.yaml").read_text(encoding="utf-8"))
    assert shown["memory"][0]["size"] == written["memory"][0]["size"] | {"value": 2**30}
    assert shown["cpu"] == written["cpu"]
    assert shown["class"] == "sbc"


def test_devices_check_of_everything_lists_the_unverified_facts(run):
    result = run("devices", "check")
    assert result.code == 0
    assert "rpi-5: valid, 1 of 6 facts unverified\n  memory.LPDDR4X.usable: 512 MiB\n" in result.out


def test_devices_check_reads_a_file_of_ones_own(run, board):
    result = run("devices", "check", board())
    assert result == (0, "my-board: valid, 1 of 6 facts unverified\n  memory.LPDDR4.usable: 1 GB\n", "")


def test_devices_check_names_every_invalid_file_and_exits_with_3(run, board):
    first, second = board(("4 GiB", "4"), name="a.yaml"), board(("sbc", "tv"), name="b.yaml")
    result = run("devices", "check", first, second, "rpi-5")
    assert result.code == 3
    assert result.out == ""
    assert all(path in result.err for path in (first, second))


def test_devices_check_json_tells_of_an_invalid_file_on_stdout_too(run, board):
    result = run("devices", "check", board(("sbc", "tv")), "--json")
    assert result.code == 3
    assert "line 3" in json.loads(result.out)["error"]["message"]


@pytest.mark.parametrize("command", [(), ("list",), ("show",), ("check",), ("new",), ("probe",)])
def test_help_has_an_example(run, command):
    result = run("devices", *command, "--help")
    assert result.code == 0
    assert "nf-edge devices" in result.out.partition("Example")[2]


def test_a_device_that_no_backend_runs_on_names_the_one_it_needs(board):
    needs = '{value: a backend for Z80 cores, source: "Assumption", verified: false}'
    path = board(("backends: [xnnpack]", f"missing_backend: {needs}\nbackends: []"))
    problem = incompatibility(load_device(path), load_recipe("xnnpack-fp32"))
    assert problem.endswith("it would need a backend for Z80 cores")


def test_a_clock_may_stay_unknown(board, run):
    path = board(('{value: 1800, source: "the data sheet, page 2", verified: true}', CLOCK))
    assert "cpu.Cortex-A55.mhz: unknown  (unverified)" in run("devices", "show", path).out
    assert json.loads(run("devices", "show", path, "--json").out)["result"]["cpu"][0]["mhz"]["value"] is None


CLOCK = "{value: unknown, source: unknown, verified: false}"


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A working directory and a configuration folder, each with a folder for devices."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    folders = {"working": tmp_path / "work" / "devices", "configuration": tmp_path / "config/nf-edge/devices"}

    def write(place, name="my-board", extra=""):
        folders[place].mkdir(parents=True, exist_ok=True)
        path = folders[place] / f"{name}.yaml"
        path.write_text(BOARD.replace("id: my-board", f"id: {name}") + extra, encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize("place", ["working", "configuration"])
def test_a_device_of_ones_own_folder_is_found_by_its_name(place, places, run):
    places(place)
    assert load_device("my-board").name == "My board"
    assert "my-board" in run("devices", "list").out
    assert "my-board: valid" in run("devices", "check").out
    assert "my-board" in run("devices", "fit", "digits", "--recipe", "onnx-fp32").out
    assert run("profile", "digits", "--recipe", "xnnpack-8da8w", "--device", "my-board").code == 0
    assert "rpi-5, " in refusal("rpi-6")
    assert "my-board" in refusal("rpi-6")


def test_a_name_of_two_different_files_is_refused_and_their_paths_work(places, run):
    mine = places("working", "rpi-5")
    message = refusal("rpi-5")
    assert "several files have this name" in message
    assert message.endswith("or give its path: devices/rpi-5.yaml")
    assert load_device(str(mine)).name == "My board"
    listed = run("devices", "list")
    assert (listed.code, "left out: rpi-5: several files" in listed.err) == (0, True)
    assert run("devices", "check").code == 3
    places("working", "mine")
    places("configuration", "mine", extra="# another\n")
    assert "several files have this name" in refusal("mine")


def test_a_copy_of_a_bundled_device_changes_nothing(places, run):
    copy = places("working", "rpi-5")
    copy.write_bytes((resources.folder("devices") / "rpi-5.yaml").read_bytes())
    assert load_device("rpi-5").name == "Raspberry Pi 5 (1 GB)"
    assert run("devices", "list").err == ""


def test_a_file_that_is_no_device_is_left_out_of_the_list_with_a_warning(places, run):
    places("working", "lamp").write_text("brightness: 3\n", encoding="utf-8")
    listed = run("devices", "list", "--json")
    assert listed.code == 0
    assert sorted(device["id"] for device in json.loads(listed.out)["result"]) == SHIPPED
    assert "left out: devices/lamp.yaml: " in listed.err
    with pytest.warns(UserWarning, match="left out"):
        assert [device.id for device in nf_edge.list_devices()] == SHIPPED


def test_a_backend_that_does_not_exist_is_an_error_of_the_file(board, run):
    done = run("devices", "check", board(("[xnnpack]", "[xnpack]")))
    assert done.code == 3
    assert "no backend is named xnpack" in done.err
    assert "xnnpack" in done.err


@pytest.mark.parametrize("device_class", ["phone", "sbc", "pc", "mcu"])
def test_a_new_file_is_refused_for_what_is_unknown_and_for_nothing_else(device_class, places, run):
    done = run("devices", "new", "my-board", "--class", device_class)
    assert done == (0, DONE, "")
    message = refusal("my-board")
    problems = [line.partition(": ")[2] for line in message.splitlines()[1:]]
    unknown = {line.partition(": ")[0] for line in problems if "is unknown" in line}
    memory = ("size", "usable") if device_class != "mcu" else ("size", "usable", "reserve")
    memories = [0] if device_class != "mcu" else [0, 1]
    facts = {f"memory.{number}.{key}" for number in memories for key in memory}
    assert unknown == facts | {"cpu.0.count", "cpu.0.isa"}
    assert [line for line in problems if "is unknown" not in line] == [
        "backends: must have at least one entry, unless missing_backend names the one it needs"
    ]
    assert run("profile", "digits", "--recipe", "onnx-fp32", "--device", "my-board").code == 3


DONE = """\
wrote devices/my-board.yaml
fill in each `unknown`, then run: nf-edge devices check my-board
"""


def test_a_new_file_is_a_device_once_it_is_filled_in(places):
    written = nf_edge.new_device("my-board", "mcu")
    assert (str(written.path), written.device) == ("devices/my-board.yaml", None)
    text = written.path.read_text(encoding="utf-8")
    for key, value in {
        "size": "1 MiB",
        "usable": "1 MiB",
        "reserve": "8 KiB",
        "count": 1,
        "isa": "[dsp]",
    }.items():
        text = re.sub(
            rf"( {key}: {{value: )unknown, source: unknown", rf"\g<1>{value}, source: a sheet", text
        )
    text = text.replace("core: unknown", "core: Cortex-M4").replace("backends: []", "backends: [cortex_m]")
    written.path.write_text(text, encoding="utf-8")
    (device,) = nf_edge.check_devices(["my-board"])
    assert device.targets == ("cortex-m-dsp",)
    assert "soc" in device.unverified_facts()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("rpi-5", "there is already a device with this name"),
        ("my-board", "there is already a device with this name"),
        ("../x", "is not a valid name"),
        ("Board", "is not a valid name"),
    ],
)
@pytest.mark.parametrize("verb", [("new", "--class", "sbc"), ("probe",)], ids=lambda verb: verb[0])
def test_no_file_is_replaced_and_no_name_is_taken_twice(verb, name, says, places, run):
    file = places("working")
    before = file.read_bytes()
    done = run("devices", verb[0], name, *verb[1:])
    assert (done.code, says in done.err) == (3, True)
    assert os.listdir("devices") == ["my-board.yaml"]
    assert file.read_bytes() == before


@pytest.mark.parametrize("name", ["123", "2026-11-30", "null"])
def test_a_name_that_yaml_reads_as_another_type_stays_a_text(name, places):
    text = nf_edge.new_device(name, "pc").path.read_text(encoding="utf-8")
    assert yaml.safe_load(text)["id"] == yaml.safe_load(text)["name"] == name
    probed = device_text(name, Machine("", "", 1, 1, (), True, False, False), "today")
    assert yaml.safe_load(probed)["id"] == name


def test_a_line_break_in_a_name_breaks_no_line_of_a_report(places, run):
    path = places("working")
    path.write_text(BOARD.replace("name: My board", 'name: "My\\nboard"'), encoding="utf-8")
    assert run("devices", "show", "my-board").out.splitlines()[0].startswith("My board (my-board")
    path.rename(path.with_name("two\nlines.yaml"))
    done = run("devices", "list")
    assert (done.code, "two\nlines" in done.out + done.err) == (0, False)
    assert r"left out: devices/two\nlines.yaml: " in done.err
    assert r", two\nlines" in refusal("rpi-6")


def test_python_refuses_an_unknown_class(places):
    with pytest.raises(BadInput, match="use phone, sbc, pc, mcu"):
        nf_edge.new_device("my-board", "toaster")


PI = {
    "proc/meminfo": "MemTotal:        8245376 kB\nMemFree: 10 kB\nMemAvailable:    7000000 kB\n",
    "proc/cpuinfo": "\n".join(
        f"processor\t: {number}\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd aes fphp asimdhp asimddp\n"
        f"CPU implementer\t: 0x41\nCPU part\t: 0xd{'0b' if number < 4 else '05'}\n"
        for number in range(6)
    )
    + "\nRevision\t: d04170\nModel\t\t: Raspberry Pi\n",
    "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
    "proc/device-tree/compatible": "raspberrypi,5-model-b\0brcm,bcm2712\0",
    "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq": "2400000\n",
}
PC = {
    "proc/meminfo": "MemTotal: 4000000 kB\nMemAvailable: 3000000 kB\n",
    "proc/cpuinfo": "\n".join(
        f"processor\t: {number}\nvendor_id\t: GenuineIntel\nmodel name\t: Intel(R) N100\n"
        f"physical id\t: 0\ncore id\t\t: {number // 2}\nflags\t\t: fpu vme avx2 fma avx_vnni\n"
        for number in range(4)
    ),
    "proc/self/cgroup": "0::/\n",
    "sys/fs/cgroup/memory.max": "1073741824\n",
    "sys/fs/cgroup/memory.current": "536870912\n",
    "sys/fs/cgroup/memory.stat": "anon 268435456\ninactive_file 134217728\n",
    "sys/class/dmi/id/sys_vendor": "ACME\n",
    "sys/class/dmi/id/product_name": "Cube\n",
}
RISCV = {
    "proc/meminfo": "MemTotal: 4000000 kB\nMemAvailable: 3000000 kB\n",
    "proc/cpuinfo": "processor\t: 0\nhart\t\t: 1\nisa\t\t: rv64imafdc\nuarch\t\t: sifive,u74-mc\n",
}


@pytest.fixture
def probed(tmp_path):
    """The device file of a machine with these files of the kernel, loaded."""

    def probe(files):
        for name, text in files.items():
            (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "root" / name).write_text(text, encoding="utf-8")
        path = tmp_path / "there.yaml"
        path.write_text(device_text("there", read_machine(tmp_path / "root"), "2026-11-30"), encoding="utf-8")
        return load_device(str(path))

    return probe


def test_a_probe_of_a_board_has_its_memory_and_both_kinds_of_cores(probed):
    device = probed(PI)
    assert (device.class_, device.name, device.soc.value) == (
        "sbc",
        "Raspberry Pi 5 Model B Rev 1.0",
        "brcm,bcm2712",
    )
    assert device.working_memory.size.value == 8245376 * 1024
    assert device.working_memory.budget_bytes == 7000000 * 1024
    fast, slow = device.cpu
    assert (fast.core, fast.count.value, fast.mhz.value) == ("Cortex-A76", 4, 2400)
    assert (slow.core, slow.count.value, slow.mhz.value) == ("Cortex-A55", 2, None)
    assert fast.isa.value == ("neon", "dotprod", "fp16")
    assert list(device.unverified_facts()) == ["memory.RAM.usable", "cpu.Cortex-A55.mhz"]
    assert not incompatibility(device, load_recipe("xnnpack-8da8w"))


def test_a_probe_of_a_container_on_a_pc_has_what_its_limit_leaves_and_counts_cores_not_threads(probed):
    device = probed(PC)
    assert (device.class_, device.name) == ("pc", "ACME Cube")
    # 1 GiB less 512 MiB in use, of which 128 MiB are cached files.
    assert device.working_memory.budget_bytes == 640 * 2**20
    (core,) = device.cpu
    assert (core.core, core.count.value, core.isa.value) == ("Intel(R) N100", 2, ("avx2", "fma", "avx_vnni"))
    assert not incompatibility(device, load_recipe("openvino-int8"))


def test_a_probe_of_a_processor_without_a_backend_says_so(probed):
    device = probed(RISCV)
    assert (device.backends, device.cpu[0].isa.value, device.soc.value) == ((), (), "unknown")
    assert "other than x86-64 and 64-bit Arm" in incompatibility(device, load_recipe("onnx-fp32"))


@pytest.mark.parametrize(
    ("membership", "files", "free"),
    [
        ("0::/a/b", {"a/memory.max": "1000", "a/b/memory.max": "max", "a/b/memory.current": "5"}, 1000),
        ("0::/a", {"a/memory.max": "1000", "a/memory.current": "1200"}, 0),
        ("4:memory:/", {"memory/memory.limit_in_bytes": "1000", "memory/memory.usage_in_bytes": "300"}, 700),
        ("0::/", {"memory.max": "max"}, 5120),
    ],
)
def test_the_memory_left_is_that_of_the_fullest_control_group(membership, files, free, tmp_path):
    groups = {f"sys/fs/cgroup/{name}": text for name, text in files.items()}
    memory = {"proc/self/cgroup": membership, "proc/meminfo": "MemAvailable: 3 kB\nSwapFree: 2 kB\n"}
    for name, text in (groups | memory).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert available_memory(tmp_path) == free


def test_a_machine_that_is_not_linux_cannot_be_probed(tmp_path):
    with pytest.raises(CannotRun, match="devices new"):
        read_machine(tmp_path)


@pytest.mark.skipif(not os.path.exists("/proc/meminfo"), reason="probes Linux machines")
def test_this_machine_becomes_a_device_that_models_are_checked_against(places, run):
    written = json.loads(run("devices", "probe", "here", "--json").out)["result"]
    assert written["path"] == "devices/here.yaml"
    assert written["device"]["memory"][0]["size"]["value"] > 2**27
    assert sum(core["count"]["value"] for core in written["device"]["cpu"]) <= os.cpu_count()
    assert "here: valid" in run("devices", "check", "here").out
    done = run("profile", "digits", "--recipe", "onnx-fp32", "--device", "here")
    assert done.code == 0
    assert "memory.RAM.usable: Assumption: what a process could have" in done.out
