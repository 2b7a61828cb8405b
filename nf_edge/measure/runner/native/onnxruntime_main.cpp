#include <algorithm>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "drive.h"
#include "errors.h"
#include "ort_cache.h"
#include "ort_calls.h"

namespace {

std::string joined(const std::vector<std::string>& words) {
  std::string result;
  for (const std::string& word : words) {
    result += (result.empty() ? "" : ", ") + word;
  }
  return result;
}

class OnnxModel final : public nf::Model {
 public:
  OnnxModel(ort::Env env, const nf::CommandLine& command)
      : env_(std::move(env)),
        path_(command.model),
        rows_(command.rows),
        cpu_(ort::make<ort::MemoryInfo, ort::CreateCpuMemoryInfo>(ort::kDeviceAllocator, ort::kMemoryTypeDefault)),
        session_(open(command)),
        cache_(session_.get(), cpu_.get()),
        inputs_({"input_ids", "attention_mask"}),
        outputs_({"logits"}) {
    if (cached()) {
      inputs_.push_back("position_ids");
      append(inputs_, cache_.past_names());
      append(outputs_, cache_.present_names());
    }
    check_interface();
    input_names_ = c_names(inputs_);
    output_names_ = c_names(outputs_);
  }

  void prepare(nf::Request& request) override {
    output_.reset(); // otherwise the logits of two runs would be in memory
    where_ = request.where;
    tensors_.clear();
    tensors_.push_back(integers(request.input_ids));
    if (cached()) {
      prepare_upon_past(request);
    } else {
      tensors_.push_back(integers(request.attention_mask()));
    }
  }

  nf::Logits run() override {
    auto outputs = outputs_of_run();
    output_ = std::move(outputs.front());
    if (cached()) {
      outputs.erase(outputs.begin());
      cache_.replace(std::move(outputs), static_cast<int64_t>(mask_.size()));
    }
    return view(output_.get());
  }

 private:
  static void append(std::vector<std::string>& names, const std::vector<std::string>& more) {
    names.insert(names.end(), more.begin(), more.end());
  }

  ort::Session open(const nf::CommandLine& command) const {
    const auto options = ort::make<ort::SessionOptions, ort::CreateSessionOptions>();
    ort::call<ort::SetIntraOpNumThreads>(options.get(), command.threads);
    OrtSession* session = nullptr;
    if (const auto failure =
            ort::failure_of(ort::CreateSession::in(ort::api)(env_.get(), path_.c_str(), options.get(), &session))) {
      throw nf::BadInput("cannot load the model: " + *failure, path_);
    }
    return ort::Session(session);
  }

  bool cached() const { return !cache_.past_names().empty(); }

  void check_interface() const {
    const auto sorted = [](std::vector<std::string> names) {
      std::sort(names.begin(), names.end());
      return names;
    };
    const auto inputs = ort::names<ort::SessionGetInputCount, ort::SessionGetInputName>(session_.get());
    if (sorted(inputs) != sorted(inputs_)) {
      throw nf::BadInput(
          "the model's inputs are " + joined(sorted(inputs)) + ", but they must be " + joined(inputs_), path_);
    }
    const auto outputs = sorted(ort::names<ort::SessionGetOutputCount, ort::SessionGetOutputName>(session_.get()));
    for (const std::string& name : outputs_) {
      if (!std::binary_search(outputs.begin(), outputs.end(), name)) {
        throw nf::BadInput("the model's outputs are " + joined(outputs) + ", without " + name, path_);
      }
    }
  }

  void prepare_upon_past(nf::Request& request) {
    const int64_t start = request.start();
    if (start < 0 || start > cache_.length()) {
      throw nf::BadInput(
          "the ids start at position " + std::to_string(start) + ", but the cache holds " +
              std::to_string(cache_.length()) + " tokens",
          request.where);
    }
    if (start < cache_.length()) {
      cache_.keep(start);
    }
    mask_.assign(start + request.input_ids.size(), 1);
    positions_.resize(request.input_ids.size());
    std::iota(positions_.begin(), positions_.end(), start);
    tensors_.push_back(integers(mask_));
    tensors_.push_back(integers(positions_));
  }

