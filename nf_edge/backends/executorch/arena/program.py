"""Describe a NoiseFormer as the graph that ExecuTorch plans: the parts that all backends have in common."""

from abc import ABC, abstractmethod

from nf_edge.backends.executorch.arena.graph import Graph, Node, PlannedTensor
from nf_edge.backends.input_shape import InputShape
from nf_edge.model import ModelConfig

# Bytes of a float32, of an int64 and of a bool.
FLOAT, LONG, BOOL = 4, 8, 1


class Program(ABC):
    """Builds the graph that ExecuTorch plans for one program.  Attributes with a dtype are nodes of the
    graph.

    Attributes:
        graph: all nodes.
        tokens: the number of tokens T.
        width: the width D of the residual stream.
        layers: heads and inner width of each layer.
        one: whether the last layer computes only one token.
        mask: the mask of keys, int64 [1, T]; None with a cache.
        pooled: the mask of tokens that pooling considers, int64 [1, T]; None with a cache.
        ids: token ids, int64 [1, T].
        start: the input `start`, int64 [1]; None without a cache.
        length: a list of the node that computes the number of tokens; empty if the number is fixed.
        cache: nodes of each layer's keys and values, with scales if they are int8; empty without a cache.
        positions: positions of the tokens, int64 [T].
        last: index of the last real token, int64 [1]; None if the graph does not compute it.
    """

    positions: Node
    last: Node | None = None

    def __init__(self, config: ModelConfig, input_shape: InputShape, int8_cache: bool = False) -> None:
        self.config, self.cached, self.graph = config, input_shape.cached, Graph()
        self.tokens, self.width, self.layers = input_shape.length, config.n_embd, config.layer_sizes
        self.one = input_shape.outputs_one_token(config)
        self.constants()
        self.cache: list[list[Node]] = []
        if self.cached:
            self.cache = [self._layer_cache(heads, int8_cache) for heads, _ in self.layers]
        self.ids = self.graph.input(LONG * self.tokens)
        second = self.graph.input(LONG if self.cached else LONG * self.tokens)
        self.start: Node | None = second if self.cached else None
        self.mask: Node | None = None if self.cached else second
        self.pooled = self.mask
        dynamic = input_shape.dynamic_length and self.tokens > 1
        self.length = [self.graph.op([self.ids if self.cached else second])] if dynamic else []

    def tensors(self) -> list[PlannedTensor]:
        """The tensors in the arena, with lifetimes, in the order of their creation."""
        if self.mask is not None and self.config.pooled_token == "last_not_pad":
            self._hide_last_pads(self.mask)
        x = self._embedded()
        for layer in range(self.config.n_layer):
            x = self.layer(layer, x, self.one and layer == self.config.n_layer - 1)
        rows = 1 if self.one else self.tokens
        x = self.norm(x, rows)
        logits = self._language_head(x, rows) if self.config.is_language_model else self._score(x, rows)
        written = [buffer for buffers in self.cache for buffer in buffers]
        return self.graph.tensors([*written, logits])

    @abstractmethod
    def constants(self) -> None:
        """Add the weights that operators outside delegates read; their nodes come first in the graph."""

    @abstractmethod
    def masks(self) -> None:
        """Add the nodes that compute the attention masks for all layers."""

    @abstractmethod
    def layer(self, layer: int, x: Node, one: bool) -> Node:
        """Add a layer: the residual stream x [1, T, D] → [1, T, D], or [1, 1, D] if `one`."""

    @abstractmethod
    def norm(self, x: Node, rows: int) -> Node:
        """Add a layer norm of x, [1, rows, D]."""

    def hidden(self, rows: int) -> int:
        """Bytes of the hidden states of `rows` tokens, float32 [1, rows, D]."""
        return FLOAT * rows * self.width

    def find_last(self) -> None:
        """Add the index of the last real token, if the last layer computes this token."""
        if self.mask is not None and self.config.pooled_token != "first":
            self.last = self.graph.op([self.graph.op([self.mask], LONG)], LONG)

    def residual(self, x: Node) -> Node:
        """The node that a last layer for one token adds its attention output to.

        It is that token of x [1, T, D].  If the token's index is fixed, it is x itself, because XNNPACK's
        delegate takes the token.
        """
        selected_inside = self.last is None and not self.length and self.tokens > 1
        return x if selected_inside else self.output_token(x, self.hidden(1))

    def output_token(self, rows: Node, size: int) -> Node:
        """Add the selection of the output token from rows [1, T, ...]; `size` is the bytes of the result."""
        if self.last is None:
            return self.graph.op([rows], size)
        selected = self.graph.op([rows, self.graph.op((), LONG), self.last], size)
        return self.graph.op([selected], size)

    def _hide_last_pads(self, mask: Node) -> None:
        """Add the nodes that hide pad tokens at a text's end from pooling and, if causal, from attention."""
        graph, row = self.graph, LONG * self.tokens
        positions = graph.op(self.length, row)
        counts = graph.op([graph.op([self.ids], BOOL * self.tokens)], row)
        last = graph.op([graph.op([positions, graph.op([counts, mask], row)], row)], LONG)
        self.pooled = graph.op([graph.op([positions, last], BOOL * self.tokens)], row)
        if self.config.causal:
            self.mask = self.pooled

    def _layer_cache(self, heads: int, int8: bool) -> list[Node]:
        rows, size = heads * self.tokens, self.config.head_size
        sizes = [rows * size, FLOAT * rows] if int8 else [FLOAT * rows * size]
        return [self.graph.buffer(bytes_) for bytes_ in sizes * 2]

    def _embedded(self) -> Node:
        graph, hidden = self.graph, self.hidden(self.tokens)
        self.positions = graph.op(self.length, LONG * self.tokens)
        if self.start is not None:
            self.positions = graph.op([self.start, self.positions], LONG * self.tokens)
        tokens = graph.op([self.ids], hidden)
        positions = graph.op([self.positions], hidden)
        x = graph.delegate([tokens, positions], hidden)
        self.masks()
        return x

    def _language_head(self, x: Node, rows: int) -> Node:
        return self.graph.delegate([x], FLOAT * rows * self.config.vocab_size)

    def _score(self, x: Node, rows: int) -> Node:
        graph, labels, row = self.graph, FLOAT * (self.config.num_labels or 0), self.hidden(1)
        assert self.pooled is not None
        if self.config.pooled_token == "mean":
            weight = graph.op([self.pooled], FLOAT * self.tokens)
            weighted = graph.delegate([weight, x], self.hidden(rows))
            mean = graph.op([graph.op([weighted], row)], row)
            return graph.delegate([mean, graph.op([weight], FLOAT)], labels)
        if rows > 1 and self.config.pooled_token != "first":
            last = graph.op([graph.op([self.pooled], LONG)], LONG)
            return graph.delegate([graph.op([x, graph.op((), LONG), last], row)], labels)
        return graph.delegate([graph.op([x], row)], labels)
