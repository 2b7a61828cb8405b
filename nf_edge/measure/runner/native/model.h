#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "requests.h"

namespace nf {

// A view of the model's output; it is valid until the next run.
struct Logits {
  const float* data;
  size_t count;
  std::vector<int64_t> shape;
};

class Model {
 public:
  virtual ~Model() = default;

  // Makes the inputs of a request, and resets the cache to the request's first position. The request must outlive
  // the run. Throws BadInput if the model does not support the request.
  virtual void prepare(Request& request) = 0;

  // Runs the model on the prepared inputs; only this is timed. Throws BadInput if the run fails (ids out of range).
  virtual Logits run() = 0;

  // The peak bytes of kernels' temporary memory in all runs, if the runtime reports it; else 0.
  virtual size_t temporary_peak() const { return 0; }
};

} // namespace nf
