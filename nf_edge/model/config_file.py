"""Read and validate `config.json`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nf_edge.core.errors import MOST_PROBLEMS, BadInput, quoted
from nf_edge.core.reading import read_json_object
from nf_edge.model.config import LayerConfig, ModelConfig, NoiseConfig


def read_config(path: Path) -> tuple[ModelConfig, list[str]]:
    """Read a `config.json`; returns the config and one warning per unknown key.

    Raises:
        BadInput: the file is unreadable, not JSON, or invalid; lists every problem.
    """
    document = read_json_object(path)
    return parse_config(document, path), unknown_keys(document, path)


def parse_config(
    document: dict[str, Any], where: Path | str, known_problems: Sequence[str] = ()
) -> ModelConfig:
    """Validate the content of a `config.json`.

    Args:
        where: the source, for messages.
        known_problems: problems that the caller detected; the error lists them before the config's problems.

    Raises:
        BadInput: lists every problem.
    """
    problems = list(known_problems)
    try:
        config = ModelConfig.model_validate(document)
    except ValidationError as error:
        problems += _explain(error)
    if problems:
        raise BadInput.listing(problems, where=where)
    return config


def _explain(error: ValidationError) -> list[str]:
    """One text per validation error, with the key, the rule and the value."""
    problems = []
    for item in error.errors(include_url=False):
        key = ".".join(str(part) for part in item["loc"])
        value = "" if item["type"] == "missing" or not key else f" (found {quoted(item['input'])})"
        for message in item["msg"].removeprefix("Value error, ").split("; "):
            problems.append(f"{key}: {message}{value}" if key else message)
    return problems


def unknown_keys(document: dict[str, Any], where: Path | str) -> list[str]:
    """One warning for each key at any depth that `ModelConfig` does not have, at most twenty."""
    unknown = [key for key in document if key not in ModelConfig.model_fields]
    noise = document.get("noise") or {}
    unknown += [f"noise.{key}" for key in noise if key not in NoiseConfig.model_fields]
    for i, layer in enumerate(document.get("layers") or ()):
        unknown += [f"layers[{i}].{key}" for key in layer if key not in LayerConfig.model_fields]
    warnings = [f"{where}: unknown key {quoted(key)} is ignored" for key in unknown[:MOST_PROBLEMS]]
    if len(unknown) > MOST_PROBLEMS:
        warnings.append(f"{where}: {len(unknown) - MOST_PROBLEMS:,} more unknown keys are ignored")
    return warnings
