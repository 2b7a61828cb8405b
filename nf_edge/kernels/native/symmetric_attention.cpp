// One call of the kernel: finds its operands and schedules its work.
#include "symmetric_attention.h"

#include "isa.h"
#include "schedule.h"
#include "validate.h"

namespace nf {

namespace {

// int8 elements and scales of all heads and tokens.
struct Quantized {
  int8_t* elements;
  float* scales;
  int64_t capacity;
};

struct Plan {
  const nf_attention* call;
  const Kernel* kernel;
  Job job;
  // Memory for keys and values that are quantized before the products; null if they are not quantized.
  Quantized k_to, v_to;
  char* scratch; // of thread 0
  size_t thread_bytes;
  int64_t groups; // per head
};

size_t aligned(size_t bytes) { return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

// Whether tokens must be quantized into the scratch buffer: for int8 products without an int8 cache.
bool quantizes(const nf_attention& call) {
  return call.precision == NF_INT8 && call.queries > FEW && !(call.cache && call.cache->precision == NF_INT8);
}

// Reserves space for quantized tokens at `at` and advances it; starting from null, this counts the bytes.
Quantized quantized_piece(char*& at, const nf_attention& call) {
  const size_t tokens = static_cast<size_t>(call.heads * call.keys);
  Quantized piece = {reinterpret_cast<int8_t*>(at), nullptr, call.keys};
  at += aligned(tokens * static_cast<size_t>(call.head_size));
  piece.scales = reinterpret_cast<float*>(at);
  at += aligned(tokens * sizeof(float));
  return piece;
}

Tokens float_tokens(const nf_rows& rows) {
  return {rows.data, nullptr, nullptr, rows.head_stride, rows.token_stride, 0};
}

Tokens cached_tokens(const nf_cache& cache, const void* elements, const float* scales, int64_t size) {
  const bool floats = cache.precision == NF_FLOAT32;
  return {
      floats ? static_cast<const float*>(elements) : nullptr,
      floats ? nullptr : static_cast<const int8_t*>(elements),
      floats ? nullptr : scales,
      cache.capacity * size,
      size,
      cache.capacity};
}

Tokens quantized_tokens(const Quantized& to, int64_t size) {
  return {nullptr, to.elements, to.scales, to.capacity * size, size, to.capacity};
}

// Copies the new tokens of one head into the cache, quantized if the cache is int8.
void append(
    const nf_attention& call, const Kernel& kernel, const nf_rows& rows, void* elements, float* scales, int64_t head) {
  const int64_t size = call.head_size;
  const int64_t at = head * call.cache->capacity + call.first;
  const float* from = rows.data + head * rows.head_stride;
  if (call.cache->precision == NF_INT8) {
    int8_t* to = static_cast<int8_t*>(elements) + at * size;
    kernel.quantize(from, rows.token_stride, call.rows, size, to, scales + at);
    return;
  }
  float* to = static_cast<float*>(elements) + at * size;
  for (int64_t i = 0; i < call.rows; ++i, from += rows.token_stride, to += size)
    __builtin_memcpy(to, from, sizeof(float) * static_cast<size_t>(size));
}

void quantize(const Plan& plan, const Tokens& from, const Quantized& to, int64_t head) {
  const int64_t at = head * to.capacity, size = plan.call->head_size;
  plan.kernel->quantize(
      from.rows + head * from.head_stride, from.token_stride, to.capacity, size, to.elements + at * size,
      to.scales + at);
}

// Prepares a head for its first product: appends to the cache, and quantizes.
void prepare(const Plan& plan, int64_t head) {
  const nf_attention& call = *plan.call;
  if (call.cache) {
    append(call, *plan.kernel, call.k, call.cache->k, call.cache->k_scale, head);
    append(call, *plan.kernel, call.v, call.cache->v, call.cache->v_scale, head);
  }
  if (plan.k_to.elements) {
    const int64_t size = call.head_size;
    const bool cached = call.cache != nullptr;
    quantize(
        plan, cached ? cached_tokens(*call.cache, call.cache->k, nullptr, size) : float_tokens(call.k), plan.k_to,
        head);
    quantize(
        plan, cached ? cached_tokens(*call.cache, call.cache->v, nullptr, size) : float_tokens(call.v), plan.v_to,
        head);
  }
}

void attend(const Plan& plan, int64_t head, int64_t group, size_t thread) {
  const int64_t first = group * plan.kernel->group;
  const int64_t rest = plan.call->queries - first;
  const int64_t count = rest < plan.kernel->group ? rest : plan.kernel->group;
  plan.kernel->attend(&plan.job, head, first, count, plan.scratch + thread * plan.thread_bytes);
}

void prepare_item(const void* argument, int64_t head, size_t) { prepare(*static_cast<const Plan*>(argument), head); }

// With a causal mask the last groups have the most keys.  They start first, so that threads finish together.
void attend_item(const void* argument, int64_t item, size_t thread) {
  const Plan& plan = *static_cast<const Plan*>(argument);
  attend(plan, item % plan.call->heads, plan.groups - 1 - item / plan.call->heads, thread);
}

void whole_head_item(const void* argument, int64_t head, size_t thread) {
  const Plan& plan = *static_cast<const Plan*>(argument);
  prepare(plan, head);
  attend(plan, head, 0, thread);
}

// The operands of the products.
Job operands(const nf_attention& call, const Quantized& k_to, const Quantized& v_to) {
  const int64_t size = call.head_size;
  Job job = {&call, float_tokens(call.q.data ? call.q : call.k), float_tokens(call.k), float_tokens(call.v)};
  if (!call.q.data) job.q.rows += (call.start - (call.cache ? call.first : 0)) * call.k.token_stride;
  if (k_to.elements) {
    job.k = quantized_tokens(k_to, size);
    job.v = quantized_tokens(v_to, size);
  } else if (call.cache) {
    job.k = cached_tokens(*call.cache, call.cache->k, call.cache->k_scale, size);
    job.v = cached_tokens(*call.cache, call.cache->v, call.cache->v_scale, size);
  }
  return job;
}

} // namespace

} // namespace nf

size_t nf_attention_scratch_bytes(const nf_attention* call, size_t threads) {
  const nf::Kernel* kernel = nf::chosen_kernel();
  if (!kernel || nf::validate(call) != NF_OK) return 0;
  char* shared = nullptr;
  if (nf::quantizes(*call)) {
    nf::quantized_piece(shared, *call); // K
    nf::quantized_piece(shared, *call); // V
  }
  return reinterpret_cast<size_t>(shared) + (threads ? threads : 1) * nf::aligned(kernel->scratch_bytes(call)) +
         nf::ALIGNMENT;
}

nf_status nf_attention_run(
    const nf_attention* call, void* scratch, size_t scratch_bytes, size_t threads, nf_parallel_for parallel_for,
    void* parallel_context) {
  const nf_status status = nf::validate(call);
  if (status != NF_OK) return status;
  const nf::Kernel* kernel = nf::chosen_kernel();
  if (!kernel) return NF_UNKNOWN_ISA;
  if (!scratch) return NF_MISSING_OPERAND;
  if (scratch_bytes < nf_attention_scratch_bytes(call, threads)) return NF_SMALL_SCRATCH;

  char* at = reinterpret_cast<char*>(nf::aligned(reinterpret_cast<uintptr_t>(scratch)));
  nf::Plan plan = {};
  if (nf::quantizes(*call)) {
    plan.k_to = nf::quantized_piece(at, *call);
    plan.v_to = nf::quantized_piece(at, *call);
  }
  plan.call = call;
  plan.kernel = kernel;
  plan.job = nf::operands(*call, plan.k_to, plan.v_to);
  plan.scratch = at;
  plan.thread_bytes = nf::aligned(kernel->scratch_bytes(call));
  plan.groups = (call->queries + kernel->group - 1) / kernel->group;

  const nf::Threads pool = {threads ? threads : 1, parallel_for, parallel_context};
  if (plan.groups == 1) {
    nf::for_each_item(pool, call->heads, nf::whole_head_item, &plan);
  } else {
    if (call->cache || plan.k_to.elements) nf::for_each_item(pool, call->heads, nf::prepare_item, &plan);
    nf::for_each_item(pool, call->heads * plan.groups, nf::attend_item, &plan);
  }
  return NF_OK;
}
