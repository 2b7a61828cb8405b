"""Snippets of `RUN.md` for a language model with a cache: a prompt in one piece, then greedy steps."""

from nf_edge.artifact import htp_session

PYTHON_EXECUTORCH = """\
```python
import torch
import executorch.kernels.quantized  # noqa: F401  registers the quantized operators
from executorch.runtime import Runtime
{operators}
method = Runtime.get().load_program("{file}").load_method("forward")
input_ids = [{ids}]
logits = method.execute([torch.tensor([input_ids]), torch.tensor([0])])[0]
for position in range(len(input_ids), len(input_ids) + {steps}):
    token = int(logits[0, 0].argmax())
    print(token)
{stop_python}    logits = method.execute([torch.tensor([[token]]), torch.tensor([position])])[0]
```

{generator}
"""

CPP_EXECUTORCH = """\
```cpp
#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

using namespace executorch::extension;

// Feeds the tokens at `start` and those after it, and returns the likeliest next one.
int64_t next_token(Module& model, std::vector<int64_t> tokens, int64_t start) {{
  const int length = static_cast<int>(tokens.size());
  auto result = model.forward({{from_blob(tokens.data(), {{1, length}}, executorch::aten::ScalarType::Long),
                               from_blob(&start, {{1}}, executorch::aten::ScalarType::Long)}});
  if (!result.ok()) {{
    std::fprintf(stderr, "error %d\\n", static_cast<int>(result.error()));
    std::exit(1);
  }}
  const auto logits = result->at(0).toTensor();
  const float* first = logits.const_data_ptr<float>();
  return std::max_element(first, first + logits.numel()) - first;
}}

int main() {{
  const std::vector<int64_t> input_ids = {{{ids}}};
  Module model("{file}");
  int64_t token = next_token(model, input_ids, 0);
  int64_t position = static_cast<int64_t>(input_ids.size());
  for (int step = 0; step < {steps}; ++step) {{
    std::printf("%ld\\n", static_cast<long>(token));
{stop_cpp}    token = next_token(model, {{token}}, position++);
  }}
}}
```

Memory that you plan yourself for the program has to be zeroed once: positions that were never fed are hidden
from attention, but not if they hold NaN. `Module` does it.
"""

PYTHON_ONNX = """\
```python
import os

import numpy as np

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the import: the runtime reports to its maker otherwise
import onnxruntime

session = onnxruntime.InferenceSession("{file}", providers=["CPUExecutionProvider"])
names = [entry.name for entry in session.get_inputs() if entry.name.startswith("past_key_values.")]
shapes = {{entry.name: entry.shape for entry in session.get_inputs()}}
past = {{name: np.zeros((1, shapes[name][1], 0, shapes[name][3]), np.{cache_dtype}) for name in names}}


def feed(tokens, start):
    inputs = {{
        "input_ids": np.array([tokens]),
        "attention_mask": np.ones((1, start + len(tokens)), np.int64),
        "position_ids": np.arange(start, start + len(tokens))[None],
    }}
    logits, *present = session.run(None, inputs | past)
    past.update(zip(names, present))
    return int(logits[0, 0].argmax())


input_ids = [{ids}]
token = feed(input_ids, 0)
for position in range(len(input_ids), len(input_ids) + {steps}):
    print(token)
{stop_python}    token = feed([token], position)
```

{generator}From C++, Java, Swift or C# the names, dtypes and shapes are the same.
"""

PYTHON_HTP = f"""\
```python
{htp_session.OPEN}\
shapes = {{{{entry.name: entry.shape for entry in session.get_inputs()}}}}
names = [name for name in shapes if name.startswith("past_key_values.")]
past = {{{{name: np.zeros(shapes[name], np.{{cache_dtype}}) for name in names}}}}
chunk, positions = shapes["input_ids"][1], shapes[names[0]][2]


def feed(tokens, start):
    count = len(tokens)  # at most a chunk; longer prompts go in chunk by chunk
    inputs = {{{{
        "input_ids": np.array([[*tokens, *[0] * (chunk - count)]]),
        "attention_mask": (np.arange(positions) < start).astype(np.int64)[None],
        "position_ids": np.minimum(np.arange(start, start + chunk), positions - 1)[None],
    }}}}
    logits, *present = session.run(None, inputs | past)
    for name, new in zip(names, present):
        past[name][:, :, start : start + count] = new[:, :, :count]
    return int(logits[0, count - 1].argmax())


input_ids = [{{ids}}]
token = feed(input_ids, 0)
for position in range(len(input_ids), len(input_ids) + {{steps}}):
    print(token)
{{stop_python}}    token = feed([token], position)
```

From C++, Java or C# the names, dtypes and shapes are the same.
"""
