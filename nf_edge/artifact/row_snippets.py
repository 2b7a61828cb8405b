"""Snippets of `RUN.md` for a model without a cache: one row, one answer."""

from nf_edge.artifact import htp_session

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
  std::printf("%ld\\n", static_cast<long>(std::max_element(last, last + classes) - last));
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
