// Online softmax of a tile: lanes are queries, so maximum and sum need no step across lanes.

// Below any score, finite, so that a difference of two is no NaN.
constexpr float HIDDEN = -1e30f;

// What the softmax of one block of keys is told about one tile.
struct Scores {
  Floats* s; // [keys + 1][TILE_VECTORS], in units of log2
  int64_t keys;
  const float* bias; // for key j the lanes read bias − j onwards; or null
  int64_t first_key; // position of key 0 less that of lane 0
  bool diagonal;     // some lane may not see some key
};

// Running state of a tile.
struct Running {
  Floats* maximum; // [TILE_VECTORS]
  Floats* sum;
};

// Adds bias and mask to the scores, moves the running maximum, and returns in `decay` the factor on what was
// summed under the old one.
template <int VECTORS>
NF_INLINE void new_maximum(
    const Scores& scores, const Running& running, Floats (&top)[VECTORS], Floats (&decay)[VECTORS]) {
  for (int v = 0; v < VECTORS; ++v) top[v] = running.maximum[v];
  Floats* s = scores.s;
  if (scores.bias || scores.diagonal) {
    Ints lane[VECTORS];
    for (int v = 0; v < VECTORS; ++v) lane[v] = lane_numbers() + v * LANES;
    for (int64_t j = 0; j < scores.keys; ++j, s += TILE_VECTORS) {
      const Ints key = splat(static_cast<int32_t>(scores.first_key + j));
      for (int v = 0; v < VECTORS; ++v) {
        Floats x = s[v];
        if (scores.bias) x += load(scores.bias - j + v * LANES);
        if (scores.diagonal) x = key > lane[v] ? splat(HIDDEN) : x;
        s[v] = x;
        top[v] = larger(x, top[v]);
      }
    }
  } else {
    for (int64_t j = 0; j < scores.keys; ++j, s += TILE_VECTORS)
      for (int v = 0; v < VECTORS; ++v) top[v] = larger(s[v], top[v]);
  }
  // The odd key out gets a partner that weighs nothing.
  for (int v = 0; v < VECTORS; ++v) s[v] = splat(HIDDEN);
  for (int v = 0; v < VECTORS; ++v) {
    decay[v] = exp2_of(running.maximum[v] - top[v]);
    running.maximum[v] = top[v];
  }
}

// Turns scores into weights, two keys at a time: take(j, v, weight of key j, weight of key j + 1) for each even j.
template <int VECTORS, class Take>
NF_INLINE void softmax(const Scores& scores, const Running& running, Floats (&decay)[VECTORS], Take take) {
  Floats top[VECTORS], sum[VECTORS];
  new_maximum(scores, running, top, decay);
  for (int v = 0; v < VECTORS; ++v) sum[v] = running.sum[v] * decay[v];
  const Floats* s = scores.s;
  for (int64_t j = 0; j < scores.keys; j += 2, s += 2 * TILE_VECTORS)
#pragma GCC unroll 8
    for (int v = 0; v < VECTORS; ++v) {
      const Floats a = exp2_of(s[v] - top[v]), b = exp2_of(s[TILE_VECTORS + v] - top[v]);
      sum[v] += a + b;
      take(j, v, a, b);
    }
  for (int v = 0; v < VECTORS; ++v) running.sum[v] = sum[v];
}
