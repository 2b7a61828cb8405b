#include <algorithm>
#include <cstdlib>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "drive.h"
#include "errors.h"
#include "ort_api.h"

namespace {

const void* const api = OrtGetApiBase()->GetApi(ort::kApiVersion);

// What the runtime says of a failure; nothing of a success.
std::optional<std::string> failure_of(OrtStatus* status) {
  if (status == nullptr) {
    return std::nullopt;
  }
  std::string message = ort::GetErrorMessage::in(api)(status);
  ort::ReleaseStatus::in(api)(status);
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

using Env = Owned<OrtEnv, ort::ReleaseEnv>;
using MemoryInfo = Owned<OrtMemoryInfo, ort::ReleaseMemoryInfo>;
using Session = Owned<OrtSession, ort::ReleaseSession>;
using SessionOptions = Owned<OrtSessionOptions, ort::ReleaseSessionOptions>;
using TensorInfo = Owned<OrtTensorTypeAndShapeInfo, ort::ReleaseTensorTypeAndShapeInfo>;
using Value = Owned<OrtValue, ort::ReleaseValue>;

// Calls a function that creates an object, its last argument.
template <typename Holder, typename Function, typename... Arguments>
Holder make(Arguments... arguments) {
  typename Holder::pointer object = nullptr;
  call<Function>(arguments..., &object);
  return Holder(object);
}

template <typename GetCount, typename GetName>
std::vector<std::string> names(const OrtSession* session) {
  OrtAllocator* allocator = nullptr;
  call<ort::GetAllocatorWithDefaultOptions>(&allocator);
  size_t count = 0;
  call<GetCount>(session, &count);
  std::vector<std::string> result;
  for (size_t i = 0; i < count; ++i) {
    char* name = nullptr;
    call<GetName>(session, i, allocator, &name);
    result.emplace_back(name);
    call<ort::AllocatorFree>(allocator, name);
  }
  return result;
}

std::string joined(const std::vector<std::string>& words) {
  std::string result;
  for (const std::string& word : words) {
    result += (result.empty() ? "" : ", ") + word;
  }
  return result;
}

class OnnxModel final : public nf::Model {
 public:
  OnnxModel(Env env, const nf::CommandLine& command) : env_(std::move(env)), path_(command.model) {
    const auto options = make<SessionOptions, ort::CreateSessionOptions>();
    call<ort::SetIntraOpNumThreads>(options.get(), command.threads);
    OrtSession* session = nullptr;
    if (const auto failure =
            failure_of(ort::CreateSession::in(api)(env_.get(), path_.c_str(), options.get(), &session))) {
      throw nf::BadInput("cannot load the model: " + *failure, path_);
    }
    session_.reset(session);
    check_interface();
    cpu_ = make<MemoryInfo, ort::CreateCpuMemoryInfo>(ort::kDeviceAllocator, ort::kMemoryTypeDefault);
  }

  nf::Logits run(nf::Request& request) override {
    const Value input_ids = input(request.input_ids);
    const Value attention_mask = input(request.attention_mask);
    const OrtValue* const inputs[] = {input_ids.get(), attention_mask.get()};
    output_.reset();  // or two runs' logits would be held at once
    OrtValue* output = nullptr;
    if (const auto failure = failure_of(
            ort::Run::in(api)(session_.get(), nullptr, kInputs, inputs, 2, kOutputs, 1, &output))) {
      throw nf::BadInput("the model cannot run: " + *failure, request.where);
    }
    output_.reset(output);
    return view(output);
  }

 private:
  static constexpr const char* kInputs[] = {"input_ids", "attention_mask"};
  static constexpr const char* kOutputs[] = {"logits"};

  void check_interface() const {
    auto inputs = names<ort::SessionGetInputCount, ort::SessionGetInputName>(session_.get());
    std::sort(inputs.begin(), inputs.end());
    if (inputs != std::vector<std::string>{"attention_mask", "input_ids"}) {
      throw nf::BadInput("the model takes " + joined(inputs) + " instead of input_ids, attention_mask", path_);
    }
    const auto outputs = names<ort::SessionGetOutputCount, ort::SessionGetOutputName>(session_.get());
    if (std::find(outputs.begin(), outputs.end(), "logits") == outputs.end()) {
      throw nf::BadInput("the model gives " + joined(outputs) + ", and no logits", path_);
    }
  }

  Value input(std::vector<int64_t>& numbers) const {
    const int64_t shape[] = {1, static_cast<int64_t>(numbers.size())};
    return make<Value, ort::CreateTensorWithDataAsOrtValue>(cpu_.get(), numbers.data(),
                                                            numbers.size() * sizeof(int64_t), shape, size_t{2},
                                                            ort::kInt64);
  }

  nf::Logits view(OrtValue* output) const {
    const auto info = make<TensorInfo, ort::GetTensorTypeAndShape>(output);
    int type = 0;
    call<ort::GetTensorElementType>(info.get(), &type);
    if (type != ort::kFloat32) {
      throw nf::BadInput("the model's logits are not float32", path_);
    }
    size_t rank = 0;
    call<ort::GetDimensionsCount>(info.get(), &rank);
    std::vector<int64_t> shape(rank);
    call<ort::GetDimensions>(info.get(), shape.data(), rank);
    size_t count = 0;
    call<ort::GetTensorShapeElementCount>(info.get(), &count);
    void* data = nullptr;
    call<ort::GetTensorMutableData>(output, &data);
    return {static_cast<const float*>(data), count, shape};
  }

  const Env env_;
  const std::string path_;
  Session session_;
  MemoryInfo cpu_;
  Value output_;
};

std::unique_ptr<nf::Model> open_model(const nf::CommandLine& command, nf::Report& report) {
  if (api == nullptr) {
    throw std::runtime_error("this ONNX Runtime does not offer version 1 of its C API");
  }
  // Since 1.29 the official builds send usage data and keep a device id on disk, unless told not to before
  // the environment exists.
  setenv("ORT_DISABLE_TELEMETRY", "1", 1);
  // The environment registers every operator: memory of the runtime, whatever the model. It logs no errors,
  // for they all come back as statuses.
  auto env = make<Env, ort::CreateEnv>(ort::kLogFatal, "nf-run");
  report.start("onnxruntime", OrtGetApiBase()->GetVersionString(), command.threads);
  auto model = std::make_unique<OnnxModel>(std::move(env), command);
  report.stage("method_loaded");
  return model;
}

}  // namespace

int main(int argc, char** argv) { return nf::drive("nf-run-onnxruntime", argc, argv, open_model); }
