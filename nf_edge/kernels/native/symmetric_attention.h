// Symmetric attention on the CPU: Y = softmax(mask(Q Kᵀ · scale + R)) V, with Q computed from K.
//
// One call computes all heads of one row of a batch; inputs and outputs are float32.  K and V are read directly
// from the projection's output.  There is no T × T buffer, and tiles above the diagonal are skipped.  The kernel
// allocates nothing: the caller provides the scratch buffer and, optionally, the threads.
#ifndef NF_SYMMETRIC_ATTENTION_H
#define NF_SYMMETRIC_ATTENTION_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NF_MAX_HEAD_SIZE 1024

#if defined(__GNUC__)
#define NF_API __attribute__((visibility("default")))
#else
#define NF_API
#endif

typedef enum nf_status {
  NF_OK = 0,
  NF_BAD_SHAPE,       // a size is not positive, or head_size or rank is out of range
  NF_BAD_RANGE,       // start, keys, positions and capacity do not fit together
  NF_MISSING_OPERAND, // a required pointer is null
  NF_SMALL_SCRATCH,   // fewer bytes than nf_attention_scratch_bytes() returns
  NF_UNKNOWN_ISA      // NF_EDGE_ISA names an instruction set that this CPU cannot run
} nf_status;

typedef enum nf_precision {
  NF_FLOAT32 = 0,
  NF_INT8 // Q, K and V are quantized dynamically to int8, with one scale per token and head
} nf_precision;

// [tokens, heads, head_size] or [heads, tokens, head_size], the last dimension contiguous; strides in
// elements.  The projection's output c_kv [T, 2·H·d] is {c_kv, d, 2·H·d} for K, {c_kv + H·d, d, 2·H·d} for V.
typedef struct nf_rows {
  const float* data;
  int64_t head_stride;
  int64_t token_stride;
} nf_rows;

// Keys and values of earlier tokens, [heads, capacity, head_size] each.
typedef struct nf_cache {
  nf_precision precision; // type of the elements: float, or int8_t with the scales below
  int64_t capacity;       // tokens
  void* k;
  void* v;
  float* k_scale; // [heads, capacity], NF_INT8 only: value = element · scale
  float* v_scale;
} nf_cache;

typedef struct nf_attention {
  int64_t heads;
  int64_t head_size;
  int64_t queries; // at positions start … start + queries − 1
  int64_t start;
  // With a cache: the number of rows of k and v, appended at positions first … first + rows − 1.
  int64_t first;
  int64_t rows;
  int64_t keys;   // real keys, at positions 0 … keys − 1; later ones are padding and never read
  int32_t causal; // 1: a query attends to no key after its position
  float scale;
  nf_precision precision; // type of the products

  nf_rows q; // row 0 is the query at `start`; if data is null, the query is K with the noise below
  nf_rows k; // row i is position i, or position first + i with a cache
  nf_rows v;

  const float* noise_a; // [heads, head_size, rank]: Q = K + (K A) Bᵀ; or null
  const float* noise_b;
  int64_t rank;
  const float* noise_p; // [heads, head_size, head_size]: Q = K + K P; or null
  const float* bias;    // [heads, positions]: R[i, j] = bias[|i − j|], added to the scaled scores; or null
  int64_t positions;

  const nf_cache* cache; // or null
  float* out;            // [queries, heads · head_size]
} nf_attention;

// Calls task(task_argument, i) for each i < n, on any threads, and returns when all calls have returned.
typedef void (*nf_parallel_for)(void* context, size_t n, void (*task)(void*, size_t), void* task_argument);

// Scratch bytes that a call needs with `threads` threads; 0 if the call is invalid.  The size never shrinks when
// `keys`, `start` or `queries` grow, so the size of the largest call is enough for all.
NF_API size_t nf_attention_scratch_bytes(const nf_attention* call, size_t threads);

// Appends to the cache if there is one, then computes attention.  If `parallel_for` is null, the calling thread
// does all the work.  The result does not depend on the number of threads.
NF_API nf_status nf_attention_run(
    const nf_attention* call, void* scratch, size_t scratch_bytes, size_t threads, nf_parallel_for parallel_for,
    void* parallel_context);

// A sentence that describes a status.
NF_API const char* nf_status_text(nf_status status);

// Instruction sets that this CPU can run, space-separated, the preferred one first.
NF_API const char* nf_isa_available(void);

// The instruction set in use: the preferred one, or the one that the environment variable NF_EDGE_ISA names; null
// if that one is not available.  Every call reads the variable again.
NF_API const char* nf_isa_in_use(void);

#ifdef __cplusplus
}
#endif
#endif
