"""The graph of a program in which XNNPACK computes attention as two matrix products.

XNNPACK delegates compute linear layers, products, sums and the softmax.  ExecuTorch runs the nodes between
the delegates.
"""

from nf_edge.backends.executorch.arena.graph import Node
from nf_edge.backends.executorch.arena.program import BOOL, FLOAT, LONG, Program


class MatmulProgram(Program):
    """Builds the graph of a program in which XNNPACK computes attention as two matrix products.

    ExecuTorch computes each layer's norms, split and copies.  Delegates compute the operators between them.
    """

    visible: Node

    def constants(self) -> None:
        kind = self.config.noise.kind
        layers = self.layers if kind in ("lowrank", "pairwise") else []
        self.noise = [self.graph.constant() for _ in layers]

    def masks(self) -> None:
        if self.config.n_layer > 1 or not self.one:
            self.visible = self._mask(self.positions, self.tokens, self.config.causal)

    def layer(self, layer: int, x: Node, one: bool) -> Node:
        rows = 1 if one else self.tokens
        positions, mask = self._output_positions() if one else (self.positions, self.visible)
        residual = self.residual(x) if one else x
        heads = self._projected(layer, self.norm(x, self.tokens))
        attend = self.attend_one if one else self.attend
        x = attend(layer, heads, positions, mask, residual)
        return self.graph.delegate([self.norm(x, rows), x], self.hidden(rows))

    def view(self, of: Node) -> Node:
        """Add a view whose sizes depend on the number of tokens, as an operator outside delegates."""
        return self.graph.view(of)

    def norm(self, x: Node, rows: int) -> Node:
        return self.graph.select(self.graph.op([x], self.hidden(rows), FLOAT * rows, FLOAT * rows))

    def heads_size(self, layer: int, rows: int = 0) -> int:
        """Bytes of a layer's keys, values or queries, float32 [1, rows, H, d].

        Args:
            rows: the number of tokens; 0 is all T tokens.
        """
        return FLOAT * (rows or self.tokens) * self.layers[layer][0] * self.config.head_size

    def _projected(self, layer: int, normed: Node) -> list[Node]:
        """Add the projection to K and V, or to Q, K and V if attention is standard.

        The result is a view of each, [1, T, H, d].
        """
        graph, size = self.graph, self.heads_size(layer)
        parts = 2 if self.config.attention == "symmetric" else 3
        split = graph.op([graph.delegate([normed], parts * size)], *[size] * parts)
        return [self.view(part) for part in [graph.select(split, index) for index in range(parts)]]

    def attend(self, layer: int, heads: list[Node], positions: Node, mask: Node, residual: Node) -> Node:
        """Add attention of all tokens, its output projection and the residual sum, and return the sum's node.

        Args:
            heads: the nodes of K and V; of Q, K and V if attention is standard.
            positions: the positions of the queries, which relative noise reads.
            mask: the additive mask of keys.
            residual: the residual stream.
        """
        graph, size = self.graph, self.heads_size(layer)
        scores_size = FLOAT * self.layers[layer][0] * self.tokens**2
        *_, k = transposed = graph.delegate_of(heads[:-1], *[size] * (len(heads) - 1))
        q = graph.delegate([k, self._noisy(layer, k)], size) if self.noise else transposed[0]
        keys = self._kept(layer, 0, k)
        bias = self.bias(layer, positions, self.tokens)
        query = graph.view(q)
        scores = graph.view(graph.delegate([keys or graph.view(k), query], scores_size))
        v, shares = graph.delegate_of([heads[-1], scores, *bias, mask], size, scores_size)
        values = self._kept(layer, 1, v) or graph.view(v)
        y = graph.view(graph.delegate([values, graph.view(shares)], size))
        return graph.delegate([graph.view(graph.delegate([y], size)), residual], self.hidden(self.tokens))

    def attend_one(self, layer: int, heads: list[Node], positions: Node, mask: Node, residual: Node) -> Node:
        """Add attention of the output token, its output projection and the residual sum; return the sum's
        node.

        The arguments are those of `attend`.
        """
        graph, size = self.graph, self.heads_size(layer)
        if self.noise:
            k = graph.delegate([heads[0]], size)
            v, q = graph.delegate_of([heads[1], k, self._noisy(layer, k)], size, size)
        else:
            k, v, q = graph.delegate_of(heads, size, size, size)
        q = self.output_token(q, self.heads_size(layer, 1))
        keys, values = self._kept(layer, 0, k), self._kept(layer, 1, v)
        bias = self.bias(layer, positions, 1)
        read = [keys or graph.view(k), values or graph.view(v), q, *bias, mask, residual]
        return graph.delegate(read, self.hidden(1))

    def _kept(self, layer: int, which: int, new: Node) -> Node | None:
        """Add the write of new keys (`which` 0) or values (1) to a layer's cache; return the updated cache.

        None if the program has no cache.
        """
        if not self.cached:
            return None
        return self.graph.view(self.cache[layer][which], self.positions, new)

    def _noisy(self, layer: int, k: Node) -> Node:
        """Add the products that apply the noise to K; return a view of the result, [1, H, T, d]."""
        return self.graph.view(self.graph.delegate(self.noise_factors(layer, k), self.heads_size(layer)))

    def noise_factors(self, layer: int, k: Node) -> tuple[Node, Node]:
        """Add the operators that apply the noise to K, except the last product; return that product's
        operands.

        They are a noise matrix, and K or, for low-rank noise, the product of K and the other matrix.
        """
        graph, d = self.graph, self.config.head_size
        heads, _ = self.layers[layer]
        copy = self.view(graph.op([k], self.heads_size(layer)))
        if self.config.noise.kind == "pairwise":
            return graph.op([self.noise[layer]], FLOAT * heads * d * d), copy
        rank = self.config.noise.rank or 0
        sizes = FLOAT * heads * d * rank, FLOAT * heads * self.tokens * rank
        a = graph.op([self.noise[layer]], sizes[0])
        b, low = graph.delegate_of([a, copy], *sizes)
        right = graph.op([b], sizes[0])
        return right, self.view(graph.op([self.view(low)], sizes[1]))

    def bias(self, layer: int, positions: Node, queries: int) -> list[Node]:
        """Add the lookup of relative noise for the queries, float32 [H, queries, T]; [] for other noise."""
        if self.config.noise.kind != "relative":
            return []
        graph, heads, keys = self.graph, self.layers[layer][0], self.tokens
        column = graph.op([positions], LONG * queries)
        distance = graph.op([graph.op([column, self._keys()], LONG * queries * keys)], LONG * queries * keys)
        return [graph.op([distance], FLOAT * heads * queries * keys)]

    def _mask(self, positions: Node, queries: int, causal: bool) -> Node:
        """Add the additive mask of keys, float32 [1, 1, queries or 1, T]; `causal` also hides later keys."""
        graph, keys, visible, rows = self.graph, self.tokens, None, 1
        if causal:
            rows = queries
            row = graph.op([self._keys()], LONG * keys)
            visible = graph.op([row, graph.op([positions], LONG * queries)], BOOL * rows * keys)
            for _ in range(2):
                visible = graph.op([visible], BOOL * rows * keys)
        if self.mask is not None:
            real = graph.op([graph.op([self.mask], LONG * keys)], LONG * keys)
            real = graph.op([real], BOOL * keys)
            visible = real if visible is None else graph.op([visible, real], BOOL * rows * keys)
        assert visible is not None
        values = [graph.op((), FLOAT), graph.op((), FLOAT)]
        return graph.op([visible, *values], FLOAT * rows * keys)

    def _keys(self) -> Node:
        """Add the positions of the keys, int64 [T]."""
        return self.graph.op([] if self.cached else self.length, LONG * self.tokens)

    def _output_positions(self) -> tuple[Node, Node]:
        """Add and return two nodes: the position of the token that the last layer computes, and its keys'
        mask.
        """
        graph, relative = self.graph, self.config.noise.kind == "relative"
        self.find_last()
        if self.last is not None:
            mask = self._mask(self.last, 1, causal=False)
            return graph.op([self.last], LONG) if relative else self.last, mask
        if not (self.config.causal or relative):
            return self.positions, self._mask(self.positions, 1, causal=False)
        position = graph.op([self.positions], LONG)
        return position, self._mask(position, 1, self.config.causal)
