"""List the operators of a model in ONNX Runtime, with the bytes of the activations that they compute."""

from dataclasses import dataclass
from typing import Literal

from nf_edge.backends.file_layout import EMBEDDINGS, HEAD_LAYER
from nf_edge.backends.onnx.allocation.tape import UNKNOWN, Tape, Value

Products = Literal["float32", "int8_dynamic", "int8_static", "int4"]
FLOAT, INTEGER = 4, 8
# `GroupQueryAttention`, for a cache with head sizes that are multiples of 8, never stores all scores.
GROUP_QUERY = 8


@dataclass(frozen=True)
class Run:
    """The sizes that determine which activations one run of a model allocates.

    Attributes:
        rows: number of rows that the run computes.
        tokens: number of tokens of each row.
        past: number of tokens in the cache before the run.
        layers: (heads, inner width) of each layer.
        hidden: width of the residual stream.
        head_size: width of a head.
        rank: rank of low-rank noise; 0 for other noise.
        noise: kind of the noise, such as `relative`.
        products: dtype in which the linear layers multiply.
        tables: whether embedding tables are quantized.
        gelu: whether the activation function is GELU, which may add the bias of the layer before it.
        outputs: number of logits of one token.
        cache_bytes: bytes of a cached value; 0 for a model without a cache.
        symmetric: whether keys and queries share a projection.
        causal: whether tokens attend only to earlier ones.
        all_logits: whether the model's output has the logits of all tokens.
        one_token: whether the last layer computes only one token.
    """

    rows: int
    tokens: int
    past: int
    layers: tuple[tuple[int, int], ...]
    hidden: int
    head_size: int
    rank: int
    noise: str
    products: Products
    tables: bool
    gelu: bool
    outputs: int
    cache_bytes: int
    symmetric: bool
    causal: bool
    all_logits: bool
    one_token: bool = False

    @property
    def biases_first(self) -> bool:
        """Whether the lookups of relative noise for all layers come before the first layer.

        The exporter places them there.  ONNX Runtime's int8 quantizers sort the operators, so each lookup
        moves to its layer.
        """
        return self.noise == "relative" and self.products in ("float32", "int4")

    @property
    def parts(self) -> int:
        """The number of results of a layer's first projection, such as query, key and value."""
        return 2 if self.symmetric else 3

    @property
    def bias(self) -> int:
        """Bytes of the score bias of all heads, in the layer with the most heads; all rows share it."""
        return FLOAT * max(heads for heads, _ in self.layers) * self.tokens * self.total

    @property
    def scores(self) -> int:
        """Bytes of the attention scores of all heads and rows, in the layer with the most heads."""
        return self.rows * self.bias

    @property
    def mask(self) -> list[int]:
        """Bytes of the mask of all pairs of tokens; a bidirectional model has no such block."""
        return [FLOAT * self.rows * self.tokens * self.total] if self.causal else []

    @property
    def total(self) -> int:
        return self.past + self.tokens


def tape_of(run: Run) -> Tape:
    """Describe the operators of a run, in the order in which ONNX Runtime executes them."""
    tape = Tape()
    tape.layer = EMBEDDINGS
    # The length of the input, the first number that the graph computes.
    tape.one([], ("length", INTEGER))
    complete = run.layers[:-1] if run.one_token else run.layers
    # The runtime's order: the biases come before the embedding, if they come first.
    biases = _Biases(tape, run, len(complete))
    residual = _embedded(tape, run)
    for block, (heads, inner) in enumerate(complete):
        tape.layer = f"transformer.h.{block}.attn"
        residual = _attention(tape, run, residual, heads, biases)
        tape.layer = f"transformer.h.{block}.mlp"
        residual = _mlp(tape, run, residual, inner)
    tape.layer = f"transformer.h.{len(complete)}" if run.one_token else "transformer.ln_f"
    norm = tape.one([residual], _tokens(run, run.hidden))
    if run.one_token:
        width = run.layers[-1][0] * run.head_size
        joined = _linear(tape, run, norm, run.hidden, run.parts * width)
        split = tape.add([joined], [_tokens(run, width)] * run.parts)
        # Of the last layer, only keys and values are computed for all tokens.
        norm = tape.one(split, ("one token", FLOAT * run.rows * width), scratch=[_tokens(run, width)[1]] * 2)
    tape.layer = HEAD_LAYER
    logits = FLOAT * run.rows * run.outputs * (run.tokens if run.all_logits else 1)
    tape.add([norm, *biases.sizes], [("logits", logits)], kept=True)
    return tape


