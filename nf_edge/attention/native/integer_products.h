// Products of int8 keys with int8 queries, and of 16-bit weights with int8 values, both summed in int32.

#if NF_INTEGERS == NF_PAIRS_AVX2
// Two int16 a lane: the one instruction of AVX2 that neither saturates nor wants an unsigned side.
struct PairProduct {
  typedef int32_t Word;
  typedef Ints Vector;
  static constexpr int KEPT = 2; // a product before its addition takes a register
  NF_INLINE Ints step(Ints sum, int32_t a, Ints b) {
    return sum + (Ints)_mm256_madd_epi16((__m256i)splat(a), (__m256i)b);
  }
};
typedef PairProduct ScoreProduct;
constexpr int SCORE_DEPTH = 2;
constexpr int KEY_OFFSET = 0;
#define NF_INTEGER_VALUES 1

#elif NF_INTEGERS == NF_VNNI
// Four bytes a lane, keys unsigned, 128 added: the query's side is summed once and subtracted.
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
// NEON's widening product of 16 bits does no more a cycle than its float32 one.
#define NF_INTEGER_VALUES 0
#endif
