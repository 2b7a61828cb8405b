// The inner loop, which takes most of the time: products of a tile.  The lanes are queries.

// Vectors of queries in a tile, and rows computed at once.  Accumulators, one row of `b` and one broadcast
// value fill the registers.
constexpr int TILE_VECTORS = NF_TILE_VECTORS;
constexpr int TILE_ROWS = NF_TILE_ROWS;
constexpr int TILE = TILE_VECTORS * LANES;

// KEPT: the number of vectors of a row of b that stay in registers; the others are read for each use.
struct MultiplyAdd {
  typedef float Word;
  typedef Floats Vector;
  static constexpr int KEPT = TILE_VECTORS;
  NF_INLINE Floats step(Floats sum, float a, Floats b) { return sum + a * b; }
};

// sum[row] += Σᵢ a[row · row_stride + i · step] · b[i], for the first VECTORS vectors of a row of b.  The lanes are
// queries, so keys and values are broadcast and never transposed.
template <class Op, int ROWS, int VECTORS>
NF_INLINE void product(
    typename Op::Vector (&sum)[ROWS][VECTORS], const typename Op::Word* a, int64_t row_stride, int64_t step,
    const typename Op::Vector* b, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    typename Op::Vector line[VECTORS];
#pragma GCC unroll 8
    for (int v = 0; v < VECTORS; ++v) {
      line[v] = b[v];
      if (v < Op::KEPT) NF_KEEP_IN_REGISTER(line[v]);
    }
#pragma GCC unroll 16
    for (int row = 0; row < ROWS; ++row) {
      const typename Op::Word factor = a[row * row_stride];
#pragma GCC unroll 8
      for (int v = 0; v < VECTORS; ++v) sum[row][v] = Op::step(sum[row][v], factor, line[v]);
    }
    a += step;
    b += TILE_VECTORS;
  }
}

// to[j] = Σᵢ a[j · width + i] · b[i] for all rows j < rows, a multiple of TILE_ROWS.
template <class Op, int VECTORS>
NF_LOOP void rows_by_panel(
    const typename Op::Word* a, int64_t width, int64_t rows, const typename Op::Vector* b, typename Op::Vector* to) {
  for (int64_t j = 0; j < rows; j += TILE_ROWS, a += TILE_ROWS * width, to += TILE_ROWS * TILE_VECTORS) {
    typename Op::Vector sum[TILE_ROWS][VECTORS] = {};
    product<Op>(sum, a, width, 1, b, width);
#pragma GCC unroll 16
    for (int row = 0; row < TILE_ROWS; ++row)
#pragma GCC unroll 8
      for (int v = 0; v < VECTORS; ++v) to[row * TILE_VECTORS + v] = sum[row][v];
  }
}

// to[c] = to[c] · decay + Σⱼ a[j · width + c] · b[j] for all columns c < width, a multiple of TILE_ROWS.
template <int VECTORS>
NF_LOOP void columns_by_panel(
    const float* a, int64_t width, int64_t depth, const Floats* b, const Floats* decay, Floats* to) {
  for (int64_t c = 0; c < width; c += TILE_ROWS, a += TILE_ROWS, to += TILE_ROWS * TILE_VECTORS) {
    Floats sum[TILE_ROWS][VECTORS];
#pragma GCC unroll 16
    for (int row = 0; row < TILE_ROWS; ++row)
#pragma GCC unroll 8
      for (int v = 0; v < VECTORS; ++v) sum[row][v] = to[row * TILE_VECTORS + v] * decay[v];
    product<MultiplyAdd>(sum, a, 1, width, b, depth);
#pragma GCC unroll 16
    for (int row = 0; row < TILE_ROWS; ++row)
#pragma GCC unroll 8
      for (int v = 0; v < VECTORS; ++v) to[row * TILE_VECTORS + v] = sum[row][v];
  }
}
