"""The part of `RUN.md` about running a `.pte` without a file system; names in braces are placeholders."""

from collections.abc import Sequence

from nf_edge.backends.executorch.operator_libraries import ARCHIVES, LISTS, registered
from nf_edge.backends.run_text import CPP, code_names

CPP_BARE_METAL = """\
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

// Bytes of this program's pools on a 32-bit core.  On a 64-bit core, pointers are twice as large.
constexpr uint32_t kPointers = sizeof(void*) / 4;
// Tensors, and scratch memory of kernels.
alignas(16) static uint8_t planned_arena[{planned_arena}];
// The loaded program's objects.
alignas(16) static uint8_t method_pool[{method_allocator} * kPointers];
// Scratch memory of the loader and of delegates.  If it is smaller, the loader takes more of `method_pool`.
alignas(16) static uint8_t temporary_pool[{temporary_allocator} * kPointers];

static int64_t input_ids[] = {{{ids}}};
static int64_t attention_mask[std::size(input_ids)];

int main() {{
  runtime_init();
  executorch::extension::BufferDataLoader loader(model_pte, model_pte_len);
  auto program = Program::load(&loader);
  if (!program.ok()) return 1;

  Span<uint8_t> arenas[] = {{{{planned_arena, sizeof planned_arena}}}};
  HierarchicalAllocator planned({{arenas, 1}});
  MemoryAllocator method_allocator(sizeof method_pool, method_pool);
  MemoryAllocator temporary(sizeof temporary_pool, temporary_pool);
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

LINK_BARE_METAL = """
The firmware needs this memory, without your application; the report explains the figures:

{memory}

The heap stays empty{heap}.

Build ExecuTorch with `-DCMAKE_BUILD_TYPE=MinSizeRel -DEXECUTORCH_ENABLE_LOGGING=OFF`. Log messages take
470 kB of flash, and ExecuTorch's preset `arm-baremetal` switches them on.

Link `executorch_core` and the extension `data_loader`{delegates}. Link the kernel archives
{archives} without `--whole-archive`, and register only the operators that `{file}` calls:

{registered}

ExecuTorch's CMake function `gen_selected_ops` writes this registration, one library for each operator list:
{lists}.
Pass the names as `ROOT_OPS`, separated by commas. ExecuTorch's `examples/arm/executor_runner` does so with
the names in `EXECUTORCH_SELECT_OPS_LIST`. Do not link the operator libraries ({libraries}): they register and
link all of their kernels. For `digits` on a Cortex-M7 that was 1.24 MB of code instead of 170 kB.
"""

BARE_METAL = CPP + CPP_BARE_METAL + LINK_BARE_METAL


def bare_metal_fields(libraries: Sequence[str], operators: Sequence[str]) -> dict[str, str]:
    """Map the names in braces to their texts: archives of kernels to link, and operators to register.

    Args:
        libraries: names of operator libraries and of delegates.
        operators: names of the file's operators.
    """
    kernels = [name for name in libraries if name in ARCHIVES]
    delegates = [name for name in libraries if name not in ARCHIVES]
    registering = f", and all of {code_names(delegates)} (`--whole-archive`), so that it registers itself"
    return {
        "delegates": registering if delegates else "",
        "archives": code_names(archive for name in kernels for archive in ARCHIVES[name]),
        "lists": code_names(LISTS[name] for name in kernels),
        "heap": ", except for a few bytes of the delegate" if delegates else "",
        "registered": "\n".join(f"- `{name}`" for name in registered(operators)),
        "libraries": code_names(kernels),
    }
