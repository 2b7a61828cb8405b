"""Snippets of `RUN.md` for a model without a cache: one row, one answer."""

from nf_edge.artifact import htp_session
from nf_edge.model.config import Task

# What the logits of a row say: in words, in Python's `print`, and in C++.
ANSWERS: dict[Task, str] = {
    "classification": "the label of the largest logit; softmax gives their probabilities",
    "multi-label classification": "a sigmoid each; the labels above 0.5, whose logits are above 0, hold",
    "regression": "numbers, as they are",
}
PRINT_PYTHON: dict[Task, str] = {
    "classification": "int(logits[0].argmax())",
    "multi-label classification": "*(label for label, logit in enumerate(logits[0].tolist()) if logit > 0)",
    "regression": "*logits[0].tolist()",
    "language modelling": "int(logits[0, -1].argmax())",
}
LARGEST = '  std::printf("%ld\\n", static_cast<long>(std::max_element(last, last + classes) - last));'
PRINT_CPP: dict[Task, str] = {
    "classification": LARGEST,
    "multi-label classification": (
        "  for (long label = 0; label < classes; ++label) {\n"
        '    if (last[label] > 0) std::printf("%ld\\n", label);\n'
        "  }"
    ),
    "regression": (
        '  for (long i = 0; i < classes; ++i) {\n    std::printf("%g\\n", static_cast<double>(last[i]));\n  }'
    ),
    "language modelling": LARGEST,
}

PYTHON_EXECUTORCH = """\
```python
import torch
import executorch.kernels.quantized  # noqa: F401  registers the quantized operators
from executorch.runtime import Runtime
{operators}
method = Runtime.get().load_program("{file}").load_method("forward")
input_ids = torch.tensor([[{ids}]])
attention_mask = torch.ones_like(input_ids)
logits = method.execute([input_ids, attention_mask])[0]
print({answer})
```
"""

CPP_EXECUTORCH = """\
```cpp
#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <vector>

using namespace executorch::extension;

int main() {{
  std::vector<int64_t> input_ids = {{{ids}}};
  std::vector<int64_t> attention_mask(input_ids.size(), 1);
  const int length = static_cast<int>(input_ids.size());

  Module model("{file}");
  auto result = model.forward({{
      from_blob(input_ids.data(), {{1, length}}, executorch::aten::ScalarType::Long),
      from_blob(attention_mask.data(), {{1, length}}, executorch::aten::ScalarType::Long)}});
  if (!result.ok()) {{
    std::fprintf(stderr, "error %d\\n", static_cast<int>(result.error()));
    return 1;
  }}
  const auto logits = result->at(0).toTensor();
  const auto classes = logits.size(logits.dim() - 1);
  const float* last = logits.const_data_ptr<float>() + logits.numel() - classes;
{print}
}}
```
"""

CPP_BARE = """\
```cpp
#include <executorch/extension/data_loader/buffer_data_loader.h>
#include <executorch/runtime/executor/program.h>
#include <executorch/runtime/platform/runtime.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <iterator>

// xxd -i {file} | sed 's/^unsigned/alignas(16) const unsigned/' > model_pte.h
#include "model_pte.h"

using namespace executorch::runtime;
using executorch::aten::ScalarType;
using executorch::aten::Tensor;
using executorch::aten::TensorImpl;

// The program's tensors, as planned in the file.
alignas(16) static uint8_t arena[{arenas}];
// Scratch memory of kernels and delegates.
alignas(16) static uint8_t borrowed[{borrowed}];
// ExecuTorch's objects for the graph: measure how much your build needs.
alignas(16) static uint8_t graph[64 * 1024];

static int64_t input_ids[] = {{{ids}}};
static int64_t attention_mask[std::size(input_ids)];

int main() {{
  runtime_init();
  executorch::extension::BufferDataLoader loader(model_pte, model_pte_len);
  auto program = Program::load(&loader);
  if (!program.ok()) return 1;

  Span<uint8_t> arenas[] = {{{{arena, sizeof arena}}}};
  HierarchicalAllocator planned({{arenas, 1}});
  MemoryAllocator method_allocator(sizeof graph, graph), temporary(sizeof borrowed, borrowed);
  MemoryManager memory(&method_allocator, &planned, &temporary);
  auto method = program->load_method("forward", &memory);
  if (!method.ok()) {{
    std::printf("does not load: error %d\\n", static_cast<int>(method.error()));
    return 2;
  }}

  std::fill(std::begin(attention_mask), std::end(attention_mask), 1);
  TensorImpl::SizesType sizes[] = {{1, std::size(input_ids)}};
  TensorImpl::DimOrderType order[] = {{0, 1}};
  TensorImpl tokens(ScalarType::Long, 2, sizes, input_ids, order);
  TensorImpl mask(ScalarType::Long, 2, sizes, attention_mask, order);
  if (method->set_input(Tensor(&tokens), 0) != Error::Ok ||
      method->set_input(Tensor(&mask), 1) != Error::Ok || method->execute() != Error::Ok) {{
    return 3;
  }}
  const auto logits = method->get_output(0).toTensor();
  const auto classes = logits.size(logits.dim() - 1);
  const float* last = logits.const_data_ptr<float>() + logits.numel() - classes;
{print}
}}
```
"""

PYTHON_ONNX = """\
```python
import os

import numpy as np

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the import: the runtime reports to its maker otherwise
import onnxruntime

session = onnxruntime.InferenceSession("{file}", providers=["CPUExecutionProvider"])
input_ids = np.array([[{ids}]])
attention_mask = np.ones_like(input_ids)
(logits,) = session.run(["logits"], {{"input_ids": input_ids, "attention_mask": attention_mask}})
print({answer})
```

From C++, Java, Swift or C# the names, dtypes and shapes are the same.
"""

PYTHON_HTP = f"""\
```python
{htp_session.OPEN}\
input_ids = np.array([[{{ids}}]])
attention_mask = np.ones_like(input_ids)
(logits,) = session.run(["logits"], {{{{"input_ids": input_ids, "attention_mask": attention_mask}}}})
print({{answer}})
```

From C++, Java or C# the names, dtypes and shapes are the same.
"""
