// Arithmetic of a tile with int8 queries, keys and values.
//
// Products with values are integer products of 16-bit softmax weights.  With 8 bits, one step would be 1/127
// of the largest weight, and in long rows many weights are below half a step.  Pairs of bfloat16
// (AVX512-BF16) are as fast and 0.3 dB less exact.  The weight of a key includes the scale of its value, so
// that a block has one scale.

#if NF_INTEGERS == NF_NO_INTEGERS
typedef Float32 Int8; // an instruction set without integer products converts int8 keys and values to float32

#else

typedef int16_t Halves __attribute__((may_alias)); // the two halves of a 32-bit word

template <int VECTORS>
NF_LOOP void integer_scores(
    const int32_t* keys, const float* key_scales, int64_t words, int64_t rows, const Ints* query, const Floats* scale,
    const Ints* correction, Floats* s) {
  for (int64_t j = 0; j < rows; j += TILE_ROWS, keys += TILE_ROWS * words, s += TILE_ROWS * TILE_VECTORS) {
    Ints sum[TILE_ROWS][VECTORS];
#pragma GCC unroll 16
    for (int row = 0; row < TILE_ROWS; ++row)
#pragma GCC unroll 8
      for (int v = 0; v < VECTORS; ++v) sum[row][v] = KEY_OFFSET ? correction[v] : Ints{};
    score_tile(sum, keys, words, query);
#pragma GCC unroll 16
    for (int row = 0; row < TILE_ROWS; ++row)
#pragma GCC unroll 8
      for (int v = 0; v < VECTORS; ++v)
        s[row * TILE_VECTORS + v] = to_floats(sum[row][v]) * (scale[v] * key_scales[j + row]);
  }
}

#if NF_INTEGER_VALUES
template <int VECTORS>
NF_LOOP void integer_columns(
    const int32_t* values, int64_t width, int64_t pairs, const Ints* weights, const Floats* decay, float unit,
    Floats* to) {
  for (int64_t c = 0; c < width; c += TILE_ROWS, values += TILE_ROWS, to += TILE_ROWS * TILE_VECTORS) {
    Ints sum[TILE_ROWS][VECTORS] = {};
    product<PairProduct>(sum, values, 1, width, weights, pairs);
#pragma GCC unroll 16
    for (int row = 0; row < TILE_ROWS; ++row)
#pragma GCC unroll 8
      for (int v = 0; v < VECTORS; ++v) {
        Floats& o = to[row * TILE_VECTORS + v];
        o = o * decay[v] + to_floats(sum[row][v]) * unit;
      }
  }
}
#endif

struct Int8 {
  typedef Ints Query; // [words][TILE_VECTORS], then the lanes' scales and corrections
  int32_t* keys;      // [KEYS][words], SCORE_DEPTH elements each
  float* key_scales;  // [KEYS]
#if NF_INTEGER_VALUES
  int32_t* values;    // [KEYS / 2][padded]: the values of two keys as int16
  float* weight_unit; // [KEYS]: factor that makes a weight an integer; includes the value's scale
  Ints* weights;      // [KEYS / 2][TILE_VECTORS]
  float value_unit;   // factor that converts a sum of the products back to a float
#else
  float* values; // [KEYS][padded]
#endif
  int64_t size, words, padded;

  void reserve(Arena& arena, const nf_attention& call) {
    size = call.head_size;
    words = round_up((size + SCORE_DEPTH - 1) / SCORE_DEPTH, WORDS_AT_ONCE);
    padded = round_up(size, TILE_ROWS);
    arena.take(keys, KEYS * words);
    arena.take(key_scales, KEYS);
#if NF_INTEGER_VALUES
    arena.take(values, KEYS / 2 * padded);
    arena.take(weight_unit, KEYS);
    arena.take(weights, KEYS / 2 * TILE_VECTORS);
#else
    arena.take(values, KEYS * padded);
#endif
  }
  int64_t query_vectors() const { return (words + 2) * TILE_VECTORS; }

  // Quantizes the query of each lane with its own scale.
  void set_query(const Floats* panel, Ints* query) const {
    constexpr int BITS = 32 / SCORE_DEPTH;
    const Floats shifter = splat(12582912.0f);
    for (int v = 0; v < TILE_VECTORS; ++v) {
      Floats largest = splat(1e-30f);
      for (int64_t c = 0; c < size; ++c) {
        const Floats x = panel[c * TILE_VECTORS + v];
        largest = larger(larger(x, -x), largest);
      }
      const Floats inverse = 127.0f / largest;
      Ints total = {};
      for (int64_t word = 0; word < words; ++word) {
        Ints packed = {};
        for (int part = 0; part < SCORE_DEPTH; ++part) {
          const int64_t c = word * SCORE_DEPTH + part;
          if (c >= size) break;
          const Floats shifted = panel[c * TILE_VECTORS + v] * inverse + shifter;
          const Ints x = reinterpret_cast<Ints>(shifted) - reinterpret_cast<Ints>(shifter);
          total += x;
          packed |= (x & ((1 << BITS) - 1)) << (BITS * part);
        }
        query[word * TILE_VECTORS + v] = packed;
      }
      query[words * TILE_VECTORS + v] = reinterpret_cast<Ints>(largest * (1.0f / 127.0f));
      query[(words + 1) * TILE_VECTORS + v] = total * -KEY_OFFSET;
    }
  }

