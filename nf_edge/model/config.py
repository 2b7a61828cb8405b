"""`config.json` of a NoiseFormer checkpoint."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from nf_edge.core.errors import MOST_PROBLEMS, BadInput, quoted
from nf_edge.core.reading import read_json_object
from nf_edge.core.yaml_schema import without_truths

LANGUAGE_MODEL = "NoiseFormerForCausalLM"
CLASSIFIER = "NoiseFormerForSequenceClassification"

NoiseKind = Literal["none", "lowrank", "pairwise", "relative"]
Pooling = Literal["last", "last_not_pad", "first", "mean"]
ProblemType = Literal["single_label_classification", "multi_label_classification", "regression"]
Task = Literal["language modelling", "classification", "multi-label classification", "regression"]

TASKS: dict[ProblemType, Task] = {
    "single_label_classification": "classification",
    "multi_label_classification": "multi-label classification",
    "regression": "regression",
}


def _token(value: Any) -> Any:
    if value is not None and type(value) is not int:
        raise ValueError("must be a token's id, a whole number")
    return value


def _tokens(value: Any) -> Any:
    if value is None or type(value) is int:
        return value
    if not isinstance(value, list | tuple) or not value or any(type(item) is not int for item in value):
        raise ValueError("must be a token's id, a whole number, or a list of them")
    return tuple(dict.fromkeys(value))


# Not pydantic's lax int, which also takes the text "1" and 1.0.
TokenId = Annotated[int | None, BeforeValidator(_token)]
TokenIds = Annotated[int | tuple[int, ...] | None, BeforeValidator(_tokens)]


class _Open(BaseModel):
    """A frozen value that ignores keys it does not know, and refuses NaN, Inf and `true` for a number."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False, protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _no_truth_for_numbers(cls, document: Any) -> Any:
        return without_truths(document, cls.model_fields)


class NoiseConfig(_Open):
    """The learned noise on the scores; `rank` belongs to `lowrank` only."""

    kind: NoiseKind = "none"
    rank: int | None = None


class LayerConfig(_Open):
    """Sizes of one layer after structured pruning; None is the model-wide size."""

    n_head: int | None = None
    n_inner: int | None = Field(None, ge=1)


