#pragma once

#include <executorch/extension/memory_allocator/malloc_memory_allocator.h>

#include <algorithm>
#include <cstddef>

namespace nf {

// What kernels take while they run and give back when they are done, which no reading of the heap between
// runs shows.
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
