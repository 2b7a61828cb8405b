#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "requests.h"

namespace nf {

// A view of the model's output: valid until the next run.
struct Logits {
  const float* data;
  size_t count;
  std::vector<int64_t> shape;
};

class Model {
 public:
  virtual ~Model() = default;

  // Makes the inputs of a request, which must outlive its run, and takes the cache back to where it begins.
  // Throws BadInput where the model does not take such a request.
  virtual void prepare(Request& request) = 0;

  // Runs the model on what was prepared: what is timed. Throws BadInput where that fails (ids out of range).
  virtual Logits run() = 0;

  // The most bytes that kernels held for a time during a run, of what the runtime tells.
  virtual size_t temporary_peak() const { return 0; }
};

} // namespace nf