class ModelConfig(_Open):
    """Shape and kind of a NoiseFormer; the names are those of GPT-2 on Hugging Face where it has them."""

    model_type: Literal["noiseformer"] = "noiseformer"
    architectures: tuple[Literal["NoiseFormerForCausalLM", "NoiseFormerForSequenceClassification"]]
    vocab_size: int = Field(ge=1)
    n_positions: int = Field(ge=1)
    n_embd: int = Field(ge=1)
    # Every layer is listed tensor by tensor; past this bound a file is damaged, not deep.
    n_layer: int = Field(ge=1, le=10_000)
    n_head: int = Field(ge=1)
    n_inner: int | None = Field(None, ge=1)
    activation_function: Literal["gelu_new", "gelu", "relu"] = "gelu_new"
    layer_norm_epsilon: float = Field(1e-5, gt=0)
    causal: bool = True
    attention: Literal["symmetric", "standard"] = "symmetric"
    noise: NoiseConfig = NoiseConfig()
    tie_word_embeddings: bool = True
    num_labels: int | None = Field(None, ge=1)
    id2label: dict[int, str] | None = None
    pooling: Pooling | None = None
    problem_type: ProblemType | None = None
    pad_token_id: TokenId = None
    bos_token_id: TokenId = None
    eos_token_id: TokenIds = None
    layers: tuple[LayerConfig, ...] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "ModelConfig":
        problems = []
        if self.n_embd % self.n_head:
            problems.append(f"n_embd {self.n_embd} is not a multiple of n_head {self.n_head}")
        if self.is_language_model and not self.causal:
            problems.append("causal is false: a language model must be causal")
        if self.attention == "standard" and self.noise.kind != "none":
            problems.append(f"standard attention takes no noise, but noise.kind is {self.noise.kind}")
        rank = self.noise.rank
        if self.noise.kind == "lowrank" and not (rank and 1 <= rank <= self.head_size):
            problems.append(f"noise.rank must be from 1 to the head size {self.head_size}, not {rank}")
        if not self.is_language_model and self.num_labels is None:
            problems.append("num_labels is missing: a classifier needs it (1 is regression)")
        labels = self.num_labels or 0
        if self.id2label is not None and not (
            len(self.id2label) == labels and all(0 <= label < labels for label in self.id2label)
        ):
            problems.append(f"id2label must name the labels 0 to {labels - 1}")
        if self.problem_type == "single_label_classification" and self.num_labels == 1:
            problems.append(
                "problem_type is single_label_classification, but the only one of num_labels 1 is always the "
                "answer: write regression, or multi_label_classification"
            )
        problems += [
            f"{key} {token} is outside the vocabulary of {self.vocab_size}"
            for key, tokens in self.special_tokens.items()
            for token in tokens
            if not 0 <= token < self.vocab_size
        ]
        if self.layers is not None and len(self.layers) != self.n_layer:
            problems.append(f"layers has {len(self.layers)} entries, but n_layer is {self.n_layer}")
        for i, layer in enumerate(self.layers or ()):
            if layer.n_head is not None and not 1 <= layer.n_head <= self.n_head:
                problems.append(f"layers[{i}].n_head must be from 1 to {self.n_head}, not {layer.n_head}")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def is_language_model(self) -> bool:
        return self.architectures[0] == LANGUAGE_MODEL

    @property
    def head_size(self) -> int:
        """Width d of a head; structured pruning removes heads, it never narrows one."""
        return self.n_embd // self.n_head

    @property
    def layer_sizes(self) -> list[tuple[int, int]]:
        """(n_head, n_inner) of every layer."""
        inner = self.n_inner or 4 * self.n_embd
        layers = self.layers or (LayerConfig(),) * self.n_layer
        return [(layer.n_head or self.n_head, layer.n_inner or inner) for layer in layers]

    @property
    def task(self) -> Task:
        """What the model answers: the config's word, else by its number of outputs."""
        if self.is_language_model:
            return "language modelling"
        if self.problem_type is not None:
            return TASKS[self.problem_type]
        return "regression" if self.num_labels == 1 else "classification"

    @property
    def has_label(self) -> bool:
        """Whether what is right of a row is one label: a class, or the number of a regression."""
        return self.task == "classification" or (self.task == "regression" and self.num_labels == 1)

    @property
    def kind(self) -> str:
        """What the model is, with its number of outputs, in words."""
        if self.is_language_model:
            return "language model"
        if self.task == "regression":
            return "regression" if self.num_labels == 1 else f"regression of {self.num_labels} numbers"
        labels = "1 label" if self.num_labels == 1 else f"{self.num_labels} labels"
        return f"{self.task.replace('classification', 'classifier')} of {labels}"

    @property
    def ends(self) -> tuple[int, ...]:
        """The tokens that end a text, any of them; the first one also parts documents in training."""
        ends = self.eos_token_id
        return (() if ends is None else (ends,)) if not isinstance(ends, tuple) else ends

    @property
    def special_tokens(self) -> dict[str, tuple[int, ...]]:
        """The ids that mean something to the model, by the key that names them."""
        single = {"pad_token_id": self.pad_token_id, "bos_token_id": self.bos_token_id}
        tokens = {key: () if token is None else (token,) for key, token in single.items()}
        return {**tokens, "eos_token_id": self.ends}

    @property
    def pooled_token(self) -> Pooling:
        """How a classifier pools: the config's word, else by direction."""
        if self.pooling == "last_not_pad" and self.pad_token_id is None:
            return "last"
        return self.pooling or ("last" if self.causal else "first")

    @property
    def answers_for_one_token(self) -> bool:
        """Whether a classifier pools a token that sees others, so that its last layer needs no other query.

        The first token of a causal model sees itself only; that degenerate case is left as it is.  So is the
        last one that is not padding of a bidirectional model, which sees padding tokens after it.
        """
        pooled = "first" if not self.causal else "last_not_pad"
        return self.pooled_token in ("last", pooled)

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """Every tensor that the checkpoint must have, with its shape ([out, in] for weights)."""
        D, d = self.n_embd, self.head_size
        shapes: dict[str, tuple[int, ...]] = {
            "transformer.wte.weight": (self.vocab_size, D),
            "transformer.wpe.weight": (self.n_positions, D),
        }

        def norm(name: str) -> None:
            shapes[f"{name}.weight"] = shapes[f"{name}.bias"] = (D,)

        def linear(name: str, out: int, inp: int) -> None:
            shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (out, inp), (out,)

        for i, (heads, inner) in enumerate(self.layer_sizes):
            block = f"transformer.h.{i}."
            norm(block + "ln_1")
            if self.attention == "standard":
                linear(block + "attn.c_attn", 3 * heads * d, D)
            else:
                linear(block + "attn.c_kv", 2 * heads * d, D)
            linear(block + "attn.c_proj", D, heads * d)
            for name, shape in self.noise_shapes(heads).items():
                shapes[f"{block}attn.noise.{name}"] = shape
            norm(block + "ln_2")
            linear(block + "mlp.c_fc", inner, D)
            linear(block + "mlp.c_proj", D, inner)
        norm("transformer.ln_f")
        if not self.is_language_model:
            shapes["score.weight"] = (self.num_labels or 0, D)
        elif not self.tie_word_embeddings:
            shapes["lm_head.weight"] = (self.vocab_size, D)
        return shapes

    def matrix_shapes(self) -> dict[str, tuple[int, int]]:
        """Shapes [out, in] of linear layers, a tied head too, and [rows, columns] of tables, by module."""
        shapes = {
            name.removesuffix(".weight"): (shape[0], shape[1])
            for name, shape in self.tensor_shapes().items()
            if name.endswith(".weight") and len(shape) == 2
        }
        if self.is_language_model and self.tie_word_embeddings:
            shapes["lm_head"] = shapes["transformer.wte"]
        return shapes

    def optional_tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """Tensors that training leaves behind and inference ignores."""
        return {
            f"transformer.h.{i}.attn.noise.log_sigma": (heads,)
            for i, (heads, _) in enumerate(self.layer_sizes)
        }

    def noise_shapes(self, heads: int) -> dict[str, tuple[int, ...]]:
        """Shapes of one layer's noise parameters, by name."""
        d = self.head_size
        if self.noise.kind == "lowrank":
            return {"a": (heads, d, self.noise.rank or 0), "b": (heads, d, self.noise.rank or 0)}
        if self.noise.kind == "pairwise":
            return {"p": (heads, d, d)}
        if self.noise.kind == "relative":
            return {"bias": (heads, self.n_positions)}
        return {}

    def to_json(self) -> dict[str, Any]:
        """The content of `config.json`: what was set, without keys that were left at None."""
        return self.model_dump(mode="json", exclude_none=True)


