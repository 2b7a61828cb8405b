"""`manifest.json`: what an artifact is, how it is called, and what was found out about it."""

from typing import Any, Literal

from pydantic import Field

from nf_edge.backends.base import Bounds
from nf_edge.model.config import ModelConfig
from nf_edge.recipe import Recipe
from nf_edge.shrinking import Compression
from nf_edge.yaml_file import Closed

SCHEMA: Literal["nf-edge/artifact/1"] = "nf-edge/artifact/1"


class Origin(Closed):
    """The checkpoint that it was made of."""

    name: str
    sha256: str = Field(description="of model.safetensors")
    parameters: int


class Calibrated(Closed):
    """What ranges were seen on, of activations or of keys and values, or what weights were rounded for."""

    source: str
    rows: int
    truncated_rows: int = Field(
        0, description="of the whole source, cut to the length that the program takes"
    )
    sha256: str = Field(description="of the whole source")


class ModelFile(Closed):
    """A file of the artifact, by which it can be recognised."""

    name: str
    bytes: int
    sha256: str


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

    task: Literal["classification", "regression", "language modelling"]
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
    eos_token_id: int | None
    id2label: dict[int, str] | None
    tokenizer: str | None = Field(description="file of the tokenizer, if it is a text model")

    @property
    def bounds(self) -> Bounds:
        return Bounds(self.any_batch, self.length, self.dynamic_length, self.cached)


class Requirements(Closed):
    """What the application must have."""

    runtime: Literal["executorch", "onnxruntime"]
    version: str
    operator_libraries: tuple[str, ...]
    own_kernels: bool = Field(description="whether it needs the kernels of nf-edge; stock artifacts do not")
    environment: dict[str, str] = Field({}, description="what a process is told before it loads a model")
    simulated: str = Field("", description="what answers for it where nothing on this machine runs it")
    besides: str = Field("", description="what it must have besides, in words")


class Manifest(Closed):
    """All that is known of an artifact; `reports` holds what export measured."""

    schema_: Literal["nf-edge/artifact/1"] = Field(SCHEMA, alias="schema")
    status: Literal["pass", "fail"]
    nf_edge: str = Field(description="version that made it")
    checkpoint: Origin
    compression: Compression | None = Field(None, description="how that one was made of a larger one")
    config: ModelConfig
    recipe: Recipe
    model: ModelFile
    interface: Interface
    requires: Requirements
    calibration: Calibrated | None = Field(description="where data was seen before the model runs")
    quantization: tuple[dict[str, Any], ...] = Field(description="what became of every module")
    coverage: dict[str, Any] = Field(
        description="what the accelerating library took, of operators and of multiply-accumulates in a run "
        "on `length` tokens, the largest; what it left, and why"
    )
    reports: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json", by_alias=True)
