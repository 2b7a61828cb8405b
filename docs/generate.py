"""Writes `docs/reference/`: the command line from `--help`, schemas from the pydantic models, the devices.

    make docs

Removes all other files in that folder.  A test compares the folder with `pages()`.
"""

import inspect
import json
import sys
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel

from nf_edge import cli
from nf_edge.artifact.manifest import Manifest
from nf_edge.core.device import Device, bundled_devices, format_size
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.training.recipe import TrainingRecipe

REFERENCE = Path(__file__).parent / "reference"
WIDTH = 100
NOTE = "<!-- Written by docs/generate.py; run `make docs` after a change. -->"


def pages() -> dict[str, str]:
    """The text of every file in `docs/reference/`, by file name."""
    schemas: dict[str, tuple[type[BaseModel], str, str]] = {
        "recipe": (Recipe, "Recipe", "A recipe is a YAML file, see [recipes](../recipes.md)."),
        "device": (Device, "Device", "A device is a YAML file, see [devices](../devices.md)."),
        "training": (TrainingRecipe, "Training recipe", "A YAML file, see [train](../checkpoints.md#train)."),
        "manifest": (
            Manifest,
            "Manifest",
            "`manifest.json`, see [integrity](../integrity.md).",
        ),
    }
    files = {
        "command-line.md": command_line(),
        "exit-codes.md": exit_codes(),
        "devices.md": devices(bundled_devices()),
    }
    for name, (model, title, about) in schemas.items():
        schema = model.model_json_schema()
        files[f"{name}.md"] = schema_page(title, f"{about} [JSON Schema]({name}.schema.json).", schema)
        files[f"{name}.schema.json"] = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
    return files


def command_line() -> str:
    """The page with the help of every command."""
    parts = [f"# Command line\n\n{NOTE}\n"]
    for path, command in _commands(cli.cli, "nf-edge"):
        # The group's settings, so that the help lists -h too.
        settings: dict[str, Any] = cli.cli.context_settings
        context = click.Context(
            command, info_name=path, terminal_width=WIDTH, max_content_width=WIDTH, **settings
        )
        parts.append(f"## {path}\n\n```text\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)


def _commands(command: click.Command, path: str) -> list[tuple[str, click.Command]]:
    commands = [(path, command)]
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            commands += _commands(child, f"{path} {name}")
    return commands


def exit_codes() -> str:
    """The page with the meaning of each exit code, as in `nf-edge --help`."""
    text = inspect.cleandoc(cli.EXIT_CODES.replace("\b\n", ""))
    return f"# Exit codes\n\n{NOTE}\n\n```text\n{text}\n```\n"


def devices(bundled: list[Device]) -> str:
    """The page with a table of the bundled devices."""
    about = (
        "The memory that a model may use, of the physical memory; `nf-edge devices show DEVICE` has every "
        "fact with its source. *Unverified* counts the facts that nobody has compared with their source."
    )
    columns = ("device", "class", "memory for a model", "CPU", "backends", "it would need", "unverified")
    rows = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    for device in bundled:
        memory = [
            f"{size(each.budget_bytes)} of {size(each.size.value)} {each.kind}" for each in device.budgets
        ]
        needed = device.missing_backend
        cells = (
            f"`{device.id}`: {device.name}",
            device.class_,
            ", ".join(memory),
            ", ".join(f"{core.count.value} × {core.core}" for core in device.cpu),
            ", ".join(f"`{backend}`" for backend in device.backends) or "none",
            needed.value if needed else "",
            f"{len(device.unverified_facts())} of {len(device.facts())}",
        )
        rows.append(f"| {' | '.join(map(_cell, cells))} |")
    return f"# Bundled devices\n\n{NOTE}\n\n{about}\n\n" + "\n".join(rows) + "\n"


def size(count: int) -> str:
    """A size in a unit that a reader can compare, exact or with one decimal."""
    if len(exact := format_size(count)) <= 8:
        return exact
    return f"{count / 2**20:,.1f} MiB" if count >= 2**20 else f"{count / 2**10:,.1f} KiB"


def schema_page(title: str, about: str, schema: dict[str, Any]) -> str:
    """A page with a table of keys for a model and for each model that it contains."""
    parts = [f"# {title}\n\n{NOTE}\n\n{about}\n\n{_table(schema)}"]
    for name, definition in schema.get("$defs", {}).items():
        if "properties" in definition:
            text = _paragraph(definition.get("description", ""))
            parts.append(f"## {name}\n\n{text}{_table(definition)}")
    return "\n".join(parts)


def _paragraph(description: str) -> str:
    first = description.split("\n\n")[0].replace("\n", " ").strip()
    return f"{first}\n\n" if first else ""


def _table(schema: dict[str, Any]) -> str:
    required = schema.get("required", [])
    rows = ["| key | type | default | |", "|---|---|---|---|"]
    for key, value in schema["properties"].items():
        default = (
            "required" if key in required else f"`{json.dumps(value.get('default'), ensure_ascii=False)}`"
        )
        if "default" not in value and key not in required:
            default = "optional"
        description = " ".join(value.get("description", "").split())
        rows.append(f"| `{key}` | {_type(value)} | {_cell(default)} | {_cell(description)} |")
    return "\n".join(rows) + "\n"


def _type(value: dict[str, Any]) -> str:
    """A type in words, from its JSON Schema."""
    if "$ref" in value:
        name = value["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    if "const" in value:
        return f"`{json.dumps(value['const'])}`"
    if "enum" in value:
        return ", ".join(f"`{each}`" for each in value["enum"])
    for either in ("anyOf", "oneOf", "allOf"):
        if either in value:
            return " or ".join(_type(each) for each in value[either])
    kind = value.get("type", "any")
    if kind == "array":
        items = value.get("items") or {}
        return f"list of {_type(items)}" if items else "list"
    words = {"integer": "whole number", "string": "text", "object": "mapping", "boolean": "true or false"}
    bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {value[bound]:,}" for bound, sign in bounds.items() if bound in value]
    return " ".join([words.get(kind, kind), *limits])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> None:
    REFERENCE.mkdir(exist_ok=True)
    for path in REFERENCE.iterdir():
        path.unlink()
    for name, text in pages().items():
        (REFERENCE / name).write_text(text, encoding="utf-8")
    print(f"{len(pages())} files in {REFERENCE}", file=sys.stderr)


if __name__ == "__main__":
    main()