def read_config(path: Path) -> tuple[ModelConfig, list[str]]:
    """Read a `config.json`; returns the config and warnings about keys that are not known.

    Raises:
        BadInput: unreadable, not JSON, or impossible; lists all that is wrong.
    """
    document = read_json_object(path)
    return parse_config(document, path), unknown_keys(document, path)


def parse_config(document: dict[str, Any], where: Path | str, found: Sequence[str] = ()) -> ModelConfig:
    """Validate the content of a `config.json`.

    Args:
        found: problems that the caller knows of already; they are raised together with those found here.

    Raises:
        BadInput: with every problem.
    """
    problems = list(found)
    try:
        config = ModelConfig.model_validate(document)
    except ValidationError as error:
        problems += _explain(error)
    if problems:
        raise BadInput.listing(problems, where=where)
    return config


def _explain(error: ValidationError) -> list[str]:
    problems = []
    for item in error.errors(include_url=False):
        key = ".".join(str(part) for part in item["loc"])
        value = "" if item["type"] == "missing" or not key else f" (found {quoted(item['input'])})"
        for message in item["msg"].removeprefix("Value error, ").split("; "):
            problems.append(f"{key}: {message}{value}" if key else message)
    return problems


def unknown_keys(document: dict[str, Any], where: Path | str) -> list[str]:
    """One warning for each key that `ModelConfig` does not have, at any depth."""
    unknown = [key for key in document if key not in ModelConfig.model_fields]
    noise = document.get("noise") or {}
    unknown += [f"noise.{key}" for key in noise if key not in NoiseConfig.model_fields]
    for i, layer in enumerate(document.get("layers") or ()):
        unknown += [f"layers[{i}].{key}" for key in layer if key not in LayerConfig.model_fields]
    warnings = [f"{where}: unknown key {quoted(key)} is ignored" for key in unknown[:MOST_PROBLEMS]]
    if len(unknown) > MOST_PROBLEMS:
        warnings.append(f"{where}: {len(unknown) - MOST_PROBLEMS:,} more unknown keys are ignored")
    return warnings
