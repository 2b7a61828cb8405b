"""`manifest.json`: the contents of an artifact, its interface, and its measurements."""

from typing import Any, Literal, get_args

from pydantic import Field, model_validator

from nf_edge.artifact.entries import CoverageEntry, ModuleEntry, Reports
from nf_edge.backends.input_shape import InputShape
from nf_edge.backends.runtime_tokenizer import TokenizerReading
from nf_edge.core.errors import BadInput
from nf_edge.core.identity import SHA256, UNKNOWN, Identity
from nf_edge.core.memory_outcome import FITTING
from nf_edge.core.recipe.prune import Compression
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.core.yaml_schema import Closed
from nf_edge.model.config import ModelConfig, Task

Schema = Literal["nf-edge/artifact/1", "nf-edge/artifact/2"]
SCHEMAS: tuple[Schema, ...] = get_args(Schema)
SCHEMA: Schema = "nf-edge/artifact/2"
# A plain file name: no folder, no drive, and only characters that all file systems treat alike.
FILE_NAME = r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,253}[A-Za-z0-9])?$"


class Origin(Closed):
    """The exported checkpoint: its name, hashes of its files, and number of parameters."""

    name: str
    sha256: str = Field(pattern=SHA256, description="SHA-256 of model.safetensors")
    tokenizer_sha256: str | None = Field(
        UNKNOWN,
        description="SHA-256 of tokenizer.json; null: the checkpoint has no tokenizer; unknown: an earlier "
        "nf-edge did not record it",
    )
    parameters: int


class Calibrated(Closed):
    """The rows that calibrated the ranges of activations, keys and values, or the rounding of weights."""

    source: str
    rows: int
    truncated_rows: int = Field(
        0, description="rows of the complete source that were cut to the length of the program"
    )
    sha256: str = Field(description="SHA-256 of the complete source")


class ArtifactFile(Closed):
    """A file of the artifact, with its size and hash."""

    name: str = Field(pattern=FILE_NAME)
    bytes: int = Field(ge=0, strict=True)
    sha256: str = Field(pattern=SHA256)


class Interface(Closed):
    """How an application calls the model.

    Inputs have the shape [batch, length]. If `any_batch`, any number of rows is possible; otherwise one row.
    If `dynamic_length`, rows have up to `length` tokens; otherwise exactly `length`.

    If `cached`, each call passes only the tokens that are not in the cache yet. The cache has `length`
    positions. A `.pte` contains the cache. The inputs of a `.pte` are `tokens` [1, T] and `start` [1], the
    position of the first token. An `.onnx` file takes the cache as inputs `past_key_values.N.key` and
    `.value`, `cache_dtype` [1, heads, past, head size]. It returns the cache for the next call as
    `present.N.key` and `.value`.

    If `chunk` is given, each call takes exactly this many tokens, including padding, and the keys and values
    of all `length` positions. It returns the keys and values of the chunk, and logits of all its tokens.
    """

    task: Task = Field(
        description="what the model does; it decides how to read the logits: softmax, a sigmoid of each, or "
        "as numbers"
    )
    inputs: tuple[str, ...] = Field(description="names, in the order in which they are passed")
    input_dtype: Literal["int64"] = "int64"
    any_batch: bool
    length: int
    dynamic_length: bool
    cached: bool
    cache_dtype: Literal["float32", "int8"] | None = Field(description="dtype of keys and values, if cached")
    chunk: int | None = Field(
        None, description="tokens per call, if the file has a cache and a fixed number of tokens per call"
    )
    output: str
    output_dtype: Literal["float32"] = "float32"
    output_shape: tuple[str | int, ...]
    logits: Literal["last", "all"] = Field(
        description="whether a language model returns logits of the last token only, or of all tokens"
    )
    padding_side: Literal["right"] = "right"
    pad_token_id: int | None
    bos_token_id: int | None
    eos_token_id: int | tuple[int, ...] | None = Field(description="tokens that end a text")
    id2label: dict[int, str] | None
    tokenizer: str | None = Field(description="name of the tokenizer file, for a text model")
    tokenizer_reading: TokenizerReading | None = Field(
        None, description="whether the runtime's tokenizer reads that file like Hugging Face's"
    )

    @property
    def input_shape(self) -> InputShape:
        return InputShape(self.any_batch, self.length, self.dynamic_length, self.cached)


