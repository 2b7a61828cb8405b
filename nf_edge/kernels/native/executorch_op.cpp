// The kernels as ExecuTorch's operators nf::symmetric_attention.out, nf::symmetric_attention_cached.out,
// nf::layer_norm.out and nf::gelu_new.out, on ExecuTorch's threads.  nf_edge/kernels/attention_op.py documents their
// arguments.
#include <executorch/extension/kernel_util/make_boxed_from_unboxed_functor.h>
#include <executorch/runtime/core/exec_aten/util/tensor_util.h>
#include <executorch/runtime/kernel/kernel_includes.h>
#include <executorch/runtime/kernel/thread_parallel_interface.h>

#include <array>
#include <optional>

#include "block_ops.h"
#include "symmetric_attention.h"

namespace {

using executorch::aten::ScalarType;
using executorch::aten::SizesType;
using executorch::aten::string_view;
using executorch::aten::Tensor;
using executorch::runtime::Error;
using executorch::runtime::KernelRuntimeContext;

using OptionalTensor = std::optional<Tensor>;

struct Noise {
  const OptionalTensor& a;
  const OptionalTensor& b;
  const OptionalTensor& p;
  const OptionalTensor& bias;
};

const float* floats(const OptionalTensor& tensor) { return tensor ? tensor->const_data_ptr<float>() : nullptr; }

void parallel_for(void*, size_t n, void (*task)(void*, size_t), void* argument) {
  executorch::extension::parallel_for(0, static_cast<int64_t>(n), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      task(argument, static_cast<size_t>(i));
    }
  });
}

bool fail(KernelRuntimeContext& context, Error error, const char* why) {
  ET_LOG(Error, "nf-edge: %s", why);
  context.fail(error);
  return false;
}

// Fills in the fields that all rows of a call share; false if an operand is invalid.
bool describe(
    KernelRuntimeContext& context, const Tensor& projected, const Noise& noise, int64_t head_size, bool symmetric,
    double scale, string_view products, nf_attention& call) {
  const int64_t parts = symmetric ? 2 : 3;
  if (projected.scalar_type() != ScalarType::Float || projected.dim() != 3 || head_size < 1 ||
      projected.size(2) % (parts * head_size) != 0) {
    return fail(context, Error::InvalidArgument, "projected must be float32 [B, T, parts · H · d]");
  }
  call.heads = projected.size(2) / (parts * head_size);
  call.head_size = head_size;
  call.scale = static_cast<float>(scale);
  call.precision = products == "int8" ? NF_INT8 : NF_FLOAT32;
  call.noise_a = floats(noise.a);
  call.noise_b = floats(noise.b);
  call.rank = noise.a ? noise.a->size(2) : 0;
  call.noise_p = floats(noise.p);
  call.bias = floats(noise.bias);
  call.positions = noise.bias ? noise.bias->size(1) : 0;
  return true;
}

// Points the call at Q, K and V of one row of the batch, in the projection's output.  Queries start at token `query`.
void point_at(const Tensor& projected, int64_t row, int64_t query, bool symmetric, nf_attention& call) {
  const int64_t token = projected.size(2), width = call.heads * call.head_size;
  const float* data = projected.const_data_ptr<float>() + row * projected.size(1) * token;
  if (!symmetric) {
    call.q = {data + query * token, call.head_size, token};
    data += width;
  }
  call.k = {data, call.head_size, token};
  call.v = {data + width, call.head_size, token};
}

bool resize(KernelRuntimeContext& context, const Tensor& projected, const nf_attention& call, Tensor& out) {
  const std::array<SizesType, 3> sizes = {
      static_cast<SizesType>(projected.size(0)), static_cast<SizesType>(call.queries),
      static_cast<SizesType>(call.heads * call.head_size)};
  if (executorch::runtime::resize_tensor(out, {sizes.data(), sizes.size()}) != Error::Ok) {
    return fail(context, Error::InvalidArgument, "out cannot be resized to the result's size");
  }
  return true;
}

struct Scratch {
  void* data;
  size_t bytes;
  size_t threads;
};

