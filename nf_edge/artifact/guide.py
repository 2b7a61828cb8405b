"""`RUN.md`: how to call this very artifact, in snippets that run as they stand."""

from collections.abc import Iterable

from nf_edge.artifact import decoder_snippets, row_snippets
from nf_edge.artifact.manifest import Interface, Manifest, Requirements
from nf_edge.artifact.tokenizer_notes import generator, tokenizer_lines
from nf_edge.backends import agreeing_backend
from nf_edge.backends.base import Backend
from nf_edge.backends.executorch.operator_libraries import ARCHIVES, registered

LINK_EXECUTORCH = """
Link `executorch`, the extensions `module`, `data_loader` and `tensor`, and, so that they register
themselves, all of each operator library (`--whole-archive`, or `--no-as-needed` where they are shared):
{libraries}.
"""

LINK_BARE = """
Link `executorch_core` and the extension `data_loader`{delegates}. Link the kernel archives
{archives} without `--whole-archive`, and register only the operators that `{file}` calls:

{registered}

ExecuTorch's selective build writes this registration from their names. The operator libraries that hold
these kernels ({libraries}) register, and so link, every kernel they have: more than most flash holds.
{code_size}"""

ON_HTP = """\
The model is one context binary, compiled by QNN for the HTP of a Snapdragon {soc}. It runs on a device that
has one, by QNN's plug-in for ONNX Runtime (in Python, `onnxruntime-qnn`), of the version that made it or a
later one. The plug-in for x86-64 Linux has a simulator instead, which the snippet uses there, and so does
`nf-edge check`. A device needs `{file}` alone; `model.qdq.onnx` is the quantized model that it was compiled
of, which the plug-in can compile for other SoCs.

"""

# Bytes for portable kernels that borrow memory while they run, in addition to what the file plans.
BORROWED = 4096
PYTHON = "## Python\n\nRun from this folder:\n\n"

OPERATORS = "libnf_executorch.so"
LOAD_OPERATORS = f"""
import ctypes

ctypes.CDLL("../{OPERATORS}")  # registers the operators of nf-edge
"""
GET_OPERATORS = f"""\
It calls operators of nf-edge. `nf-edge kernels build -o ..` builds them as `{OPERATORS}` in the folder around
this one (`--target` names another machine). Do not put the library into this folder: the manifest does not
list it. A program links all of the library, or loads it before the model. An ExecuTorch that you build
yourself adds `nf_edge/kernels/native` instead, by `add_subdirectory` with `NF_ATTENTION_EXECUTORCH` on.
"""


def run_guide(manifest: Manifest) -> str:
    """The text of `RUN.md`."""
    interface, requires, ends = manifest.interface, manifest.requires, manifest.config.ends
    backend = agreeing_backend(manifest.recipe)
    example = _example_ids(interface, manifest.config.vocab_size)
    code = decoder_snippets if interface.cached else row_snippets
    fields = {
        "target": manifest.recipe.target,
        "soc": (manifest.recipe.target or "").upper(),
        "simulated": requires.simulated,
        "file": manifest.model.name,
        "ids": ", ".join(map(str, example)),
        "answer": row_snippets.PRINT_PYTHON[interface.task],
        "print": row_snippets.PRINT_CPP[interface.task],
        "stop_python": _stop(ends, " or ", "    if {}:\n        break\n"),
        "stop_cpp": _stop(ends, " || ", "    if ({}) break;\n"),
        "steps": min(4, interface.length - len(example)),
        "cache_dtype": interface.cache_dtype,
        "operators": (LOAD_OPERATORS if requires.own_kernels else "") + _environment_code(requires),
        "arenas": _planned(manifest, "arenas"),
        "borrowed": (_planned(manifest, "workspace") or 0) + BORROWED,
        "generator": generator(interface, manifest.model.name),
        "libraries": _names(requires.operator_libraries),
    }
    if requires.runtime == "executorch":
        title, snippets = (
            "ExecuTorch",
            (
                (backend.elsewhere or PYTHON + code.PYTHON_EXECUTORCH).format(**fields)
                + "\n## C++\n\n"
                + (row_snippets.CPP_BARE if backend.bare else code.CPP_EXECUTORCH).format(**fields)
                + (_bare_linking(backend, manifest) if backend.bare else LINK_EXECUTORCH.format(**fields))
            ),
        )
    else:
        title, python = "ONNX Runtime", code.PYTHON_HTP if manifest.recipe.target else code.PYTHON_ONNX
        snippets = (
            (ON_HTP if manifest.recipe.target else "").format(**fields) + PYTHON + python.format(**fields)
        )
    return "\n".join(
        [
            f"# {manifest.checkpoint.name}, by {manifest.recipe.name}",
            "",
            f"{manifest.recipe.description}. Needs {title} {requires.version}"
            f"{' with the kernels of nf-edge' if requires.own_kernels else ', unmodified'}.",
            "",
            *_interface_lines(interface, ends),
            "",
            *([GET_OPERATORS] if requires.own_kernels else []),
            *_besides_lines(requires),
            snippets,
        ]
    )


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _bare_linking(backend: Backend, manifest: Manifest) -> str:
    """What to link on a device that has room only for the operators that the file calls."""
    requires = manifest.requires
    kernels = [name for name in requires.operator_libraries if name in ARCHIVES]
    delegates = [name for name in requires.operator_libraries if name not in ARCHIVES]
    registering = f", and all of {_names(delegates)} (`--whole-archive`), so that it registers itself"
    return LINK_BARE.format(
        file=manifest.model.name,
        delegates=registering if delegates else "",
        archives=_names(archive for name in kernels for archive in ARCHIVES[name]),
        registered="\n".join(f"- `{name}`" for name in registered(requires.operators)),
        libraries=_names(kernels),
        code_size=backend.code_size,
    )


