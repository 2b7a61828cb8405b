"""The schema of `config.json` in a NoiseFormer checkpoint."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from nf_edge.core.yaml_schema import booleans_as_text

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
        raise ValueError("must be a token id (a whole number)")
    return value


def _tokens(value: Any) -> Any:
    if value is None or type(value) is int:
        return value
    if not isinstance(value, list | tuple) or not value or any(type(item) is not int for item in value):
        raise ValueError("must be a token id (a whole number) or a list of token ids")
    return tuple(dict.fromkeys(value))


# Pydantic's own int would also accept the text "1" and 1.0.
TokenId = Annotated[int | None, BeforeValidator(_token)]
TokenIds = Annotated[int | tuple[int, ...] | None, BeforeValidator(_tokens)]


class _Open(BaseModel):
    """Base of frozen models that ignore unknown keys; NaN, Inf and booleans are refused for numbers."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False, protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _refuse_booleans(cls, document: Any) -> Any:
        return booleans_as_text(document, cls.model_fields)


class NoiseConfig(_Open):
    """The learned noise on the scores; only `lowrank` has a `rank`."""

    kind: NoiseKind = "none"
    rank: int | None = None


class LayerConfig(_Open):
    """Sizes of one layer after structured pruning; None means the size of the whole model."""

    n_head: int | None = None
    n_inner: int | None = Field(None, ge=1)


