"""`RUN.md`: how to call this very artifact, in snippets that run as they stand."""

from nf_edge.artifact.manifest import Interface, Manifest

PYTHON_EXECUTORCH = """\
```python
import torch
import executorch.kernels.quantized  # noqa: F401  registers the quantized operators
from executorch.runtime import Runtime

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

Link `executorch`, the extensions `module`, `data_loader` and `tensor`, and, so that they register
themselves, the operator libraries in whole (`--whole-archive`, or `--no-as-needed` where they are shared):
{libraries}.
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


def run_guide(manifest: Manifest) -> str:
    """The text of `RUN.md`."""
    interface, requires = manifest.interface, manifest.requires
    example = _example_ids(interface, manifest.config.vocab_size)
    fields = {
        "file": manifest.model.name,
        "ids": ", ".join(map(str, example)),
        "answer": _answer(interface),
        "libraries": ", ".join(f"`{name}`" for name in requires.operator_libraries),
    }
    if requires.runtime == "executorch":
        title, snippets = (
            "ExecuTorch",
            (
                "## Python\n\n"
                + PYTHON_EXECUTORCH.format(**fields)
                + "\n## C++\n\n"
                + CPP_EXECUTORCH.format(**fields)
            ),
        )
    else:
        title, snippets = "ONNX Runtime", "## Python\n\n" + PYTHON_ONNX.format(**fields)
    return "\n".join(
        [
            f"# {manifest.checkpoint.name}, by {manifest.recipe.name}",
            "",
            f"{manifest.recipe.description}. Needs {title} {requires.version}"
            f"{' with the kernels of nf-edge' if requires.own_kernels else ', unmodified'}.",
            "",
            *_interface_lines(interface),
            "",
            "Run from this folder:",
            "",
            snippets,
        ]
    )


def _interface_lines(interface: Interface) -> list[str]:
    length = f"1 to {interface.length}" if interface.dynamic_length else f"exactly {interface.length}"
    batch = "any" if interface.any_batch else 1
    shape = ", ".join(map(str, interface.output_shape))
    lines = [
        "| | |",
        "|---|---|",
        f"| inputs | {', then '.join(f'`{name}`' for name in interface.inputs)}, "
        f"{interface.input_dtype} [batch, length] |",
        f"| batch | {batch} |",
        f"| length | {length} tokens |",
        f"| `attention_mask` | 1 for tokens, 0 for padding, which stands on the {interface.padding_side} |",
        f"| padding | {_padding(interface)} |",
        f"| output | `{interface.output}`, {interface.output_dtype} [{shape}] |",
    ]
    if interface.tokenizer:
        lines.append(f"| tokenizer | `{interface.tokenizer}` (Hugging Face tokenizers) |")
    if interface.id2label:
        labels = ", ".join(f"{i} {label}" for i, label in interface.id2label.items())
        lines.append(f"| labels | {labels} |")
    return lines


def _padding(interface: Interface) -> str:
    return "any token" if interface.pad_token_id is None else f"token {interface.pad_token_id}"


def _example_ids(interface: Interface, vocab_size: int) -> list[int]:
    length = min(8, interface.length) if interface.dynamic_length else interface.length
    return [i % vocab_size for i in range(length)]


def _answer(interface: Interface) -> str:
    if interface.task == "regression":
        return "float(logits[0, 0])"
    position = "0, -1" if interface.task == "language modelling" and interface.logits == "all" else "0"
    return f"int(logits[{position}].argmax())"
