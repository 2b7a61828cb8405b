#include "ort_cache.h"

#include <algorithm>
#include <utility>

#include "errors.h"

namespace nf {
namespace {

constexpr char kPast[] = "past_key_values.";
constexpr size_t kPositions = 2; // the axis of [1, H, past, d] that grows

} // namespace

OrtCache::Declared OrtCache::declared_input(const OrtSession* session, size_t index, const std::string& name) {
  const auto info = ort::make<ort::TypeInfo, ort::SessionGetInputTypeInfo>(session, index);
  const OrtTensorTypeAndShapeInfo* tensor = nullptr; // a part of `info`
  ort::call<ort::CastTypeInfoToTensorInfo>(info.get(), &tensor);
  Declared result{ort::shape_of(tensor), ort::element_type_of(tensor), 0};
  result.shape[kPositions] = 0;
  if (result.element_type == ort::kFloat32) {
    result.element_bytes = sizeof(float);
  } else if (result.element_type == ort::kInt8) {
    result.element_bytes = sizeof(int8_t);
  } else {
    throw BadInput("the type of a cache input is neither float32 nor int8", name);
  }
  return result;
}

OrtCache::OrtCache(const OrtSession* session, const OrtMemoryInfo* memory) : memory_(memory) {
  const auto inputs = ort::names<ort::SessionGetInputCount, ort::SessionGetInputName>(session);
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].rfind(kPast, 0) == 0) {
      past_names_.push_back(inputs[i]);
      present_names_.push_back("present." + inputs[i].substr(sizeof(kPast) - 1));
      declared_.push_back(declared_input(session, i, inputs[i]));
    }
  }
  kept_.resize(past_names_.size());
  keep(0);
}

void OrtCache::keep(int64_t length) {
  for (size_t i = 0; i < kept_.size(); ++i) {
    kept_[i] = first_tokens(i, length);
  }
  length_ = length;
}

OrtCache::Kept OrtCache::first_tokens(size_t index, int64_t length) const {
  const Declared& declared = declared_[index];
  std::vector<int64_t> shape = declared.shape;
  const int64_t heads = shape[1], token_bytes = shape[3] * declared.element_bytes;
  shape[kPositions] = length;
  Kept result;
  const int64_t bytes = heads * length * token_bytes;
  result.storage.resize(std::max<int64_t>(bytes, 1)); // an empty tensor also needs an address
  if (length > 0) {
    void* data = nullptr;
    ort::call<ort::GetTensorMutableData>(kept_[index].tensor.get(), &data);
    for (int64_t head = 0; head < heads; ++head) {
      std::copy_n(
          static_cast<const char*>(data) + head * length_ * token_bytes, length * token_bytes,
          result.storage.data() + head * length * token_bytes);
    }
  }
  result.tensor = ort::tensor_over(memory_, result.storage.data(), bytes, shape, declared.element_type);
  return result;
}

std::vector<const OrtValue*> OrtCache::past() const {
  std::vector<const OrtValue*> values;
  for (const Kept& kept : kept_) {
    values.push_back(kept.tensor.get());
  }
  return values;
}

void OrtCache::replace(std::vector<ort::Value> present, int64_t length) {
  for (size_t i = 0; i < kept_.size(); ++i) {
    kept_[i].tensor = std::move(present[i]);
    kept_[i].storage = {};
  }
  length_ = length;
}

} // namespace nf
