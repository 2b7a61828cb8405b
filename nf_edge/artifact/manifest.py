"""`manifest.json`: what an artifact is, how it is called, and what was found out about it."""

from typing import Any, Literal, get_args

from pydantic import Field, model_validator

from nf_edge.artifact.entries import CoverageEntry, ModuleEntry, Reports
from nf_edge.backends.input_shape import InputShape
from nf_edge.backends.runtime_tokenizer import TokenizerReading
from nf_edge.core.errors import BadInput
from nf_edge.core.identity import SHA256, UNKNOWN, Identity
from nf_edge.core.recipe.prune import Compression
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.core.yaml_schema import Closed
from nf_edge.model.config import ModelConfig, Task

Schema = Literal["nf-edge/artifact/1", "nf-edge/artifact/2"]
SCHEMAS: tuple[Schema, ...] = get_args(Schema)
SCHEMA: Schema = "nf-edge/artifact/2"
# No folder, no drive, no character that file systems read differently.
FILE_NAME = r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,253}[A-Za-z0-9])?$"
# Memory verdicts that pass; `measure.memory.verdict` gives them.
FITTING = {"fits", "fits as far as known"}


class Origin(Closed):
    """The checkpoint that it was made of."""

    name: str
    sha256: str = Field(pattern=SHA256, description="of model.safetensors")
    tokenizer_sha256: str | None = Field(
        UNKNOWN, description="of tokenizer.json; null: it has none; unknown: earlier versions did not say"
    )
    parameters: int


class Calibrated(Closed):
    """The rows that ranges (of activations, keys and values) and the rounding of weights were fitted to."""

    source: str
    rows: int
    truncated_rows: int = Field(
        0, description="of the whole source, cut to the length that the program takes"
    )
    sha256: str = Field(description="of the whole source")


class ArtifactFile(Closed):
    """A file of the artifact, by which it can be recognised."""

    name: str = Field(pattern=FILE_NAME)
    bytes: int = Field(ge=0, strict=True)
    sha256: str = Field(pattern=SHA256)


class Interface(Closed):
    """How the model is called; part of the artifact, so that an application can be written from it.

    The inputs' shape is [batch, length]: one row, or any number where `any_batch`; `length` tokens, or
    any number up to it where `dynamic_length`.  Where `cached`, the model keeps the keys and values of
    `length` positions, and takes the tokens that follow those: `tokens` [1, T] and the position of the
    first of them, `start` [1], of a `.pte`, which keeps them itself; of an `.onnx` also all keys and
    values so far, `past_key_values.N.key` and `.value`, `cache_dtype` [1, heads, past, head size], and it
    gives those to pass the next time as `present.N.key` and `.value`.  Where there is a `chunk`, it takes so
    many tokens, padding among them, and the keys and values of all `length` positions; it gives those of the
    chunk, and logits of all of it.
    """

    task: Task = Field(description="what a classifier's logits are for: softmax, a sigmoid each, or numbers")
    inputs: tuple[str, ...] = Field(description="in the order in which they are passed")
    input_dtype: Literal["int64"] = "int64"
    any_batch: bool
    length: int
    dynamic_length: bool
    cached: bool
    cache_dtype: Literal["float32", "int8"] | None = Field(description="of keys and values, where cached")
    chunk: int | None = Field(None, description="tokens of a call, where cached and their number is fixed")
    output: str
    output_dtype: Literal["float32"] = "float32"
    output_shape: tuple[str | int, ...]
    logits: Literal["last", "all"] = Field(description="of a language model: which tokens'")
    padding_side: Literal["right"] = "right"
    pad_token_id: int | None
    bos_token_id: int | None
    eos_token_id: int | tuple[int, ...] | None = Field(description="any of them ends a text")
    id2label: dict[int, str] | None
    tokenizer: str | None = Field(description="file of the tokenizer, if it is a text model")
    tokenizer_reading: TokenizerReading | None = Field(
        None, description="whether the runtime's tokenizer reads that file as Hugging Face's does"
    )

    @property
    def input_shape(self) -> InputShape:
        return InputShape(self.any_batch, self.length, self.dynamic_length, self.cached)


class Requirements(Closed):
    """What the application must have."""

    runtime: str
    version: str
    operator_libraries: tuple[str, ...]
    own_kernels: bool = Field(description="whether it needs the kernels of nf-edge; stock artifacts do not")
    environment: dict[str, str] = Field(
        {}, description="environment variables to set before a model is loaded"
    )
    simulated: str = Field("", description="what runs in its place where nothing on this machine runs it")
    besides: str = Field("", description="other requirements, in words")
    operators: tuple[str, ...] = Field(
        (), description="operators and delegates that the model file calls, by name"
    )


