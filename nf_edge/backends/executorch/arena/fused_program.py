"""The graph of a program with nf-edge's operators for attention, norms and GELU."""

from nf_edge.backends.executorch.arena.graph import Node
from nf_edge.backends.executorch.arena.program import FLOAT, LONG, Program


class FusedProgram(Program):
    """Builds the graph of a program in which nf-edge's operators compute norms, attention and gelu_new.

    XNNPACK delegates compute the linear layers and residual sums.
    """

    def constants(self) -> None:
        return

    def masks(self) -> None:
        self.lengths = [] if self.mask is None else [self.graph.op([self.mask], LONG)]

    def layer(self, layer: int, x: Node, one: bool) -> Node:
        graph, rows = self.graph, 1 if one else self.tokens
        heads, inner = self.layers[layer]
        width = heads * self.config.head_size
        parts = 2 if self.config.attention == "symmetric" else 3
        if one:
            self.find_last()
        residual = self.residual(x) if one else x
        projected = graph.delegate([self.norm(x, self.tokens)], FLOAT * self.tokens * parts * width)
        kept = [*self.cache[layer], self.start] if self.start is not None else self.lengths
        attention = graph.op([projected, *kept], FLOAT * rows * width)
        x = graph.delegate([attention, residual], self.hidden(rows))
        normed = self.norm(x, rows)
        if self.config.activation_function != "gelu_new":
            return graph.delegate([normed, x], self.hidden(rows))
        widened = graph.delegate([normed], FLOAT * rows * inner)
        return graph.delegate([graph.op([widened], FLOAT * rows * inner), x], self.hidden(rows))

    def norm(self, x: Node, rows: int) -> Node:
        return self.graph.op([x], self.hidden(rows))