class _Biases:
    """Adds the lookups of relative noise: score biases, gathered by the distances of all pairs of tokens."""

    def __init__(self, tape: Tape, run: Run, layers: int) -> None:
        self._tape, self._run = tape, run
        self._relative = run.noise == "relative"
        self._distances: list[Value] = []
        early = layers if self._relative and run.biases_first else 0
        self._early = [self._gathered() for _ in range(early - 1)]
        self.sizes: list[Value] = []
        """A shape that all layers read.  It comes before the last early lookup, where it splits a gap."""
        if early:
            self.sizes = [tape.one([], ("sizes", 3 * INTEGER))]
            self._early.append(self._gathered())

    def next(self) -> list[Value]:
        """A list with the score bias of the next layer; empty without relative noise."""
        if not self._relative:
            return []
        return [self._early.pop() if self._run.biases_first else self._gathered()]

    def _gathered(self) -> Value:
        pairs = INTEGER * self._run.tokens * self._run.total
        if not self._distances:
            differences = self._tape.one([], ("pairs", pairs))
            self._distances = [self._tape.one([differences], ("pairs", pairs))]
        # `GatherND` keeps the offset of each pair outside the arena (gather_nd.cc).
        gathered = self._tape.one(self._distances, ("gathered bias", self._run.bias), heap=pairs)
        return self._tape.one([gathered], ("bias", self._run.bias))


def _tokens(run: Run, width: int) -> tuple[str, int]:
    return f"tokens {width}", FLOAT * run.rows * run.tokens * width


def _heads(run: Run, heads: int, width: int) -> tuple[str, int]:
    return f"heads {heads} {width}", FLOAT * run.rows * run.tokens * heads * width


def _embedded(tape: Tape, run: Run) -> Value:
    shape = _tokens(run, run.hidden)
    # All rows share their positions.
    positions = _looked_up(tape, run, ("positions", shape[1] // run.rows), by_group=False)
    tokens = _looked_up(tape, run, shape, by_group=run.products == "int4")
    return tape.one([tokens, positions], shape)


def _looked_up(tape: Tape, run: Run, out: tuple[str, int], by_group: bool) -> Value:
    """Add the lookup of a table's rows as float32; `out` is the shape tag and the bytes of the result."""
    if not run.tables:
        return tape.one([], out)
    if by_group:
        # `GatherBlockQuantized` computes the floats, with no known shape.
        return tape.one([], (UNKNOWN, out[1]))
    rows = tape.one([], (f"quantized {out[0]}", out[1] // FLOAT))
    floats = tape.one([rows], out)
    scales = tape.one([], (UNKNOWN, out[1] // run.hidden))
    return tape.one([floats, scales], out)


def _linear(tape: Tape, run: Run, value: Value, inputs: int, outputs: int, biased: bool = True) -> Value:
    """Add a linear layer, and return its result.

    An int8 product first quantizes its input: a dynamic one in a scratch buffer, a static one in an operator.
    float32 and static products add the bias in an operator, which does not work in place.

    Args:
        biased: whether the layer adds its bias; otherwise the next operator does.
    """
    quantized = run.rows * run.tokens * inputs
    shape = _tokens(run, outputs)
    if run.products == "int8_static":
        value = tape.one([value], (f"quantized {_tokens(run, inputs)[0]}", quantized))
    if run.products in ("float32", "int8_static"):
        product = tape.one([value], shape)
        return tape.one([product], shape) if biased else product
    scratch = [quantized] if run.products == "int8_dynamic" else []
    return tape.one([value], shape, scratch=scratch)


def _attention(tape: Tape, run: Run, residual: Value, heads: int, biases: _Biases) -> Value:
    width = heads * run.head_size
    norm = tape.one([residual], _tokens(run, run.hidden))
    joined = _linear(tape, run, norm, run.hidden, run.parts * width)
    split = tape.add([joined], [_tokens(run, width)] * run.parts)
    query = split[0]
    if run.noise in ("lowrank", "pairwise"):
        by_head = _heads(run, heads, run.head_size)
        turned = tape.one([query], by_head)
        if run.noise == "lowrank":
            low = tape.one([turned], _heads(run, heads, run.rank))
            added = tape.one([low], by_head)
            turned = tape.one([turned, added], by_head)
        else:
            turned = tape.one([turned], by_head)
        query = tape.one([turned], (f"{by_head[0]} turned", by_head[1]))
    inputs = [query, *split]
    inputs += biases.next()
    out = _tokens(run, width)
    if run.cache_bytes:
        kept = heads * run.head_size * run.total * run.cache_bytes
        tape.add(inputs, [("present", kept)] * 2, kept=True)
    # Queries, keys and values by head.
    scratch = [out[1]] * 3
    if not run.cache_bytes or run.head_size % GROUP_QUERY:
        # The mask, the scores, and the outputs by head (`ApplyAttention` in attention_cpu_base.h).
        scratch += [*run.mask, run.scores, out[1]]
    attended = tape.one(inputs, out, scratch=scratch)
    projected = _linear(tape, run, attended, width, run.hidden)
    return tape.one([residual, projected], _tokens(run, run.hidden))


def _mlp(tape: Tape, run: Run, residual: Value, inner: int) -> Value:
    norm = tape.one([residual], _tokens(run, run.hidden))
    # `FastGelu` and `BiasGelu` add the bias of a product in a scratch buffer (bias_gelu.cc).
    fused = run.gelu and run.products != "int8_dynamic"
    wide = _linear(tape, run, norm, run.hidden, inner, biased=not fused)
    wide = tape.one([wide], _tokens(run, inner), scratch=[wide.bytes] if fused else [])
    projected = _linear(tape, run, wide, inner, run.hidden)
    return tape.one([residual, projected], _tokens(run, run.hidden))
