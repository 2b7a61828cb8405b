"""The graph of a program for rows of fixed length, in which XNNPACK computes attention.

XNNPACK accepts views with fixed sizes.  So one delegate computes both products of attention and the scores
between them.
"""

from nf_edge.backends.executorch.arena.graph import Node
from nf_edge.backends.executorch.arena.matmul_program import MatmulProgram


class FixedProgram(MatmulProgram):
    """Builds the graph of a program for rows of fixed length, in which XNNPACK computes attention.

    ExecuTorch computes each layer's norms, split, copies and selections; a few delegates compute the rest.
    """

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
        """The nodes of K, V and the query of the last real token, whose index depends on the input."""
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
        """The nodes that attention's delegate reads: the heads; or a noise matrix, its operand, V and K."""
        if not self.noise:
            return heads
        k = self.graph.delegate([heads[0]], self.heads_size(layer))
        noise, product = self.noise_factors(layer, k)
        return [noise, heads[1], k, product]
