#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ort_calls.h"

namespace nf {

// Keys and values of a model. The inputs are past_key_values.N.key and .value, float32 or int8 [1, H, past, d].
// The outputs present.N.key and .value are the inputs of the next run. A model without a cache has neither.
class OrtCache {
 public:
  // Throws BadInput if a cache input has another type.
  OrtCache(const OrtSession* session, const OrtMemoryInfo* memory);

  const std::vector<std::string>& past_names() const { return past_names_; }
  const std::vector<std::string>& present_names() const { return present_names_; }
  int64_t length() const { return length_; }

  // Drops all tokens except the first `length`.
  void keep(int64_t length);

  std::vector<const OrtValue*> past() const;

  // Replaces the past by the outputs of a run.
  void replace(std::vector<ort::Value> present, int64_t length);

 private:
  // The declared shape and type of an input, with past = 0.
  struct Declared {
    std::vector<int64_t> shape;
    int element_type;
    size_t element_bytes;
  };

  struct Kept {
    std::vector<char> storage; // the memory of `tensor`; empty if the runtime allocated it
    ort::Value tensor;
  };

  static Declared declared_input(const OrtSession* session, size_t index, const std::string& name);
  Kept first_tokens(size_t index, int64_t length) const;

  const OrtMemoryInfo* memory_;
  std::vector<std::string> past_names_;
  std::vector<std::string> present_names_;
  std::vector<Declared> declared_;
  std::vector<Kept> kept_;
  int64_t length_ = 0;
};

} // namespace nf
