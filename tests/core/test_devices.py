"""Devices: what a user finds in the bundled ones, and what happens with a file of theirs."""

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from nf_edge.core import resources
from nf_edge.core.device import UNITS, bundled_devices, format_size, load_device, parse_size
from nf_edge.core.errors import BadInput

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


def test_a_microcontroller_two_boards_and_three_phones_are_bundled():
    classes = {device.id: device.class_ for device in bundled_devices()}
    assert classes == classes | {
        "stm32h747i-disco": "mcu",
        "rpi-zero-2w": "sbc",
        "rpi-5": "sbc",
        "pixel-8": "phone",
        "galaxy-s23": "phone",
        "iphone-13": "phone",
    }


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
        ("[neon, dotprod]", "[neon, avx2]"),
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


@pytest.mark.parametrize("command", [(), ("list",), ("show",), ("check",)])
def test_help_has_an_example(run, command):
    result = run("devices", *command, "--help")
    assert result.code == 0
    assert "nf-edge devices" in result.out.partition("Example")[2]
