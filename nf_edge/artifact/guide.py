"""`RUN.md`: instructions to call an artifact, with code that runs unchanged."""

from nf_edge.artifact.answers import ANSWERS, PRINT_CPP, PRINT_PYTHON
from nf_edge.artifact.firmware_lines import firmware_fields
from nf_edge.artifact.free_heap import free_heap_text
from nf_edge.artifact.manifest import Interface, Manifest, Requirements
from nf_edge.artifact.tokenizer_notes import generator, tokenizer_lines
from nf_edge.backends import agreeing_backend
from nf_edge.backends.run_text import code_names

OPERATORS = "libnf_executorch.so"
LOAD_OPERATORS = f"""
import ctypes

ctypes.CDLL("../{OPERATORS}")  # registers the operators of nf-edge
"""
GET_OPERATORS = f"""\
The model file calls operators of nf-edge. `nf-edge kernels build -o ..` builds them as `{OPERATORS}` in the
parent folder (`--target` builds for another machine). Do not put the library into this folder, because the
manifest does not list it. Link the whole library into your program, or load it before the model. If you build
ExecuTorch yourself, add `nf_edge/kernels/native` to your CMake project instead: use `add_subdirectory`, and
set `NF_ATTENTION_EXECUTORCH` to ON.
"""


def run_guide(manifest: Manifest) -> str:
    """The Markdown text of `RUN.md`: how an application calls the artifact, with code."""
    interface, requires, ends = manifest.interface, manifest.requires, manifest.config.end_tokens
    backend = agreeing_backend(manifest.recipe)
    example = _example_ids(interface, manifest.config.vocab_size)
    fields = {
        "target": manifest.recipe.target,
        "soc": (manifest.recipe.target or "").upper(),
        "simulated": requires.simulated,
        "file": manifest.model.name,
        "ids": ", ".join(map(str, example)),
        "answer": PRINT_PYTHON[interface.task],
        "print": PRINT_CPP[interface.task],
        "stop_python": _stop(ends, " or ", "    if {}:\n        break\n"),
        "stop_cpp": _stop(ends, " || ", "    if ({}) break;\n"),
        "steps": min(4, interface.length - len(example)),
        "cache_dtype": interface.cache_dtype,
        "operators": (LOAD_OPERATORS if requires.own_kernels else "") + _environment_code(requires),
        "generator": generator(interface, manifest.model.name),
        "free_heap": free_heap_text(manifest),
        "libraries": code_names(requires.operator_libraries),
        **firmware_fields(manifest.reports["memory"].get("firmware", [])),
        **backend.run_fields(requires.operators),
    }
    return "\n".join(
        [
            f"# {manifest.checkpoint.name}, by {manifest.recipe.name}",
            "",
            f"{manifest.recipe.description}. Needs {backend.runtime_title} {requires.version}"
            f"{' with the kernels of nf-edge' if requires.own_kernels else ', unmodified'}.",
            "",
            *_interface_lines(interface, ends),
            "",
            *([GET_OPERATORS] if requires.own_kernels else []),
            *_besides_lines(requires),
            backend.run_text(interface.cached).format(**fields),
        ]
    )


def _environment_code(requires: Requirements) -> str:
    """Python code that sets the environment variables before a model is loaded."""
    if not requires.environment:
        return ""
    lines = [f'os.environ["{name}"] = "{value}"' for name, value in requires.environment.items()]
    return "\n".join(["\nimport os\n", *lines, ""])


def _besides_lines(requires: Requirements) -> list[str]:
    lines = [requires.besides, ""] if requires.besides else []
    if requires.environment:
        settings = ", ".join(f"`{name}={value}`" for name, value in requires.environment.items())
        lines += [f"Set these environment variables before the model is loaded: {settings}.", ""]
    return lines


