// ONNX Runtime's C API with exceptions instead of statuses, and with owners of objects.
#pragma once

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "ort_api.h"

namespace ort {

inline const void* const api = OrtGetApiBase()->GetApi(kApiVersion);

// The runtime's message about a failure; nullopt if the call succeeded.
inline std::optional<std::string> failure_of(OrtStatus* status) {
  if (status == nullptr) {
    return std::nullopt;
  }
  std::string message = GetErrorMessage::in(api)(status);
  ReleaseStatus::in(api)(status);
  message.erase(message.find_last_not_of(" \n") + 1);
  return message;
}

template <typename Function, typename... Arguments>
void call(Arguments... arguments) {
  if (const auto failure = failure_of(Function::in(api)(arguments...))) {
    throw std::runtime_error("ONNX Runtime: " + *failure);
  }
}

template <typename Release>
struct Releaser {
  template <typename T>
  void operator()(T* object) const {
    Release::in(api)(object);
  }
};
template <typename T, typename Release>
using Owned = std::unique_ptr<T, Releaser<Release>>;

using Env = Owned<OrtEnv, ReleaseEnv>;
using MemoryInfo = Owned<OrtMemoryInfo, ReleaseMemoryInfo>;
using Session = Owned<OrtSession, ReleaseSession>;
using SessionOptions = Owned<OrtSessionOptions, ReleaseSessionOptions>;
using TensorInfo = Owned<OrtTensorTypeAndShapeInfo, ReleaseTensorTypeAndShapeInfo>;
using TypeInfo = Owned<OrtTypeInfo, ReleaseTypeInfo>;
using Value = Owned<OrtValue, ReleaseValue>;

// Calls a function that creates an object through its last argument; returns the object with an owner.
template <typename Holder, typename Function, typename... Arguments>
Holder make(Arguments... arguments) {
  typename Holder::pointer object = nullptr;
  call<Function>(arguments..., &object);
  return Holder(object);
}

template <typename GetCount, typename GetName>
std::vector<std::string> names(const OrtSession* session) {
  OrtAllocator* allocator = nullptr;
  call<GetAllocatorWithDefaultOptions>(&allocator);
  size_t count = 0;
  call<GetCount>(session, &count);
  std::vector<std::string> result;
  for (size_t i = 0; i < count; ++i) {
    char* name = nullptr;
    call<GetName>(session, i, allocator, &name);
    result.emplace_back(name);
    call<AllocatorFree>(allocator, name);
  }
  return result;
}

inline std::vector<int64_t> shape_of(const OrtTensorTypeAndShapeInfo* info) {
  size_t rank = 0;
  call<GetDimensionsCount>(info, &rank);
  std::vector<int64_t> shape(rank);
  call<GetDimensions>(info, shape.data(), rank);
  return shape;
}

inline int element_type_of(const OrtTensorTypeAndShapeInfo* info) {
  int type = 0;
  call<GetTensorElementType>(info, &type);
  return type;
}

// A tensor that uses `bytes` bytes of memory at `data`; the memory must outlive it.
inline Value tensor_over(
    const OrtMemoryInfo* memory, void* data, size_t bytes, const std::vector<int64_t>& shape, int element_type) {
  return make<Value, CreateTensorWithDataAsOrtValue>(memory, data, bytes, shape.data(), shape.size(), element_type);
}

} // namespace ort