  std::vector<ort::Value> outputs_of_run() {
    std::vector<const OrtValue*> inputs;
    for (const ort::Value& tensor : tensors_) {
      inputs.push_back(tensor.get());
    }
    const auto past = cache_.past();
    inputs.insert(inputs.end(), past.begin(), past.end());
    std::vector<OrtValue*> outputs(outputs_.size());
    const auto failure = ort::failure_of(
        ort::Run::in(ort::api)(session_.get(), nullptr, input_names_.data(), inputs.data(), inputs.size(),
                               output_names_.data(), outputs.size(), outputs.data()));
    if (failure) {
      throw nf::BadInput("the model cannot run: " + *failure, where_);
    }
    std::vector<ort::Value> owned;
    for (OrtValue* output : outputs) {
      owned.emplace_back(output);
    }
    return owned;
  }

  static std::vector<const char*> c_names(const std::vector<std::string>& names) {
    std::vector<const char*> result;
    for (const std::string& name : names) {
      result.push_back(name.c_str());
    }
    return result;
  }

  ort::Value integers(std::vector<int64_t>& numbers) const {
    const auto count = static_cast<int64_t>(numbers.size());
    if (count % rows_ != 0) {
      throw nf::BadInput(std::to_string(count) + " numbers are not " + std::to_string(rows_) + " equal rows", where_);
    }
    return ort::tensor_over(
        cpu_.get(), numbers.data(), numbers.size() * sizeof(int64_t), {rows_, count / rows_}, ort::kInt64);
  }

  nf::Logits view(OrtValue* output) const {
    const auto info = ort::make<ort::TensorInfo, ort::GetTensorTypeAndShape>(output);
    if (ort::element_type_of(info.get()) != ort::kFloat32) {
      throw nf::BadInput("the model's logits are not float32", path_);
    }
    size_t count = 0;
    ort::call<ort::GetTensorShapeElementCount>(info.get(), &count);
    void* data = nullptr;
    ort::call<ort::GetTensorMutableData>(output, &data);
    return {static_cast<const float*>(data), count, ort::shape_of(info.get())};
  }

  const ort::Env env_;
  const std::string path_;
  const int64_t rows_;
  const ort::MemoryInfo cpu_;
  const ort::Session session_;
  nf::OrtCache cache_;
  std::vector<std::string> inputs_;
  std::vector<std::string> outputs_;
  std::vector<const char*> input_names_;
  std::vector<const char*> output_names_;
  // These belong to the prepared request; the tensors use its memory and the two vectors.
  std::string where_;
  std::vector<int64_t> mask_;
  std::vector<int64_t> positions_;
  std::vector<ort::Value> tensors_;
  ort::Value output_;
};

std::unique_ptr<nf::Model> open_model(const nf::CommandLine& command, nf::Report& report) {
  if (ort::api == nullptr) {
    throw std::runtime_error("this ONNX Runtime does not offer version 1 of its C API");
  }
  // Since 1.29 the official builds send usage data and store a device id on disk. This variable prevents it if it is
  // set before the environment is created.
  setenv("ORT_DISABLE_TELEMETRY", "1", 1);
  // The environment registers every operator, so its memory belongs to the runtime, not to the model. Logging is off,
  // because errors are returned as statuses.
  auto env = ort::make<ort::Env, ort::CreateEnv>(ort::kLogFatal, "nf-run");
  report.start("onnxruntime", OrtGetApiBase()->GetVersionString(), command.threads);
  auto model = std::make_unique<OnnxModel>(std::move(env), command);
  report.stage("method_loaded");
  return model;
}

} // namespace

int main(int argc, char** argv) { return nf::drive("nf-run-onnxruntime", argc, argv, open_model); }