class Requirements(Closed):
    """What an application needs to run the model: runtime, libraries, environment and operators."""

    runtime: str
    version: str
    operator_libraries: tuple[str, ...]
    own_kernels: bool = Field(description="whether the file needs the kernels of nf-edge")
    environment: dict[str, str] = Field(
        {}, description="environment variables to set before a model file is loaded"
    )
    simulated: str = Field(
        "", description='the program that computes predictions in place of the device; "": the runtime itself'
    )
    besides: str = Field("", description="other requirements, in words")
    operators: tuple[str, ...] = Field(
        (), description="operators and delegates that the model file calls, by name"
    )


class Reproducible(Closed):
    """Everything that the files' bytes depend on, in addition to nf-edge, checkpoint, recipe and calibration.

    Exports with equal values give equal files. Exceptions are `report.html`, its entry in `files`, and
    `reports` in this manifest. Random numbers have a fixed seed. Folders, names, users, hash seeds, time
    zones, locales, and the number of cores and threads have no effect.
    """

    packages: dict[str, str] = Field(description="versions of packages that make the files, by name")
    python: str = Field(description="version of Python")
    machine: str = Field(description="system and architecture")
    cpu: str = Field(
        description="instruction set of PyTorch: another one rounds sums of floats differently, which "
        "changes calibrated ranges and the weights from GPTQ and AWQ"
    )


class Manifest(Closed):
    """The manifest of an artifact.

    `reports` contains the measurements of the export. They differ from run to run, and so does `report.html`,
    which shows them. Everything else is equal if the values in `reproducible` are equal.

    Schema 1, of earlier versions, has no `files`.
    """

    schema_: Schema = Field(SCHEMA, alias="schema")
    status: Literal["pass", "fail"]
    nf_edge: str = Field(description="version of nf-edge that exported it")
    checkpoint: Origin
    compression: Compression | None = Field(None, description="how the checkpoint was made from a larger one")
    config: ModelConfig
    recipe: Recipe
    model: ArtifactFile
    files: tuple[ArtifactFile, ...] | None = Field(
        None, description="all files of the folder, except this one and the signature"
    )
    interface: Interface
    requires: Requirements
    calibration: Calibrated | None = Field(description="null: the recipe needs no calibration data")
    quantization: tuple[ModuleEntry, ...] = Field(description="the precision of each module")
    coverage: CoverageEntry = Field(
        description="operators and multiply-accumulates that the accelerating library executes, in a run on "
        "`length` tokens, the largest; and those that it does not, with the reasons"
    )
    reproducible: Reproducible | None = Field(None, description="null in artifacts of earlier versions")
    reports: Reports

    @model_validator(mode="after")
    def _consistent(self) -> "Manifest":
        if (self.files is None) != (self.schema_ == "nf-edge/artifact/1"):
            raise ValueError("schema 2 must have `files`, and schema 1 must not")
        if self.files is not None:
            names = [file.name.casefold() for file in self.files]
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"`files` lists {', '.join(twice)} more than once (ignoring case)")
            if self.model not in self.files:
                raise ValueError(f"`files` must have the entry of `model`, {self.model.name}")
            if self.interface.tokenizer not in (None, *(file.name for file in self.files)):
                raise ValueError(f"`files` must have the tokenizer, {self.interface.tokenizer}")
        if self.requires.runtime != self.recipe.runtime:
            raise ValueError(f"requires.runtime must be {self.recipe.runtime}, as in the recipe")
        for key in ("task", "pad_token_id", "bos_token_id", "eos_token_id", "id2label"):
            if getattr(self.interface, key) != (expected := getattr(self.config, key)):
                raise ValueError(f"interface.{key} must be {expected}, as in the config")
        try:
            input_shape = InputShape.of(self.recipe, self.config)
        except BadInput as error:
            raise ValueError(f"the recipe does not suit the config; {error.what}") from error
        if self.interface.input_shape != input_shape:
            raise ValueError(f"interface must match the recipe and the config, which give {input_shape}")
        if (failed := failed_gates(self.reports)) and self.status == "pass":
            raise ValueError(f"status is pass, but the reports fail {', '.join(failed)}")
        return self

    @property
    def made_of(self) -> Identity:
        """The hashes and the config that identify the exported checkpoint."""
        origin = self.checkpoint
        return Identity(
            weights_sha256=origin.sha256,
            config=self.config.to_json(),
            tokenizer_sha256=origin.tokenizer_sha256,
        )

    def to_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json", by_alias=True)


def failed_gates(reports: Reports) -> list[str]:
    """The names of the gates that an artifact with these reports fails."""
    verdict, accuracy = reports["memory"]["verdict"], reports["accuracy"]
    passed = {
        "parity": reports["parity"]["passed"],
        "memory": verdict is None or verdict["outcome"] in FITTING,
        "accuracy": accuracy is None or accuracy["passed"],
    }
    return [gate for gate, good in passed.items() if not good]
