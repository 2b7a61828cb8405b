"""The graph of a program of fixed length whose attention is in XNNPACK.

XNNPACK takes views with fixed sizes.  So all products of a layer are in one delegate, with the scores inside.
"""

from nf_edge.backends.executorch.arena.graph import Node
from nf_edge.backends.executorch.arena.matmul_program import MatmulProgram


class FixedProgram(MatmulProgram):
    """A layer is norms and a split by ExecuTorch, and few delegates between them."""

    def view(self, of: Node) -> Node:
        return of

    def attend(self, layer: int, heads: list[Node], positions: Node, mask: Node, residual: Node) -> Node:
        bias = self.bias(layer, positions, self.tokens)
        return self.graph.delegate(
            [*self._operands(layer, heads), *bias, mask, residual], self.hidden(self.tokens)
        )

    def attend_one(self, layer: int, heads: list[Node], positions: Node, mask: Node, residual: Node) -> Node:
        operands = self._operands(layer, heads)
        if self.last is not None:
            operands = self._with_query(layer, operands)
        bias = self.bias(layer, positions, 1)
        return self.graph.delegate([*operands, *bias, mask, residual], self.hidden(1))

    def _with_query(self, layer: int, operands: list[Node]) -> list[Node]:
        """K, V and the query of the last real token, which ExecuTorch selects: its index is a value."""
        graph, size = self.graph, self.heads_size(layer)
        if self.noise:
            noise, v, k, product = operands
            query = graph.delegate([noise, product, k], size)
        elif self.config.attention == "symmetric":
            (k, query), v = graph.delegate_of(operands[:1], size, size), operands[1]
        else:
            query, (k, v) = graph.delegate(operands[:1], size), operands[1:]
        return [k, v, self.output_token(query, self.heads_size(layer, 1))]

    def _operands(self, layer: int, heads: list[Node]) -> list[Node]:
        """What the delegate of attention reads: the heads; with noise in the query, the noise, V, K and their
        product.
        """
        if not self.noise:
            return heads
        k = self.graph.delegate([heads[0]], self.heads_size(layer))
        noise, product = self.noise_factors(layer, k)
        return [noise, heads[1], k, product]