class ModelConfig(_Open):
    """Shape and kind of a NoiseFormer.  Keys that also exist in Hugging Face's GPT-2 have the same names."""

    model_type: Literal["noiseformer"] = "noiseformer"
    architectures: tuple[Literal["NoiseFormerForCausalLM", "NoiseFormerForSequenceClassification"]]
    vocab_size: int = Field(ge=1)
    n_positions: int = Field(ge=1)
    n_embd: int = Field(ge=1)
    # The limit refuses damaged files, because nf-edge lists every tensor of every layer.
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
            problems.append(f"n_embd ({self.n_embd}) must be a multiple of n_head ({self.n_head})")
        if self.is_language_model and not self.causal:
            problems.append("causal must be true for a language model")
        if self.attention == "standard" and self.noise.kind != "none":
            problems.append(f"noise.kind must be none with standard attention, not {self.noise.kind}")
        rank = self.noise.rank
        if self.noise.kind == "lowrank" and not (rank and 1 <= rank <= self.head_size):
            problems.append(f"noise.rank must be from 1 to the head size {self.head_size}, not {rank}")
        if not self.is_language_model and self.num_labels is None:
            problems.append("num_labels is required for a classifier (1 means regression)")
        labels = self.num_labels or 0
        if self.id2label is not None and not (
            len(self.id2label) == labels and all(0 <= label < labels for label in self.id2label)
        ):
            problems.append(f"id2label must name the labels 0 to {labels - 1}")
        if self.problem_type == "single_label_classification" and self.num_labels == 1:
            problems.append(
                "problem_type must be regression or multi_label_classification if num_labels is 1, not "
                "single_label_classification"
            )
        problems += [
            f"{key} must be below vocab_size {self.vocab_size}, not {token}"
            for key, tokens in self.special_tokens.items()
            for token in tokens
            if not 0 <= token < self.vocab_size
        ]
        if self.layers is not None and len(self.layers) != self.n_layer:
            problems.append(f"layers must have n_layer = {self.n_layer} entries, not {len(self.layers)}")
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
        """Width d of a head; structured pruning removes whole heads, so all have this width."""
        return self.n_embd // self.n_head

    @property
    def layer_sizes(self) -> list[tuple[int, int]]:
        """The pair (n_head, n_inner) of every layer, in order."""
        inner = self.n_inner or 4 * self.n_embd
        layers = self.layers or (LayerConfig(),) * self.n_layer
        return [(layer.n_head or self.n_head, layer.n_inner or inner) for layer in layers]

    @property
    def task(self) -> Task:
        """The task: `problem_type` if given, otherwise derived from the number of labels."""
        if self.is_language_model:
            return "language modelling"
        if self.problem_type is not None:
            return TASKS[self.problem_type]
        return "regression" if self.num_labels == 1 else "classification"

    @property
    def has_label(self) -> bool:
        """Whether each row of data needs exactly one label: a class, or a regression's number."""
        return self.task == "classification" or (self.task == "regression" and self.num_labels == 1)

    @property
    def kind(self) -> str:
        """The task and the number of outputs in words, such as "classifier of 10 labels"."""
        if self.is_language_model:
            return "language model"
        if self.task == "regression":
            return "regression" if self.num_labels == 1 else f"regression of {self.num_labels} numbers"
        labels = "1 label" if self.num_labels == 1 else f"{self.num_labels} labels"
        return f"{self.task.replace('classification', 'classifier')} of {labels}"

    @property
    def end_tokens(self) -> tuple[int, ...]:
        """The tokens that end a text; the first one also separates documents in training."""
        tokens = self.eos_token_id
        if tokens is None:
            return ()
        return tokens if isinstance(tokens, tuple) else (tokens,)

    @property
    def special_tokens(self) -> dict[str, tuple[int, ...]]:
        """Map each key of a special token in `config.json` to its token ids."""
        single = {"pad_token_id": self.pad_token_id, "bos_token_id": self.bos_token_id}
        tokens = {key: () if token is None else (token,) for key, token in single.items()}
        return {**tokens, "eos_token_id": self.end_tokens}

    @property
    def pooled_token(self) -> Pooling:
        """The token that a classifier pools, or "mean".

        This is `pooling` if given, otherwise "last" for a causal model and "first" for a bidirectional model.
        Without a pad token, "last_not_pad" becomes "last".
        """
        if self.pooling == "last_not_pad" and self.pad_token_id is None:
            return "last"
        return self.pooling or ("last" if self.causal else "first")

    @property
    def outputs_one_token(self) -> bool:
        """Whether the last layer of a classifier computes outputs for the pooled token only.

        It computes outputs for all tokens in three cases:

        - "mean" pooling
        - "first" in a causal model, where the first token sees only itself
        - "last_not_pad" in a bidirectional model, where attention also sees the pad tokens at the end
        """
        return self.pooled_token in ("last", "last_not_pad" if self.causal else "first")

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape, by name, of every tensor that a checkpoint must have; weights are [out, in]."""
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
        """Map each module with a weight matrix to its shape: [out, in] of linear layers and a tied head,
        [rows, columns] of embedding tables.
        """
        shapes = {
            name.removesuffix(".weight"): (shape[0], shape[1])
            for name, shape in self.tensor_shapes().items()
            if name.endswith(".weight") and len(shape) == 2
        }
        if self.is_language_model and self.tie_word_embeddings:
            shapes["lm_head"] = shapes["transformer.wte"]
        return shapes

    def optional_tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes, by name, of tensors that training may add to a checkpoint; inference ignores them."""
        return {
            f"transformer.h.{i}.attn.noise.log_sigma": (heads,)
            for i, (heads, _) in enumerate(self.layer_sizes)
        }

    def noise_shapes(self, heads: int) -> dict[str, tuple[int, ...]]:
        """Shapes of the noise parameters of a layer with this many heads, by name."""
        d = self.head_size
        if self.noise.kind == "lowrank":
            return {"a": (heads, d, self.noise.rank or 0), "b": (heads, d, self.noise.rank or 0)}
        if self.noise.kind == "pairwise":
            return {"p": (heads, d, d)}
        if self.noise.kind == "relative":
            return {"bias": (heads, self.n_positions)}
        return {}

    def to_json(self) -> dict[str, Any]:
        """The content of `config.json`, without keys that are None."""
        return self.model_dump(mode="json", exclude_none=True)