bool reserve(KernelRuntimeContext& context, const nf_attention& call, Scratch& scratch) {
  scratch.threads = static_cast<size_t>(executorch::extension::get_thread_count());
  scratch.bytes = nf_attention_scratch_bytes(&call, scratch.threads);
  const auto allocated = context.allocate_temp(scratch.bytes ? scratch.bytes : 1);
  if (!allocated.ok()) {
    return fail(context, allocated.error(), "temporary memory could not be allocated");
  }
  scratch.data = *allocated;
  return true;
}

bool attend(KernelRuntimeContext& context, const nf_attention& call, const Scratch& scratch) {
  const nf_status status = nf_attention_run(&call, scratch.data, scratch.bytes, scratch.threads, parallel_for, nullptr);
  return status == NF_OK || fail(context, Error::InvalidArgument, nf_status_text(status));
}

Tensor& symmetric_attention_out(
    KernelRuntimeContext& context, const Tensor& projected, const OptionalTensor& noise_a,
    const OptionalTensor& noise_b, const OptionalTensor& noise_p, const OptionalTensor& bias,
    const OptionalTensor& lengths, bool causal, int64_t head_size, bool symmetric, double scale, string_view products,
    string_view queries, Tensor& out) {
  nf_attention call = {};
  if (!describe(context, projected, {noise_a, noise_b, noise_p, bias}, head_size, symmetric, scale, products, call)) {
    return out;
  }
  const int64_t tokens = projected.size(1);
  call.causal = causal;
  call.queries = queries == "all" ? tokens : 1;
  if (!resize(context, projected, call, out)) {
    return out;
  }
  // The scratch size for a full row is enough for shorter rows.
  call.keys = tokens;
  call.start = tokens - call.queries;
  call.out = out.mutable_data_ptr<float>();
  point_at(projected, 0, 0, symmetric, call);
  Scratch scratch = {};
  if (!reserve(context, call, scratch)) {
    return out;
  }
  for (int64_t row = 0; row < projected.size(0); ++row) {
    call.keys = lengths ? lengths->const_data_ptr<int64_t>()[row] : tokens;
    if (call.keys > tokens) {
      fail(context, Error::InvalidArgument, "lengths must be at most T, the number of tokens");
      return out;
    }
    call.start = queries == "last" ? call.keys - 1 : 0;
    point_at(projected, row, call.start, symmetric, call);
    if (!attend(context, call, scratch)) {
      return out;
    }
    call.out += call.queries * call.heads * call.head_size;
  }
  return out;
}

bool describe_cache(
    KernelRuntimeContext& context, Tensor& k, Tensor& v, const OptionalTensor& k_scale, const OptionalTensor& v_scale,
    const nf_attention& call, nf_cache& cache) {
  const bool int8 = k.scalar_type() == ScalarType::Char;
  const bool fits = k.dim() == 3 && k.size(0) == call.heads && k.size(2) == call.head_size && k.numel() == v.numel() &&
                    k.scalar_type() == v.scalar_type();
  if (!fits || (!int8 && k.scalar_type() != ScalarType::Float) || int8 != k_scale.has_value() ||
      int8 != v_scale.has_value()) {
    return fail(context, Error::InvalidArgument, "the cache must be [H, capacity, d], float32, or int8 with scales");
  }
  cache = {int8 ? NF_INT8 : NF_FLOAT32, k.size(1), k.mutable_data_ptr(), v.mutable_data_ptr(), nullptr, nullptr};
  if (int8) {
    cache.k_scale = k_scale->mutable_data_ptr<float>();
    cache.v_scale = v_scale->mutable_data_ptr<float>();
  }
  return true;
}

