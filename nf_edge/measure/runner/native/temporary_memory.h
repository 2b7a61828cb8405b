#pragma once

#include <executorch/extension/memory_allocator/malloc_memory_allocator.h>

#include <algorithm>
#include <cstddef>

namespace nf {

// Measures kernels' temporary memory, which they free before the run ends. Reading the heap between runs cannot
// show it.
class TemporaryMemory final : public executorch::extension::MallocMemoryAllocator {
 public:
  void* allocate(size_t size, size_t alignment = kDefaultAlignment) override {
    taken_ += size;
    peak_ = std::max(peak_, taken_);
    return MallocMemoryAllocator::allocate(size, alignment);
  }

  void reset() override {
    taken_ = 0;
    MallocMemoryAllocator::reset();
  }

  size_t peak() const { return peak_; }

 private:
  size_t taken_ = 0;
  size_t peak_ = 0;
};

} // namespace nf
