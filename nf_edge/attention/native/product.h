// The one loop that the time goes into: products of a tile whose lanes are queries.

// Vectors of queries in a tile, and rows that are computed at once: so many that accumulators, one row of
// `b` and one broadcast fill the registers.
constexpr int TILE_VECTORS = NF_TILE_VECTORS;
constexpr int TILE_ROWS = NF_TILE_ROWS;
constexpr int TILE = TILE_VECTORS * LANES;

struct MultiplyAdd {
  typedef float Word;
  typedef Floats Vector;
  NF_INLINE Floats step(Floats sum, float a, Floats b) { return sum + a * b; }
};

// sum[row] += Σᵢ a[row · row_stride + i · step] · b[i], for the first VECTORS vectors of a row of b.  Since the
// lanes are queries, keys and values are only ever broadcast: neither is transposed.
template <class Op, int ROWS, int VECTORS>
NF_INLINE void product(
    typename Op::Vector (&sum)[ROWS][VECTORS], const typename Op::Word* a, int64_t row_stride, int64_t step,
    const typename Op::Vector* b, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    typename Op::Vector line[VECTORS];
#pragma GCC unroll 8
    for (int v = 0; v < VECTORS; ++v) line[v] = b[v];
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