Tensor& symmetric_attention_cached_out(
    KernelRuntimeContext& context, const Tensor& projected, Tensor& k, Tensor& v, const OptionalTensor& k_scale,
    const OptionalTensor& v_scale, const Tensor& start, const OptionalTensor& noise_a, const OptionalTensor& noise_b,
    const OptionalTensor& noise_p, const OptionalTensor& bias, int64_t head_size, bool symmetric, double scale,
    string_view products, string_view queries, Tensor& out) {
  nf_attention call = {};
  nf_cache cache = {};
  if (!describe(context, projected, {noise_a, noise_b, noise_p, bias}, head_size, symmetric, scale, products, call) ||
      !describe_cache(context, k, v, k_scale, v_scale, call, cache)) {
    return out;
  }
  if (projected.size(0) != 1) {
    fail(context, Error::InvalidArgument, "the batch size must be 1 with a cache");
    return out;
  }
  call.causal = 1;
  call.cache = &cache;
  call.first = start.const_data_ptr<int64_t>()[0];
  call.rows = projected.size(1);
  call.keys = call.first + call.rows;
  call.queries = queries == "all" ? call.rows : 1;
  call.start = call.keys - call.queries;
  point_at(projected, 0, call.rows - call.queries, symmetric, call);
  if (!resize(context, projected, call, out)) {
    return out;
  }
  call.out = out.mutable_data_ptr<float>();
  Scratch scratch = {};
  if (reserve(context, call, scratch)) {
    attend(context, call, scratch);
  }
  return out;
}

// The minimum number of rows per task: a smaller task takes less time than waking a thread.
constexpr int64_t ROWS_OF_A_TASK = 16;

Tensor& layer_norm_out(
    KernelRuntimeContext& context, const Tensor& x, const Tensor& weight, const Tensor& bias, double epsilon,
    Tensor& out) {
  const int64_t width = x.dim() > 0 ? x.size(x.dim() - 1) : 0;
  if (x.scalar_type() != ScalarType::Float || width < 1 || weight.numel() != width || bias.numel() != width) {
    fail(context, Error::InvalidArgument, "x must be float32 [..., D], weight and bias [D]");
    return out;
  }
  if (executorch::runtime::resize_tensor(out, x.sizes()) != Error::Ok) {
    fail(context, Error::InvalidArgument, "out cannot be resized to the size of x");
    return out;
  }
  const float* from = x.const_data_ptr<float>();
  const float* weights = weight.const_data_ptr<float>();
  const float* biases = bias.const_data_ptr<float>();
  float* to = out.mutable_data_ptr<float>();
  const auto norm = [&](int64_t begin, int64_t end) {
    nf_layer_norm(
        from + begin * width, end - begin, width, weights, biases, static_cast<float>(epsilon), to + begin * width);
  };
  const int64_t rows = x.numel() / width;
  if (rows <= ROWS_OF_A_TASK) {
    norm(0, rows);
  } else {
    executorch::extension::parallel_for(0, rows, ROWS_OF_A_TASK, norm);
  }
  return out;
}

// The minimum number of elements per task: a smaller task takes less time than waking a thread.
constexpr int64_t ELEMENTS_OF_A_TASK = 1 << 14;

Tensor& gelu_new_out(KernelRuntimeContext& context, const Tensor& x, Tensor& out) {
  if (x.scalar_type() != ScalarType::Float || executorch::runtime::resize_tensor(out, x.sizes()) != Error::Ok) {
    fail(context, Error::InvalidArgument, "x must be float32, and out resizable to the size of x");
    return out;
  }
  if (nf_isa_in_use() == nullptr) {
    fail(context, Error::InvalidArgument, nf_status_text(NF_UNKNOWN_ISA));
    return out;
  }
  const float* from = x.const_data_ptr<float>();
  float* to = out.mutable_data_ptr<float>();
  const auto gelu = [&](int64_t begin, int64_t end) { nf_gelu_new(from + begin, end - begin, to + begin); };
  if (x.numel() <= ELEMENTS_OF_A_TASK) {
    gelu(0, x.numel());
  } else {
    executorch::extension::parallel_for(0, x.numel(), ELEMENTS_OF_A_TASK, gelu);
  }
  return out;
}

EXECUTORCH_LIBRARY(nf, "gelu_new.out", gelu_new_out);
EXECUTORCH_LIBRARY(nf, "layer_norm.out", layer_norm_out);
EXECUTORCH_LIBRARY(nf, "symmetric_attention.out", symmetric_attention_out);
EXECUTORCH_LIBRARY(nf, "symmetric_attention_cached.out", symmetric_attention_cached_out);

} // namespace
