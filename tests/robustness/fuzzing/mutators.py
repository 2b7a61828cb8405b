"""Ways to spoil a file: its bytes, its structure (JSON, YAML, safetensors, zip), or what is in its place."""

import json
import os
import random
import socket
import warnings
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import yaml

LONG, DEEP = 20_000, 3_000
# Values that some reader somewhere takes for something else.
VALUES: list[Any] = [
    *(float("nan"), float("inf"), -float("inf"), -1, 0, 1, 2**31, 2**40, 2**63, 2**64, 10**40, -(2**63)),
    *(
        0.5,
        1.5,
        1e308,
        1e-320,
        None,
        True,
        False,
        "",
        "0",
        "1",
        " 1",
        "nan",
        "true",
        "\0",
        "\ud800",
        "\u202e",
        "\x1b[31m",
    ),
    *(
        "../../etc/passwd",
        "/dev/zero",
        "/etc/passwd",
        "x" * LONG,
        [],
        {},
        [[]],
        [None] * 300,
        {"": ""},
        [True],
    ),
]
TEXTS = [
    *(
        "\0",
        "\ufeff",
        "\ud800",
        "\x1b[2J",
        "\u202e",
        "\r",
        "\t",
        "\n",
        '"',
        "'",
        "{",
        "}",
        "[",
        "]",
        ":",
        "- ",
        "#",
        "&a ",
        "*a",
    ),
    *(
        "<<: *a\n",
        "!!python/object/apply:os.system [true]",
        "!!int ''",
        "!!binary x",
        "---\n",
        "...\n",
        "%TAG ! x\n",
        "? [a]\n: b\n",
    ),
    *(
        "a: &a {b: *a}\n",
        "0x" + "f" * 9000,
        "1:" * 9000 + "1",
        "9" * 5000,
        "2001-13-01",
        "0001-01-01T00:00:00+23:59",
        ".nan",
        "1.0e+999",
    ),
    *(
        "NaN",
        "Infinity",
        "1e999",
        "[" * DEEP,
        '{"a":' * DEEP,
        "," * 50,
        "\t\t\t",
        '""',
        '"a": 1,',
        "\\ud800",
        "\\u0000",
        "\u2028",
    ),
]


def _place(rng: random.Random, content: bytes) -> int:
    return rng.randrange(len(content) + 1)


def flip_bits(rng: random.Random, content: bytes) -> bytes:
    spoiled = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 8]) if content else 0):
        spoiled[rng.randrange(len(spoiled))] ^= 1 << rng.randrange(8)
    return bytes(spoiled)


def truncate(rng: random.Random, content: bytes) -> bytes:
    return content[: _place(rng, content)]


def remove_chunk(rng: random.Random, content: bytes) -> bytes:
    start = _place(rng, content)
    return content[:start] + content[start + rng.choice([1, 2, 8, 64, 1000]) :]


def double_chunk(rng: random.Random, content: bytes) -> bytes:
    start = _place(rng, content)
    return content[:start] + content[start : start + rng.choice([1, 8, 64, 1000])] * 2 + content[start:]


def move_chunk(rng: random.Random, content: bytes) -> bytes:
    start, size = _place(rng, content), rng.choice([1, 8, 64])
    chunk, rest = content[start : start + size], content[:start] + content[start + size :]
    end = _place(rng, rest)
    return rest[:end] + chunk + rest[end:]


def insert_bytes(rng: random.Random, content: bytes) -> bytes:
    start = _place(rng, content)
    return (
        content[:start]
        + rng.choice([b"\0", b"\xff", b"\xff\xfe", b"\0" * 100, b"\xc3", b"\xed\xa0\x80"])
        + content[start:]
    )


def insert_text(rng: random.Random, content: bytes) -> bytes:
    start = _place(rng, content)
    text = rng.choice(TEXTS)
    # At the start of a line a text of YAML means more.
    line = content.rfind(b"\n", 0, start) + 1
    start = rng.choice([start, line])
    return content[:start] + text.encode("utf-8", "surrogatepass") + content[start:]


def recode(rng: random.Random, content: bytes) -> bytes:
    try:
        return content.decode().encode(rng.choice(["utf-16", "utf-8-sig", "utf-32", "latin-1"]), "replace")
    except UnicodeDecodeError:
        return content[::-1]


def replace_by(rng: random.Random, content: bytes) -> bytes:
    return rng.choice(
        [b"", b"\n", b"null", b"{}", b"[]", b"0", b'""', b"\0" * 1000, b"PK\x03\x04", b"\x80\x04."]
    )