class Reproducible(Closed):
    """What the bytes depend on, in addition to nf-edge, checkpoint, recipe and calibration.

    Where these are the same, so are all files but `report.html`, and this manifest but for its `reports` and
    that file's entry in `files`.  What is drawn at random has a fixed seed.  Folders, names, users, hash
    seeds, time zones, locales, and the number of cores and threads do not matter.
    """

    packages: dict[str, str] = Field(description="versions of what computed, compiled or wrote them, by name")
    python: str = Field(description="its version")
    machine: str = Field(description="system and architecture")
    cpu: str = Field(
        description="instruction set that PyTorch computed with: another one rounds sums of floats "
        "otherwise, and with them calibrated ranges and what GPTQ and AWQ make of weights"
    )


class Manifest(Closed):
    """All that is known of an artifact.

    `reports` holds what export measured here: its measured figures differ from run to run, and so does
    `report.html`, which shows them.  All else is the same again where what `reproducible` names is.

    Schema 1, which earlier versions wrote, lists no `files`.
    """

    schema_: Schema = Field(SCHEMA, alias="schema")
    status: Literal["pass", "fail"]
    nf_edge: str = Field(description="version that made it")
    checkpoint: Origin
    compression: Compression | None = Field(None, description="how that one was made of a larger one")
    config: ModelConfig
    recipe: Recipe
    model: ArtifactFile
    files: tuple[ArtifactFile, ...] | None = Field(
        None, description="all files of the folder but this one and the signature, the model file among them"
    )
    interface: Interface
    requires: Requirements
    calibration: Calibrated | None = Field(description="where the recipe calibrates")
    quantization: tuple[ModuleEntry, ...] = Field(description="what became of every module")
    coverage: CoverageEntry = Field(
        description="what the accelerating library took, of operators and of multiply-accumulates in a run "
        "on `length` tokens, the largest; what it left, and why"
    )
    reproducible: Reproducible | None = Field(None, description="None in artifacts of older versions")
    reports: Reports

    @model_validator(mode="after")
    def _consistent(self) -> "Manifest":
        if (self.files is None) != (self.schema_ == "nf-edge/artifact/1"):
            raise ValueError("files: schema 2 lists the files of the folder, schema 1 does not")
        if self.files is not None:
            names = [file.name.casefold() for file in self.files]
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"files: {', '.join(twice)} is listed more than once (case does not count)")
            if self.model not in self.files:
                raise ValueError(f"files: {self.model.name} is not listed as `model` has it")
            if self.interface.tokenizer not in (None, *(file.name for file in self.files)):
                raise ValueError(f"files: {self.interface.tokenizer} is not listed")
        if self.requires.runtime != self.recipe.runtime:
            raise ValueError(f"requires.runtime: is not the recipe's, {self.recipe.runtime}")
        for key in ("task", "pad_token_id", "bos_token_id", "eos_token_id", "id2label"):
            if getattr(self.interface, key) != (expected := getattr(self.config, key)):
                raise ValueError(f"interface.{key}: is not the config's, {expected}")
        try:
            input_shape = InputShape.of(self.recipe, self.config)
        except BadInput as error:
            raise ValueError(f"recipe: {error.what}") from error
        if self.interface.input_shape != input_shape:
            raise ValueError(f"interface: is not what the recipe gives of the config, {input_shape}")
        if (failed := failed_gates(self.reports)) and self.status == "pass":
            raise ValueError(f"status: is pass, but by its own reports it fails {', '.join(failed)}")
        return self

    @property
    def made_of(self) -> Identity:
        """The checkpoint that was exported."""
        origin = self.checkpoint
        return Identity(
            weights_sha256=origin.sha256,
            config=self.config.to_json(),
            tokenizer_sha256=origin.tokenizer_sha256,
        )

    def to_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json", by_alias=True)


def failed_gates(reports: Reports) -> list[str]:
    """Gates that an artifact did not pass by the reports of its manifest; what cannot be read has failed."""
    verdict, accuracy = reports["memory"].get("verdict", {}), reports["accuracy"]
    passed = {
        "parity": reports["parity"].get("passed") is True,
        "memory": verdict is None or (isinstance(verdict, dict) and verdict.get("outcome") in FITTING),
        "accuracy": accuracy is None or accuracy.get("passed") is True,
    }
    return [gate for gate, good in passed.items() if not good]
