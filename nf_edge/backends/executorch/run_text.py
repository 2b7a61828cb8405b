"""The part of `RUN.md` about running a `.pte`; names in braces are placeholders."""

from nf_edge.backends.run_text import CPP, PYTHON

PYTHON_ROWS = """\
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

PYTHON_CACHED = """\
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

CPP_ROWS = """\
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

CPP_CACHED = """\
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

If your application allocates the program's planned memory, it must zero that memory once: attention hides
unused positions only if they do not contain NaN. `Module` zeroes its memory.
"""

LINK = """
Link `executorch`, the extensions `module`, `data_loader` and `tensor`, and these operator libraries:
{libraries}.
The operator libraries register themselves only if they are linked completely: use `--whole-archive`, or
`--no-as-needed` for shared libraries.
"""


def run_text(cached: bool) -> str:
    """The instructions to run a file from Python and C++, with the operator libraries to link.

    Args:
        cached: whether the model has a key/value cache.
    """
    return PYTHON + (PYTHON_CACHED if cached else PYTHON_ROWS) + cpp_text(cached)


def cpp_text(cached: bool) -> str:
    """The instructions to run a file from C++, with the operator libraries to link.

    Args:
        cached: whether the model has a key/value cache.
    """
    return CPP + (CPP_CACHED if cached else CPP_ROWS) + LINK
