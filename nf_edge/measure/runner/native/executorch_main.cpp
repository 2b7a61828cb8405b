#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor_ptr_maker.h>
#include <executorch/runtime/platform/platform.h>

#include <dlfcn.h>

#include <cstdio>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "drive.h"
#include "errors.h"
#include "temporary_memory.h"
#include "trace.h"

// The wheel contains the thread pool without its header. These declarations are from
// extension/threadpool/threadpool.h in github.com/pytorch/executorch.
namespace executorch::extension::threadpool {
class ThreadPool {
 public:
  bool _unsafe_reset_threadpool(uint32_t threads); // safe while no run uses the pool
};
ThreadPool* get_threadpool();
} // namespace executorch::extension::threadpool

namespace {

using executorch::aten::ScalarType;
using executorch::extension::from_blob;
using executorch::extension::Module;
using executorch::extension::TensorPtr;
using executorch::runtime::Error;
using executorch::runtime::MethodMeta;
using executorch::runtime::Program;
using executorch::runtime::Tag;

constexpr char kName[] = "nf-run-executorch";

// ExecuTorch returns an error code and logs the reason. The first logged error is the cause; later ones are
// consequences.
std::mutex cause_mutex;
std::string cause;

void keep_cause(
    et_timestamp_t, et_pal_log_level_t level, const char*, const char*, size_t, const char* message, size_t) {
  if (level == et_pal_log_level_t::kFatal) { // abort() follows
    std::fprintf(stderr, "%s: ExecuTorch stops: %s\n", kName, message);
  } else if (level == et_pal_log_level_t::kError) {
    const std::lock_guard<std::mutex> lock(cause_mutex);
    if (cause.empty()) {
      cause = message;
    }
  }
}

void require(Error error, const std::string& otherwise, const std::string& where) {
  if (error != Error::Ok) {
    const std::lock_guard<std::mutex> lock(cause_mutex);
    const std::string reason = cause.empty() ? "" : ": " + cause;
    throw nf::BadInput(otherwise + reason + " (" + executorch::runtime::to_string(error) + ")", where);
  }
}

class ExecutorchModel final : public nf::Model {
 public:
  // Maps the file into memory, like an application on a phone: constants that no delegate repacks stay in the file.
  ExecutorchModel(const std::string& path, const std::string& trace, nf::Report& report)
      : ExecutorchModel(
            path, trace.empty() ? nullptr : std::make_unique<nf::Trace>(trace), report,
            std::make_unique<nf::TemporaryMemory>()) {}

  size_t temporary_peak() const override { return temporary_.peak(); }

  void prepare(nf::Request& request) override {
    const int length = static_cast<int>(request.input_ids.size());
    where_ = request.where;
    input_ids_ = from_blob(request.input_ids.data(), {1, length}, ScalarType::Long);
    if (cached_) {
      start_ = request.start();
      second_ = from_blob(&start_, {1}, ScalarType::Long);
    } else {
      second_ = from_blob(request.attention_mask().data(), {1, length}, ScalarType::Long);
    }
    require(
        module_.set_inputs({input_ids_, second_}), "the model does not take " + std::to_string(length) + " tokens",
        where_);
  }

  nf::Logits run() override {
    const auto outputs = module_.forward();
    require(outputs.error(), "the model cannot run", where_);
    if (outputs->empty() || !outputs->front().isTensor() ||
        outputs->front().toTensor().scalar_type() != ScalarType::Float) {
      throw nf::BadInput("the model's first output is not a float32 tensor", path_);
    }
    const auto& logits = outputs->front().toTensor();
    return {
        logits.const_data_ptr<float>(), static_cast<size_t>(logits.numel()),
        std::vector<int64_t>(logits.sizes().begin(), logits.sizes().end())};
  }

 private:
  ExecutorchModel(
      const std::string& path, std::unique_ptr<nf::Trace> trace, nf::Report& report,
      std::unique_ptr<nf::TemporaryMemory> temporary)
      : path_(path),
        temporary_(*temporary),
        module_(path, Module::LoadMode::Mmap, std::move(trace), nullptr, std::move(temporary)) {
    require(module_.load(Program::Verification::InternalConsistency), "not a program that ExecuTorch can load", path);
    report.stage("program_loaded");
    const auto meta = module_.method_meta("forward");
    require(meta.error(), "the program has no method forward", path);
    check_inputs(*meta);
    require(module_.load_forward(), "the method forward cannot be loaded", path);
    report.stage("method_loaded", planned_buffers(*meta));
  }

  // Checks the inputs. A model with a cache has a position as second input instead of a mask.
  void check_inputs(const MethodMeta& meta) {
    const auto takes_integers = [&meta](size_t input, size_t rank) {
      const auto tag = meta.input_tag(input);
      return tag.ok() && *tag == Tag::Tensor && meta.input_tensor_meta(input)->scalar_type() == ScalarType::Long &&
             meta.input_tensor_meta(input)->sizes().size() == rank;
    };
    const bool two = meta.num_inputs() == 2 && takes_integers(0, 2);
    cached_ = two && takes_integers(1, 1);
    if (!cached_ && !(two && takes_integers(1, 2))) {
      throw nf::BadInput(
          "forward takes " + std::to_string(meta.num_inputs()) +
              " inputs, which are not input_ids and attention_mask, both int64 [1, T], nor tokens "
              "int64 [1, T] and start int64 [1]",
          path_);
    }
  }

  static std::string planned_buffers(const MethodMeta& meta) {
    std::string sizes;
    for (size_t i = 0; i < meta.num_memory_planned_buffers(); ++i) {
      sizes += (i == 0 ? "" : ",") + std::to_string(*meta.memory_planned_buffer_size(i));
    }
    return "\"planned_buffers\":[" + sizes + "]";
  }

  const std::string path_;
  bool cached_ = false;
  const nf::TemporaryMemory& temporary_; // owned by module_
  Module module_;
  // These belong to the prepared request; the input tensors use its memory and start_.
  std::string where_;
  TensorPtr input_ids_, second_;
  int64_t start_ = 0;
};

// Loads a library, which registers its operators with the ExecuTorch of this process.
void load_operators(const std::string& library) {
  if (!library.empty() && dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL) == nullptr) {
    throw nf::BadInput("cannot load the operators: " + std::string(dlerror()), library);
  }
}

std::unique_ptr<nf::Model> open_model(const nf::CommandLine& command, nf::Report& report) {
  executorch::runtime::register_pal(executorch::runtime::PalImpl::create(keep_cause, __FILE__));
  if (command.rows != 1) {
    throw nf::BadInput("a file of ExecuTorch takes one row, not " + std::to_string(command.rows), command.model);
  }
  load_operators(command.operators);
  executorch::extension::threadpool::get_threadpool()->_unsafe_reset_threadpool(command.threads);
  report.start("executorch", NF_EXECUTORCH_VERSION, command.threads);
  return std::make_unique<ExecutorchModel>(command.model, command.trace, report);
}

} // namespace

int main(int argc, char** argv) { return nf::drive(kName, argc, argv, open_model); }