def _planned(manifest: Manifest, part: str) -> int | None:
    """Bytes that the file plans for a part of its process; None where the runtime decides."""
    (line,) = (line for line in manifest.reports["memory"]["process"] if line["name"] == part)
    planned: int | None = line["planned"]["value"]
    return planned


def _environment_code(requires: Requirements) -> str:
    """Of a Python program, before it loads the model."""
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
    if interface.task in row_snippets.ANSWERS:
        lines.append(f"| answer | {row_snippets.ANSWERS[interface.task]} |")
    elif ends:
        lines.append(f"| end of text | token {' or '.join(map(str, ends))} |")
    if interface.id2label:
        labels = ", ".join(f"{i} {label}" for i, label in interface.id2label.items())
        lines.append(f"| {'outputs' if interface.task == 'regression' else 'labels'} | {labels} |")
    return lines


def _cached_lines(interface: Interface) -> list[str]:
    shape = ", ".join(map(str, interface.output_shape))
    first = interface.inputs[0]
    lines = [f"| `{first}` | {interface.input_dtype} [1, T], the tokens that follow those fed before |"]
    if "start" in interface.inputs:
        lines.append(
            f"| `start` | {interface.input_dtype} [1], the position of the first of them; the model keeps "
            "keys and values itself, and forgets what it held from there on |"
        )
    elif interface.chunk is not None:
        lines = [
            f"| `{first}` | {interface.input_dtype} [1, {interface.chunk}], tokens that follow those fed "
            "before, then padding |",
            f"| `attention_mask` | {interface.input_dtype} [1, {interface.length}], 1 for the positions that "
            "are filled |",
            f"| `position_ids` | {interface.input_dtype} [1, {interface.chunk}], counted from 0 |",
            f"| `past_key_values.N.key`, `.value` | {interface.cache_dtype} [1, heads, {interface.length}, "
            "head size], zero where nothing was fed yet |",
            f"| `present.N.key`, `.value` | {interface.cache_dtype} [1, heads, {interface.chunk}, head size],"
            " to be placed there at the positions of this call |",
        ]
    else:
        lines += [
            f"| `attention_mask` | {interface.input_dtype} [1, past + T], all 1 |",
            f"| `position_ids` | {interface.input_dtype} [1, T], counted from 0 |",
            f"| `past_key_values.N.key`, `.value` | {interface.cache_dtype} [1, heads, past, head size], "
            "what `present.N.key` and `.value` gave the last time; at first with past = 0 |",
        ]
    which = "last token" if interface.chunk is None else "tokens of this call"
    return [
        *lines,
        f"| positions | {interface.length} in all |",
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
    """The line that stops a loop over tokens at the end of a text; none where the model has no such token."""
    return line.format(either.join(f"token == {end}" for end in ends)) if ends else ""
