// Products of int8 keys with int8 queries, and of 16-bit weights with int8 values, both summed in int32.

#if NF_INTEGERS == NF_PAIRS_AVX2
// Two int16 per lane: AVX2's only such instruction that does not saturate and takes two signed operands.
struct PairProduct {
  typedef int32_t Word;
  typedef Ints Vector;
  static constexpr int KEPT = 2; // each product needs a register before its addition
  NF_INLINE Ints step(Ints sum, int32_t a, Ints b) {
    return sum + (Ints)_mm256_madd_epi16((__m256i)splat(a), (__m256i)b);
  }
};
typedef PairProduct ScoreProduct;
constexpr int SCORE_DEPTH = 2;
constexpr int KEY_OFFSET = 0;
#define NF_INTEGER_VALUES 1

#elif NF_INTEGERS == NF_VNNI
// Four bytes per lane.  Keys must be unsigned, so 128 is added to each; 128 · Σ query is subtracted afterwards.
struct ScoreProduct {
  typedef int32_t Word;
  typedef Ints Vector;
  static constexpr int KEPT = TILE_VECTORS;
  NF_INLINE Ints step(Ints sum, int32_t a, Ints b) {
    return (Ints)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)splat(a), (__m512i)b);
  }
};
struct PairProduct {
  typedef int32_t Word;
  typedef Ints Vector;
  static constexpr int KEPT = TILE_VECTORS;
  NF_INLINE Ints step(Ints sum, int32_t a, Ints b) {
    return (Ints)_mm512_dpwssd_epi32((__m512i)sum, (__m512i)splat(a), (__m512i)b);
  }
};
constexpr int SCORE_DEPTH = 4;
constexpr int KEY_OFFSET = 128;
#define NF_INTEGER_VALUES 1

#elif NF_INTEGERS == NF_DOTPROD
struct ScoreProduct {
  typedef int32_t Word;
  typedef Ints Vector;
  static constexpr int KEPT = TILE_VECTORS;
  NF_INLINE Ints step(Ints sum, int32_t a, Ints b) {
    return (Ints)vdotq_s32((int32x4_t)sum, vreinterpretq_s8_s32(vdupq_n_s32(a)), (int8x16_t)b);
  }
};
constexpr int SCORE_DEPTH = 4;
constexpr int KEY_OFFSET = 0;
// NEON's widening product of int16 is no faster than its float32 product.
#define NF_INTEGER_VALUES 0

#elif NF_INTEGERS == NF_I8MM
constexpr int SCORE_DEPTH = 4;
constexpr int KEY_OFFSET = 0;
#define NF_INTEGER_VALUES 0
#endif

#if NF_INTEGERS == NF_I8MM
constexpr int WORDS_AT_ONCE = 2;

// sum[key] += products of the key with the queries.  One instruction multiplies two keys with two queries, eight
// elements of each.  So queries are processed in pairs, and their sums are separated at the end.
template <int VECTORS>
NF_INLINE void score_tile(Ints (&sum)[TILE_ROWS][VECTORS], const int32_t* keys, int64_t words, const Ints* query) {
  int32x4_t pairs[TILE_ROWS / 2][VECTORS][2] = {};
  for (int64_t word = 0; word < words; word += 2, query += 2 * TILE_VECTORS) {
    int8x16_t two[VECTORS][2];
#pragma GCC unroll 8
    for (int v = 0; v < VECTORS; ++v) {
      const int32x4_t a = (int32x4_t)query[v], b = (int32x4_t)query[TILE_VECTORS + v];
      two[v][0] = vreinterpretq_s8_s32(vzip1q_s32(a, b));
      two[v][1] = vreinterpretq_s8_s32(vzip2q_s32(a, b));
    }
#pragma GCC unroll 16
    for (int row = 0; row < TILE_ROWS; row += 2) {
      const int32_t* at = keys + row * words + word;
      const int8x16_t key = vreinterpretq_s8_s32(vcombine_s32(vld1_s32(at), vld1_s32(at + words)));
#pragma GCC unroll 8
      for (int v = 0; v < VECTORS; ++v)
#pragma GCC unroll 2
        for (int half = 0; half < 2; ++half)
          pairs[row / 2][v][half] = vmmlaq_s32(pairs[row / 2][v][half], key, two[v][half]);
    }
  }
#pragma GCC unroll 16
  for (int row = 0; row < TILE_ROWS; row += 2)
#pragma GCC unroll 8
    for (int v = 0; v < VECTORS; ++v) {
      const int32x4_t first = pairs[row / 2][v][0], second = pairs[row / 2][v][1];
      sum[row][v] += (Ints)vcombine_s32(vget_low_s32(first), vget_low_s32(second));
      sum[row + 1][v] += (Ints)vcombine_s32(vget_high_s32(first), vget_high_s32(second));
    }
}

#elif NF_INTEGERS != NF_NO_INTEGERS
constexpr int WORDS_AT_ONCE = 1;

// sum[key] += products of the key with the queries.
template <int VECTORS>
NF_INLINE void score_tile(Ints (&sum)[TILE_ROWS][VECTORS], const int32_t* keys, int64_t words, const Ints* query) {
  product<ScoreProduct>(sum, keys, words, 1, query, words);
}
#endif