def _edit(rng: random.Random, document: Any) -> Any:
    """A document with one part of it changed, removed, doubled or renamed."""
    places: list[tuple[Any, Any]] = []

    def walk(part: Any) -> None:
        for key in part if isinstance(part, dict) else range(len(part)) if isinstance(part, list) else ():
            places.append((part, key))
            walk(part[key])

    walk(document)
    if not places:
        return rng.choice(VALUES)
    # A vocabulary outnumbers all else.
    part, key = rng.choice(places[:200] if rng.random() < 0.7 else places)
    kind = rng.choice(["value", "value", "value", "remove", "rename", "wrap", "near", "double"])
    if kind == "value":
        part[key] = rng.choice(VALUES)
    elif kind == "remove":
        del part[key]
    elif kind == "wrap":
        part[key] = rng.choice([[part[key]], {"value": part[key]}, str(part[key])])
    elif kind == "near" and isinstance(part[key], int | float) and not isinstance(part[key], bool):
        part[key] = rng.choice([part[key] + 1, part[key] - 1, -part[key], part[key] * 1000, float(part[key])])
    elif isinstance(part, list):
        part.insert(key, part[key])
    elif kind == "rename":
        part[rng.choice(["", "x", f"{key} ", str(key).upper(), "__proto__", "0"])] = part.pop(key)
    else:
        part[key] = rng.choice(VALUES)
    return document


def edit_json(rng: random.Random, content: bytes) -> bytes:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return flip_bits(rng, content)
    return json.dumps(_edit(rng, document)).encode()


def edit_json_line(rng: random.Random, content: bytes) -> bytes:
    lines = content.split(b"\n")
    at = rng.randrange(len(lines))
    lines[at] = edit_json(rng, lines[at])
    return b"\n".join(lines)


def double_json_key(rng: random.Random, content: bytes) -> bytes:
    """Another value for the same key, before or after the first."""
    key = rng.choice([part for part in content.split(b'"')[1::2] if len(part) < 40] or [b"a"])
    entry = b'"' + key + b'": ' + json.dumps(rng.choice(VALUES[:24])).encode()
    return (
        content.replace(b"{", b"{" + entry + b",", 1)
        if rng.random() < 0.5
        else content[::-1].replace(b"}", (b"," + entry + b"}")[::-1], 1)[::-1]
    )


def edit_yaml(rng: random.Random, content: bytes) -> bytes:
    if b"*" in content:  # It may be a bomb already, which this reader is not made for.
        return insert_text(rng, content)
    try:
        document = yaml.safe_load(content)
        return yaml.safe_dump(_edit(rng, document), sort_keys=False).encode("utf-8", "surrogatepass")
    except (yaml.YAMLError, ValueError, RecursionError, TypeError, AttributeError):
        return insert_text(rng, content)


def bomb_yaml(rng: random.Random, content: bytes) -> bytes:
    """A few lines that stand for billions of values."""
    shape = rng.choice(
        ["{n}: &{n} [{parts}]\n", "{n}: &{n} {{<<: [{parts}]}}\n", "{n}: &{n} {{a: {first}, b: {first}}}\n"]
    )
    lines = ["x0: &x0 {y: 1}\n"]
    for i in range(1, 40):
        parts = ", ".join([f"*x{i - 1}"] * 9)
        lines.append(shape.format(n=f"x{i}", parts=parts, first=f"*x{i - 1}"))
    bomb = "".join(lines).encode()
    return content + bomb if rng.random() < 0.5 else bomb + content


HUGE = [2**63, 2**64 - 1, 2**32, 10**9, 2**62]


