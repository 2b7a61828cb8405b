"""A backend as somebody may add one: float32 rows of one length, in a file of `torch.export`."""

from collections import Counter

import torch

from nf_edge.backends.base import Backend
from nf_edge.backends.coverage.coverage import Coverage
from nf_edge.backends.executorch.capture import capture
from nf_edge.backends.input_shape import INPUTS
from nf_edge.backends.lowering_report import LoweringReport
from nf_edge.backends.memory_plan import MemoryPlan, RuntimeMemory
from nf_edge.backends.support import Support
from nf_edge.backends.tensor_sizes import sizes_of

RUN = """\
Run from this folder, in Python:

```python
import torch

model = torch.export.load("{file}").module()
input_ids = torch.tensor([[{ids}]])
logits = model(input_ids, torch.ones_like(input_ids))
print({answer})
```
"""


class Tiny(Backend):
    support = Support(backend="tiny", runtime="torch", layers=(), dynamic_length=False)
    model_file = "model.pt2"
    library = "PyTorch"
    runtime_title = "PyTorch"
    attention_form = "as PyTorch computes it"
    operator_libraries = ()
    runtime_memory = RuntimeMemory()

    def specialise(self, model, recipe):
        pass

    def inputs(self, config, input_shape):
        return INPUTS

    def program(self, model, input_shape, cache):
        return model

    def lower(self, program, config, input_shape, recipe, path):
        torch.export.save(capture(program, input_shape), path)
        operators = sum(self.operators(path).values())
        return LoweringReport(Coverage(self.library, operators, 0, input_shape.length))

    def run_text(self, cached):
        return RUN

    def warm_up(self):
        pass

    def session(self, path, threads=None):
        return Loaded(torch.export.load(path).module())

    def decoder(self, path, capacity, threads=None):
        raise TypeError("this backend has no cache")

    def operators(self, path):
        graph = torch.export.load(path).graph
        return Counter(str(node.target) for node in graph.nodes if node.op == "call_function")

    def plan(self, path, config, input_shape):
        return account(config, input_shape, path.stat().st_size)

    def predict(self, config, input_shape, recipe):
        return account(config, input_shape, None)


def account(config, input_shape, size):
    """The memory of a model, whose file has `size` bytes where it exists."""
    sizes = sizes_of(config, input_shape.length)
    weights = 4 * (
        sum(rows * columns for rows, columns in sizes.linear.values()) + sizes.biases + sizes.others
    )
    embeddings = 4 * config.n_embd * (config.vocab_size + config.n_positions)
    return MemoryPlan(
        program=50_000 if size is None else size - weights - embeddings,
        weights=weights,
        embeddings=embeddings,
        mapped=0,
        loaded=weights + embeddings,
        cache=0,
        arenas=8 * sizes.hidden,
        workspace=0,
    )


class Loaded:
    def __init__(self, module):
        self._module = module

    def run(self, input_ids, attention_mask):
        with torch.no_grad():
            return self._module(torch.from_numpy(input_ids), torch.from_numpy(attention_mask)).numpy()
