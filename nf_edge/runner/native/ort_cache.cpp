#include "ort_cache.h"

#include <algorithm>
#include <utility>

namespace nf {
namespace {

constexpr char kPast[] = "past_key_values.";
constexpr size_t kPositions = 2;  // the axis of [1, H, past, d] that grows

std::vector<int64_t> input_shape(const OrtSession* session, size_t index) {
  const auto info = ort::make<ort::TypeInfo, ort::SessionGetInputTypeInfo>(session, index);
  const OrtTensorTypeAndShapeInfo* tensor = nullptr;  // a part of `info`
  ort::call<ort::CastTypeInfoToTensorInfo>(info.get(), &tensor);
  return ort::shape_of(tensor);
}

}  // namespace

OrtCache::OrtCache(const OrtSession* session, const OrtMemoryInfo* memory) : memory_(memory) {
  const auto inputs = ort::names<ort::SessionGetInputCount, ort::SessionGetInputName>(session);
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].rfind(kPast, 0) == 0) {
      past_names_.push_back(inputs[i]);
      present_names_.push_back("present." + inputs[i].substr(sizeof(kPast) - 1));
      shapes_.push_back(input_shape(session, i));
      shapes_.back()[kPositions] = 0;
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
  std::vector<int64_t> shape = shapes_[index];
  const int64_t heads = shape[1], head_size = shape[3];
  shape[kPositions] = length;
  Kept result;
  result.storage.resize(std::max<int64_t>(heads * length * head_size, 1));  // a tensor of nothing has an address too
  if (length > 0) {
    void* data = nullptr;
    ort::call<ort::GetTensorMutableData>(kept_[index].tensor.get(), &data);
    for (int64_t head = 0; head < heads; ++head) {
      std::copy_n(static_cast<const float*>(data) + head * length_ * head_size, length * head_size,
                  result.storage.data() + head * length * head_size);
    }
  }
  result.tensor = ort::tensor_over(memory_, result.storage.data(), shape, ort::kFloat32);
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

}  // namespace nf