  void load_block(const Job& job, int64_t head, int64_t first, int64_t count) {
    load_keys(job.k, head, first, count);
#if NF_INTEGER_VALUES
    load_values(job.v, head, first, count);
#else
    Float32::copy(job.v, head, first, count, count, values, size, padded);
#endif
  }

  void load_keys(const Tokens& from, int64_t head, int64_t first, int64_t count) {
    const float* scales = from.scales + head * from.scale_head_stride + first;
    const int8_t* row = from.quantized + head * from.head_stride + first * from.token_stride;
    const int64_t rows = round_up(count, TILE_ROWS);
    for (int64_t j = 0; j < rows; ++j, row += from.token_stride) {
      const bool present = j < count;
      key_scales[j] = present ? scales[j] : 0;
      int32_t* to = keys + j * words;
      for (int i = 1; i <= WORDS_AT_ONCE; ++i) to[words - i] = 0;
      if (!present) {
        __builtin_memset(to, 0, sizeof(int32_t) * static_cast<size_t>(words));
        continue;
      }
      if constexpr (SCORE_DEPTH == 2) {
        Halves* elements = reinterpret_cast<Halves*>(to);
        for (int64_t c = 0; c < size; ++c) elements[c] = row[c];
      } else {
        int8_t* elements = reinterpret_cast<int8_t*>(to);
        for (int64_t c = 0; c < size; ++c) elements[c] = static_cast<int8_t>(KEY_OFFSET ? row[c] ^ -128 : row[c]);
      }
    }
  }

#if NF_INTEGER_VALUES
  void load_values(const Tokens& from, int64_t head, int64_t first, int64_t count) {
    constexpr float WHOLE = 32767.0f;
    const float* scales = from.scales + head * from.scale_head_stride + first;
    float largest = 1e-30f;
    for (int64_t j = 0; j < count; ++j) largest = scales[j] > largest ? scales[j] : largest;
    value_unit = largest / WHOLE;
    for (int64_t j = 0; j < count; ++j) weight_unit[j] = scales[j] / largest * WHOLE;
    const int8_t* row = from.quantized + head * from.head_stride + first * from.token_stride;
    int32_t* to = values;
    for (int64_t j = 0; j < count; j += 2, row += 2 * from.token_stride, to += padded) {
      if (j + 1 < count) {
        const int8_t* next = row + from.token_stride;
        for (int64_t c = 0; c < size; ++c)
          to[c] = (row[c] & 0xffff) | static_cast<int32_t>(static_cast<uint32_t>(next[c]) << 16);
      } else {
        for (int64_t c = 0; c < size; ++c) to[c] = row[c] & 0xffff;
        weight_unit[count] = 0;
      }
      for (int64_t c = size; c < padded; ++c) to[c] = 0;
    }
  }
#endif

  template <int VECTORS>
  void scores(const Ints* query, int64_t count, Floats* s) const {
    const Ints* tail = query + words * TILE_VECTORS;
    integer_scores<VECTORS>(
        keys, key_scales, words, round_up(count, TILE_ROWS), query, reinterpret_cast<const Floats*>(tail),
        tail + TILE_VECTORS, s);
  }

  template <int VECTORS>
  void attend(const Scores& block, const Running& running, Floats* output) const {
#if NF_INTEGER_VALUES
    Floats decay[VECTORS];
    softmax(block, running, decay, [this](int64_t j, int v, Floats a, Floats b) __attribute__((always_inline)) {
      // Adding 2²³ leaves the rounded integer in the low bits.
      const Floats shifter = splat(8388608.0f);
      const Ints low = reinterpret_cast<Ints>(a * weight_unit[j] + shifter);
      const Ints high = reinterpret_cast<Ints>(b * weight_unit[j + 1] + shifter);
      weights[j / 2 * TILE_VECTORS + v] = (low & 0xffff) | (high << 16);
    });
    integer_columns<VECTORS>(values, padded, (block.keys + 1) / 2, weights, decay, value_unit, output);
#else
    Float32::attend_to<VECTORS>(values, padded, block, running, output);
#endif
  }
};
#endif
