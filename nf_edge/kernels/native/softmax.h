// Online softmax of a tile.  Lanes are queries, so maximum and sum need no operation across lanes.

// Below any score, but finite: the difference of two such values is not NaN.
constexpr float HIDDEN = -1e30f;

// The input of the softmax for one tile and one block of keys.
struct Scores {
  Floats* s; // [keys + 1][TILE_VECTORS], in units of log2
  int64_t keys;
  const float* bias; // for key j, lane i reads bias[i − j]; or null
  int64_t first_key; // position of key 0 minus that of lane 0
  bool diagonal;     // the mask hides some key from some lane
};

// Running maximum and sum of a tile.
struct Running {
  Floats* maximum; // [TILE_VECTORS]
  Floats* sum;
};

// Adds bias and mask to the scores and updates the running maximum.  `decay` becomes the factor for sums under the
// old maximum.
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
  // With an odd number of keys, the last one is paired with a key of weight 0.
  for (int v = 0; v < VECTORS; ++v) s[v] = splat(HIDDEN);
  for (int v = 0; v < VECTORS; ++v) {
    decay[v] = exp2_of(running.maximum[v] - top[v]);
    running.maximum[v] = top[v];
  }
}

// Turns scores into weights; calls take(j, v, weight of key j, weight of key j + 1) for each even j.
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
