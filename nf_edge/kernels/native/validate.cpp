#include "validate.h"

namespace nf {

namespace {

// The kernels store positions in int32 lanes.
constexpr int64_t MOST = 1 << 24;

bool in_range(int64_t value, int64_t least, int64_t most) { return least <= value && value <= most; }

nf_status validate_cache(const nf_attention& call) {
  const nf_cache& cache = *call.cache;
  if (!cache.k || !cache.v) return NF_MISSING_OPERAND;
  if (cache.precision == NF_INT8 && (!cache.k_scale || !cache.v_scale)) return NF_MISSING_OPERAND;
  if (!in_range(call.first, 0, MOST) || !in_range(call.rows, 1, MOST)) return NF_BAD_RANGE;
  const int64_t filled = call.first + call.rows;
  const bool among_new = call.first <= call.start && call.start + call.queries <= filled;
  return among_new && filled <= cache.capacity && call.keys <= filled ? NF_OK : NF_BAD_RANGE;
}

} // namespace

nf_status validate(const nf_attention* call) {
  if (!call || !call->k.data || !call->v.data || !call->out) return NF_MISSING_OPERAND;
  if (!call->noise_a != !call->noise_b) return NF_MISSING_OPERAND;
  if (!in_range(call->heads, 1, MOST) || !in_range(call->head_size, 1, NF_MAX_HEAD_SIZE)) return NF_BAD_SHAPE;
  if (call->noise_a && !in_range(call->rank, 1, call->head_size)) return NF_BAD_SHAPE;
  if (!in_range(call->queries, 1, MOST) || !in_range(call->keys, 1, MOST)) return NF_BAD_SHAPE;
  if (!in_range(call->start, 0, MOST)) return NF_BAD_RANGE;
  const int64_t positions = call->start + call->queries;
  if (call->bias && call->positions < (positions > call->keys ? positions : call->keys)) return NF_BAD_RANGE;
  return call->cache ? validate_cache(*call) : NF_OK;
}

} // namespace nf

const char* nf_status_text(nf_status status) {
  switch (status) {
    case NF_OK:
      return "done";
    case NF_BAD_SHAPE:
      return "heads, queries and keys must be at least 1, head_size 1 to 1024, and rank 1 to head_size";
    case NF_BAD_RANGE:
      return "start, queries and keys exceed the cache's capacity or the bias's positions";
    case NF_MISSING_OPERAND:
      return "a required pointer is null";
    case NF_SMALL_SCRATCH:
      return "the scratch buffer is smaller than nf_attention_scratch_bytes() returns";
    case NF_UNKNOWN_ISA:
      return "NF_EDGE_ISA names an instruction set that this CPU cannot run";
  }
  return "unknown status";
}
