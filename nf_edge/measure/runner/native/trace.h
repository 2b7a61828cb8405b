#pragma once

#include <executorch/runtime/core/event_tracer.h>

#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include "errors.h"

namespace nf {

// Writes the float32 outputs of every instruction to a file, in the order of their computation. An output is int32
// chain, int32 instruction, int64 count, and `count` float32 numbers.
class Trace final : public executorch::runtime::EventTracer {
  using Entry = executorch::runtime::EventTracerEntry;
  using DelegateId = executorch::runtime::DelegateDebugIntId;
  using Logged = executorch::runtime::Result<bool>;
  using Tensor = executorch::aten::Tensor;

 public:
  explicit Trace(const std::string& path) : file_(path, std::ios::binary) {
    if (!file_) {
      throw BadInput("cannot write the trace", path);
    }
    set_event_tracer_debug_level(executorch::runtime::EventTracerDebugLogLevel::kIntermediateOutputs);
  }

  Logged log_evalue(const executorch::runtime::EValue& value, executorch::runtime::LoggedEValueType) override {
    if (value.isTensor() && value.toTensor().scalar_type() == executorch::aten::ScalarType::Float) {
      const auto& tensor = value.toTensor();
      put(static_cast<int32_t>(current_chain_id()));
      put(static_cast<int32_t>(current_debug_handle()));
      put(static_cast<int64_t>(tensor.numel()));
      file_.write(
          static_cast<const char*>(tensor.const_data_ptr()),
          static_cast<std::streamsize>(tensor.numel() * sizeof(float)));
      file_.flush();
    }
    return true;
  }

  // The other events of a tracer are ignored.
  void create_event_block(const char*) override {}
  Entry start_profiling(const char*, executorch::runtime::ChainID, executorch::runtime::DebugHandle) override {
    return {};
  }
  Entry start_profiling_delegate(const char*, executorch::runtime::DelegateDebugIntId) override { return {}; }
  void end_profiling_delegate(Entry, const void*, size_t) override {}
  void log_profiling_delegate(
      const char*, executorch::runtime::DelegateDebugIntId, et_timestamp_t, et_timestamp_t, const void*,
      size_t) override {}
  void end_profiling(Entry) override {}
  void track_allocation(executorch::runtime::AllocatorID, size_t) override {}
  executorch::runtime::AllocatorID track_allocator(const char*) override { return 0; }
  void set_delegation_intermediate_output_filter(executorch::runtime::EventTracerFilterBase*) override {}
  Logged log_intermediate_output_delegate(const char*, DelegateId, const Tensor&) override { return true; }
  Logged log_intermediate_output_delegate(
      const char*, DelegateId, const executorch::runtime::ArrayRef<Tensor>) override {
    return true;
  }
  Logged log_intermediate_output_delegate(const char*, DelegateId, const int&) override { return true; }
  Logged log_intermediate_output_delegate(const char*, DelegateId, const bool&) override { return true; }
  Logged log_intermediate_output_delegate(const char*, DelegateId, const double&) override { return true; }

 private:
  template <typename Number>
  void put(Number number) {
    file_.write(reinterpret_cast<const char*>(&number), sizeof number);
  }

  std::ofstream file_;
};

} // namespace nf
