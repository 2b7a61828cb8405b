"""Notes in `RUN.md` about runtimes that read the artifact's tokenizer."""

from nf_edge.artifact.manifest import Interface
from nf_edge.backends.runtime_tokenizer import TokenizerReading

# Map a runtime to the name of its tokenizer, and to a sentence about its text generator.
READERS = {
    "ExecuTorch": "ExecuTorch's C++ `HFTokenizer` (library `tokenizers`, and all of `regex_lookahead`)",
    "onnxruntime-genai": "`onnxruntime-genai`",
}
GENERATORS = {
    "ExecuTorch": "ExecuTorch's `TextLLMRunner` also generates text from `{file}` and "
    "`tokenizer.json`, if the same operators are registered.",
    "onnxruntime-genai": "`onnxruntime-genai` also generates text from this folder. ",
}
PAIRS = (
    "for a model of pairs, `tokenizer.encode(first, second)` gives the ids; if there are more than {length}, "
    "`enable_truncation` with the strategy `longest_first` cuts them as nf-edge does"
)
FEED_IDS = "encode texts with Hugging Face `tokenizers`, and pass the ids"


def tokenizer_lines(interface: Interface) -> list[str]:
    """Rows of a Markdown table about the tokenizer; none if the artifact has no tokenizer.

    The rows name the tokenizer file. They say whether the runtime encodes texts like Hugging Face
    `tokenizers`.
    """
    if not interface.tokenizer:
        return []
    lines = [f"| tokenizer | `{interface.tokenizer}` (Hugging Face tokenizers) |"]
    if (reading := interface.tokenizer_reading) is not None:
        lines.append(f"| tokenizer in the runtime | {_reading(reading)} |")
    if interface.task != "language modelling":
        lines.append(f"| pairs of texts | {PAIRS.format(length=interface.length)} |")
    return lines


def generator(interface: Interface, file: str) -> str:
    """The sentence that recommends the runtime's text generator; "" unless the runtime reads the tokenizer
    correctly.

    Args:
        file: the name of the model file.
    """
    reading = interface.tokenizer_reading
    return GENERATORS[reading.runtime].format(file=file) if reading and reading.same else ""


def tokenizer_warnings(interface: Interface) -> list[str]:
    """A warning if the runtime's tokenizer does not, or may not, encode texts like the model; else empty."""
    reading = interface.tokenizer_reading
    if reading is None or reading.same:
        return []
    return [f"{interface.tokenizer}: {_reading(reading)}".replace("`", "")]


def _reading(reading: TokenizerReading) -> str:
    reader, escaped = READERS[reading.runtime], reading.reason.replace("|", "\\|")
    if reading.same is None:
        return f"it is unknown whether {reader} encodes texts like the model ({escaped}); {FEED_IDS}"
    if not reading.same:
        return f"{reader} does not encode texts like the model ({escaped}); {FEED_IDS}"
    if reading.how == "measured":
        return f"{reader} encoded {reading.texts:,} texts to the model's ids ({reading.version})"
    return f"{reader} encodes texts like the model (predicted from the form of the tokenizer)"