def edit_safetensors(rng: random.Random, content: bytes) -> bytes:
    length = int.from_bytes(content[:8], "little")
    try:
        header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
        names = [name for name in header if name != "__metadata__"]
        name, other = rng.choice(names), rng.choice(names)
        entry = header[name]
        start, end = entry["data_offsets"]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return flip_bits(rng, content)
    kind = rng.choice(
        [
            "dtype",
            "shape",
            "offsets",
            "swap",
            "drop",
            "rename",
            "metadata",
            "special",
            "length",
            "json",
            "pad",
            "double",
            "zero",
        ]
    )
    if kind == "dtype":
        entry["dtype"] = rng.choice(
            [
                "F64",
                "F16",
                "BF16",
                "I64",
                "I32",
                "U8",
                "BOOL",
                "F8_E4M3",
                "F8_E5M2",
                "F4",
                "C64",
                "X",
                3,
                None,
            ]
        )
    elif kind == "shape":
        entry["shape"] = rng.choice(
            [
                entry["shape"][::-1],
                [],
                [0],
                [rng.choice(HUGE)],
                [-1],
                [*entry["shape"], 1],
                [2**32, 2**32],
                [1.5],
                "x",
                None,
                [0, *HUGE],
            ]
        )
    elif kind == "offsets":
        entry["data_offsets"] = rng.choice(
            [
                header[other]["data_offsets"],
                [end, start],
                [start, start],
                [start, rng.choice(HUGE)],
                [rng.choice(HUGE)] * 2,
                [start + 4, end + 4],
                [start],
                [-4, end],
                None,
            ]
        )
    elif kind == "swap":
        header[name], header[other] = header[other], entry
    elif kind == "drop":
        del header[name]
        data = data[:start] + data[end:]
        for rest in header.values():
            if "data_offsets" in rest and rest["data_offsets"][0] >= end:
                rest["data_offsets"] = [at - (end - start) for at in rest["data_offsets"]]
    elif kind == "rename":
        header[
            rng.choice(
                ["", "x", name + " ", name + ".weight", "_orig_mod." + name, "lm_head.weight", "\ud800", "\0"]
            )
        ] = header.pop(name)
    elif kind == "metadata":
        header["__metadata__"] = rng.choice(
            [
                None,
                [],
                "x",
                {"a": 1},
                {"format": "tf"},
                {"a": "x" * LONG},
                {"state": "{}"},
                {"state": "[" * DEEP},
            ]
        )
    elif kind == "special":
        value = rng.choice(
            [
                b"\x00\x00\xc0\x7f",
                b"\x00\x00\x80\x7f",
                b"\x00\x00\x80\xff",
                b"\xff\xff\xff\xff",
                b"\xff\xff\x7f\x7f",
                b"\x01\x00\x00\x00",
            ]
        )
        at = rng.randrange(start, max(start + 1, end - 3)) // 4 * 4
        data = data[:at] + value + data[at + 4 :]
    elif kind == "zero":
        header[rng.choice(["empty", name + "2"])] = {
            "dtype": "F32",
            "shape": [0, rng.choice([3, *HUGE])],
            "data_offsets": [len(data)] * 2,
        }
    text = json.dumps(header).encode()
    if kind == "double":
        again = json.dumps({name: {**entry, "shape": entry["shape"][::-1]}}).encode()
        text = again[:-1] + b", " + text[1:]
    elif kind == "json":
        text = edit_json(rng, text)
    elif kind == "pad":
        text += rng.choice([b" " * 8, b" " * 9, b"\0" * 8, b"{}"])
    size = (
        len(text)
        if kind != "length"
        else rng.choice([*HUGE, 0, 1, 8, len(text) - 1, len(text) + 1, len(content), 2**27])
    )
    return size.to_bytes(8, "little") + text + data


def edit_zip(rng: random.Random, content: bytes) -> bytes:
    """An archive with an entry that is spoiled, left out, doubled, compressed, or a bomb."""
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            entries = [(info.filename, archive.read(info)) for info in archive.infolist()]
    except Exception:  # of what is spoiled already, as many as there are ways to spoil it
        return flip_bits(rng, content)
    at = rng.randrange(len(entries)) if rng.random() < 0.5 else 0
    kind = rng.choice(["bytes", "drop", "double", "compress", "bomb", "rename", "empty", "text"])
    name, data = entries[at] if entries else ("x", b"")
    if kind == "bytes":
        entries[at] = (
            name,
            rng.choice([flip_bits, truncate, remove_chunk, double_chunk, insert_bytes])(rng, data),
        )
    elif kind == "text":
        entries[at] = (name, insert_text(rng, data))
    elif kind == "drop":
        entries.pop(at)
    elif kind == "double":
        entries.append((name, rng.choice([data, b""])))
    elif kind == "bomb":
        entries[-1 if rng.random() < 0.5 else at] = (name, b"\0" * 2**25)
    elif kind == "rename":
        entries[at] = (rng.choice(["", "../x", "/x", "x" * 300, name.upper()]), data)
    elif kind == "empty":
        entries[at] = (name, b"")
    packing = zipfile.ZIP_DEFLATED if kind in ("compress", "bomb") else zipfile.ZIP_STORED
    target = BytesIO()
    with zipfile.ZipFile(target, "w", packing) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name that is there twice
        for entry, data in entries:
            archive.writestr(zipfile.ZipInfo(entry), data, compress_type=packing)
    return target.getvalue()


BYTES = [
    flip_bits,
    truncate,
    remove_chunk,
    double_chunk,
    move_chunk,
    insert_bytes,
    insert_text,
    recode,
    replace_by,
]
JSON, JSON_LINES = [edit_json, edit_json, double_json_key], [edit_json_line]
YAML, SAFETENSORS, ZIP = [edit_yaml, edit_yaml, bomb_yaml], [edit_safetensors] * 4, [edit_zip] * 3


# What can stand where a file is expected, and must neither be waited for nor read for ever.
def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as it:
            it.bind(f"/proc/self/fd/{folder}/{path.name}")  # a socket's path may have 108 characters only
    finally:
        os.close(folder)


def _endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _link_to_nothing(path: Path) -> None:
    path.symlink_to("nowhere")


def _link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**40)


def _endless_regular(path: Path) -> None:
    path.symlink_to("/proc/self/mem")


def _missing(path: Path) -> None:
    assert not path.exists()


PLACES: list[Callable[[Path], None]] = [
    *(_pipe, _socket, _endless, _link_to_nothing, _link_to_itself, _sparse, _endless_regular, _missing),
    lambda path: path.mkdir(),
]
