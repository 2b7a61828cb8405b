// Attention of a few queries.  Most of the time is spent on reading keys and values, so each is read once.
// Lanes are the elements of a head.  int8 tokens are converted to floats in registers; the query stays float32.

// Dot products of one query with LANES rows.
template <class Element>
NF_INLINE Floats dots(const Element* rows, int64_t stride, int64_t count, int64_t size, const float* query) {
  Floats sum[LANES] = {};
  for (int i = 0; i < LANES; ++i) {
    if (i >= count) break;
    const Element* row = rows + i * stride;
    Floats even = {}, odd = {};
    int64_t c = 0;
    for (; c + 2 * LANES <= size; c += 2 * LANES) {
      even += load(row + c) * load(query + c);
      odd += load(row + c + LANES) * load(query + c + LANES);
    }
    for (; c + LANES <= size; c += LANES) even += load(row + c) * load(query + c);
    if (c < size) odd += load_first(row + c, size - c) * load(query + c);
    sum[i] = even + odd;
  }
  return sums_of(sum);
}

// to[c] = to[c] · decay + Σⱼ weights[j] · rows[j][c] for COUNT vectors of columns.
template <int COUNT, class Element>
NF_INLINE void weigh(const Element* rows, int64_t stride, int64_t count, const float* weights, float decay, float* to) {
  Floats sum[COUNT];
  for (int v = 0; v < COUNT; ++v) sum[v] = load(to + v * LANES) * decay;
  for (int64_t j = 0; j < count; ++j, rows += stride)
    for (int v = 0; v < COUNT; ++v) sum[v] += load(rows + v * LANES) * weights[j];
  for (int v = 0; v < COUNT; ++v) store(to + v * LANES, sum[v]);
}

struct Decode {
  float* query;   // [size rounded up]
  float* output;  // [size rounded up]
  float* weights; // [KEYS + LANES]
  Floats* panel;
  Floats* spare;

  Decode(Arena arena, const nf_attention& call) { reserve(arena, call); }

  char* reserve(Arena& arena, const nf_attention& call) {
    const int64_t width = round_up(call.head_size, LANES);
    arena.take(query, width);
    arena.take(output, width);
    arena.take(weights, KEYS + LANES);
    arena.take(panel, call.head_size * TILE_VECTORS);
    arena.take(spare, call.head_size * TILE_VECTORS);
    return arena.at;
  }

  template <class Element>
  void score(const Element* rows, const float* scales, int64_t stride, int64_t count, int64_t size) {
    for (int64_t j = 0; j < count; j += LANES)
      store(weights + j, dots(rows + j * stride, stride, count - j, size, query));
    if (scales)
      for (int64_t j = 0; j < count; ++j) weights[j] *= scales[j];
  }

  template <class Element>
  void add_values(const Element* rows, const float* scales, int64_t stride, int64_t count, int64_t size, float decay) {
    if (scales)
      for (int64_t j = 0; j < count; ++j) weights[j] *= scales[j];
    int64_t c = 0;
    for (; c + 8 * LANES <= size; c += 8 * LANES) weigh<8>(rows + c, stride, count, weights, decay, output + c);
    for (; c + 4 * LANES <= size; c += 4 * LANES) weigh<4>(rows + c, stride, count, weights, decay, output + c);
    for (; c + LANES <= size; c += LANES) weigh<1>(rows + c, stride, count, weights, decay, output + c);
    for (; c < size; ++c) {
      float sum = output[c] * decay;
      for (int64_t j = 0; j < count; ++j) sum += weights[j] * static_cast<float>(rows[j * stride + c]);
      output[c] = sum;
    }
  }

  // Turns the block's scores into weights; returns the factor for the sums of earlier blocks.
  float softmax(int64_t count, float& maximum, float& sum) {
    for (int i = 0; i < LANES; ++i) weights[count + i] = HIDDEN;
    Floats top = splat(maximum);
    for (int64_t j = 0; j < count; j += LANES) top = larger(load(weights + j), top);
    float highest = maximum;
    for (int i = 0; i < LANES; ++i) highest = top[i] > highest ? top[i] : highest;
    const float decay = exp2_of(splat(maximum - highest))[0];
    Floats total = {};
    for (int64_t j = 0; j < count; j += LANES) {
      const Floats weight = exp2_of(load(weights + j) - splat(highest));
      store(weights + j, weight);
      total += weight;
    }
    maximum = highest;
    sum = sum * decay + sum_of(total);
    return decay;
  }

  void attend_one(const Job& job, int64_t head, int64_t index) {
    const nf_attention& call = *job.call;
    const int64_t size = call.head_size, position = call.start + index;
    const int64_t visible = call.causal ? least(call.keys, position + 1) : call.keys;
    const float* bias = call.bias ? call.bias + head * call.positions : nullptr;
    for (int64_t c = 0; c < round_up(size, LANES); ++c) output[c] = 0;
    float maximum = HIDDEN, sum = 0;
    for (int64_t first = 0; first < visible; first += KEYS) {
      const int64_t count = least(KEYS, visible - first);
      const int64_t k_at = head * job.k.head_stride + first * job.k.token_stride;
      const int64_t v_at = head * job.v.head_stride + first * job.v.token_stride;
      const int64_t scale_at = head * job.k.scale_head_stride + first;
      if (job.k.rows)
        score(job.k.rows + k_at, nullptr, job.k.token_stride, count, size);
      else
        score(job.k.quantized + k_at, job.k.scales + scale_at, job.k.token_stride, count, size);
      if (bias)
        for (int64_t j = 0; j < count; ++j) {
          const int64_t distance = position - first - j;
          weights[j] += bias[distance < 0 ? -distance : distance] * LOG2_E;
        }
      const float decay = softmax(count, maximum, sum);
      if (job.v.rows)
        add_values(job.v.rows + v_at, nullptr, job.v.token_stride, count, size, decay);
      else
        add_values(job.v.quantized + v_at, job.v.scales + scale_at, job.v.token_stride, count, size, decay);
    }
    float* out = call.out + index * call.heads * size + head * size;
    for (int64_t c = 0; c < size; ++c) out[c] = output[c] / sum;
  }

  void attend(const Job& job, int64_t head, int64_t first, int64_t count) {
    const int64_t size = job.call->head_size;
    query_panel(job, head, first, count, panel, spare);
    const float* lanes = reinterpret_cast<const float*>(panel);
    for (int64_t i = 0; i < count; ++i) {
      for (int64_t c = 0; c < round_up(size, LANES); ++c) query[c] = c < size ? lanes[c * TILE + i] : 0;
      attend_one(job, head, first + i);
    }
  }
};