def _interface_lines(interface: Interface, ends: tuple[int, ...]) -> list[str]:
    lines = ["| | |", "|---|---|", *(_cached_lines(interface) if interface.cached else _row_lines(interface))]
    lines += tokenizer_lines(interface)
    if interface.task in ANSWERS:
        lines.append(f"| answer | {ANSWERS[interface.task]} |")
    elif ends:
        lines.append(f"| end of text | token {' or '.join(map(str, ends))} |")
    if interface.id2label:
        labels = ", ".join(f"{i} {label}" for i, label in interface.id2label.items())
        lines.append(f"| {'outputs' if interface.task == 'regression' else 'labels'} | {labels} |")
    return lines


def _cached_lines(interface: Interface) -> list[str]:
    shape = ", ".join(map(str, interface.output_shape))
    first = interface.inputs[0]
    lines = [f"| `{first}` | {interface.input_dtype} [1, T], the tokens after those of earlier calls |"]
    if "start" in interface.inputs:
        lines.append(
            f"| `start` | {interface.input_dtype} [1], the position of the first of these tokens; the model "
            "stores keys and values itself, and discards those from this position on |"
        )
    elif interface.chunk is not None:
        lines = [
            f"| `{first}` | {interface.input_dtype} [1, {interface.chunk}], the next tokens, then padding |",
            f"| `attention_mask` | {interface.input_dtype} [1, {interface.length}], 1 for the positions that "
            "are filled |",
            f"| `position_ids` | {interface.input_dtype} [1, {interface.chunk}], counted from 0 |",
            f"| `past_key_values.N.key`, `.value` | {interface.cache_dtype} [1, heads, {interface.length}, "
            "head size], 0 at positions that are not filled yet |",
            f"| `present.N.key`, `.value` | {interface.cache_dtype} [1, heads, {interface.chunk}, head size],"
            " to copy into `past_key_values` at the positions of this call |",
        ]
    else:
        lines += [
            f"| `attention_mask` | {interface.input_dtype} [1, past + T], all 1 |",
            f"| `position_ids` | {interface.input_dtype} [1, T], counted from 0 |",
            f"| `past_key_values.N.key`, `.value` | {interface.cache_dtype} [1, heads, past, head size], "
            "the `present.N.key` and `.value` of the previous call; in the first call, past = 0 |",
        ]
    which = "last token" if interface.chunk is None else "tokens of this call"
    return [
        *lines,
        f"| positions | {interface.length} in total |",
        f"| output | `{interface.output}`, {interface.output_dtype} [{shape}], of the {which} |",
    ]


def _row_lines(interface: Interface) -> list[str]:
    length = f"1 to {interface.length}" if interface.dynamic_length else f"exactly {interface.length}"
    batch = "any" if interface.any_batch else 1
    shape = ", ".join(map(str, interface.output_shape))
    return [
        f"| inputs | {', then '.join(f'`{name}`' for name in interface.inputs)}, "
        f"{interface.input_dtype} [batch, length] |",
        f"| batch | {batch} |",
        f"| length | {length} tokens |",
        f"| `attention_mask` | 1 for tokens, 0 for padding, which is on the {interface.padding_side} |",
        f"| padding | {_padding(interface)} |",
        f"| output | `{interface.output}`, {interface.output_dtype} [{shape}] |",
    ]


def _padding(interface: Interface) -> str:
    return "any token" if interface.pad_token_id is None else f"token {interface.pad_token_id}"


def _example_ids(interface: Interface, vocab_size: int) -> list[int]:
    longest = 4 if interface.cached else 8
    length = min(longest, interface.length) if interface.dynamic_length else interface.length
    return [i % vocab_size for i in range(length)]


def _stop(ends: tuple[int, ...], either: str, line: str) -> str:
    """A line of code for `RUN.md` that stops a loop at an end-of-text token; "" if the model has none.

    Args:
        ends: the ids of the end-of-text tokens.
        either: the language's operator for "or".
        line: the line of code, with {} in place of the condition.
    """
    return line.format(either.join(f"token == {end}" for end in ends)) if ends else ""
