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

  // Throws BadInput where the model does not take such a request (ids out of range, too long).
  virtual Logits run(Request& request) = 0;
};

}  // namespace nf
