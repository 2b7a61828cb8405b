// Arithmetic of a tile in float32.

// Copies a block of keys and values.  The copies are contiguous, because rows at multiples of 2 KB share few sets of
// the first-level cache, and padded with zeros to multiples of TILE_ROWS.
struct Float32 {
  typedef Floats Query;
  float* keys;   // [KEYS][size]
  float* values; // [KEYS][padded]
  int64_t size, padded;

  void reserve(Arena& arena, const nf_attention& call) {
    size = call.head_size;
    padded = round_up(size, TILE_ROWS);
    arena.take(keys, KEYS * size);
    arena.take(values, KEYS * padded);
  }
  // Number of vectors of one tile's query.
  int64_t query_vectors() const { return size * TILE_VECTORS; }

  void set_query(const Floats* panel, Floats* query) const {
    __builtin_memcpy(query, panel, sizeof(Floats) * static_cast<size_t>(query_vectors()));
  }

  void load_block(const Job& job, int64_t head, int64_t first, int64_t count) {
    copy(job.k, head, first, count, round_up(count, TILE_ROWS), keys, size, size);
    copy(job.v, head, first, count, count, values, size, padded);
  }

  static constexpr int64_t AHEAD = 8; // rows

  static void copy(
      const Tokens& from, int64_t head, int64_t first, int64_t count, int64_t rows, float* to, int64_t size,
      int64_t width) {
    const int64_t at = head * from.head_stride + first * from.token_stride;
    for (int64_t i = 0; i < rows; ++i, to += width) {
      int64_t c = 0;
      if (i < count && from.rows) {
        const float* row = from.rows + at + i * from.token_stride;
        // Rows of a projection's output are on different pages, which the hardware does not prefetch.
        for (int64_t line = 0; line < size; line += 16) __builtin_prefetch(row + AHEAD * from.token_stride + line);
        for (; c + LANES <= size; c += LANES) store(to + c, load(row + c));
        for (; c < size; ++c) to[c] = row[c];
      } else if (i < count) {
        const int8_t* row = from.quantized + at + i * from.token_stride;
        const float scale = from.scales[head * from.scale_head_stride + first + i];
        for (; c < size; ++c) to[c] = static_cast<float>(row[c]) * scale;
      }
      for (; c < width; ++c) to[c] = 0;
    }
  }

  template <int VECTORS>
  void scores(const Floats* query, int64_t count, Floats* s) const {
    rows_by_panel<MultiplyAdd, VECTORS>(keys, size, round_up(count, TILE_ROWS), query, s);
  }

  template <int VECTORS>
  void attend(const Scores& block, const Running& running, Floats* output) const {
    attend_to<VECTORS>(values, padded, block, running, output);
  }

  // Replaces the scores by softmax weights, then multiplies these with values [KEYS][width].
  template <int VECTORS>
  static void attend_to(
      const float* values, int64_t width, const Scores& block, const Running& running, Floats* output) {
    Floats decay[VECTORS];
    softmax(block, running, decay, [s = block.s](int64_t j, int v, Floats a, Floats b) __attribute__((always_inline)) {
      s[j * TILE_VECTORS + v] = a;
      s[(j + 1) * TILE_VECTORS + v] = b;
    });
    columns_by_panel<VECTORS>(values, width, block.keys, block.s, decay, output);
  }
};
