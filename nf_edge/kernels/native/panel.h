// Panels: a matrix whose lanes are queries, [rows][TILE_VECTORS] vectors.

// Transposes rows of tokens into a panel [size][TILE_VECTORS]; lanes from `count` on become zero.
static void load_panel(const float* rows, int64_t row_stride, int64_t count, int64_t size, Floats* panel) {
  for (int v = 0; v < TILE_VECTORS; ++v) {
    const int64_t present = count - v * LANES < LANES ? count - v * LANES : LANES;
    for (int64_t c = 0; c < size; c += LANES) {
      const int64_t width = size - c < LANES ? size - c : LANES;
      Floats block[LANES];
      for (int i = 0; i < LANES; ++i) {
        const float* row = rows + (v * LANES + i) * row_stride + c;
        block[i] = i >= present ? Floats{} : width == LANES ? load(row) : load_first(row, width);
      }
      transpose(block);
      for (int i = 0; i < width; ++i) panel[(c + i) * TILE_VECTORS + v] = block[i];
    }
  }
}

// Writes the first `count` lanes of a panel as rows of tokens, each lane multiplied by its factor.
static void store_panel(
    const Floats* panel, const Floats* factor, int64_t count, int64_t size, float* rows, int64_t row_stride) {
  for (int v = 0; v < TILE_VECTORS && v * LANES < count; ++v) {
    const int64_t present = count - v * LANES < LANES ? count - v * LANES : LANES;
    for (int64_t c = 0; c < size; c += LANES) {
      const int64_t width = size - c < LANES ? size - c : LANES;
      Floats block[LANES];
      for (int i = 0; i < LANES; ++i) block[i] = i < width ? panel[(c + i) * TILE_VECTORS + v] * factor[v] : Floats{};
      transpose(block);
      for (int i = 0; i < present; ++i) {
        float* row = rows + (v * LANES + i) * row_stride + c;
        if (width == LANES)
          store(row, block[i]);
        else
          __builtin_memcpy(row, &block[i], sizeof(float) * static_cast<size_t>(width));
      }
    }
  }
}

// to[row] = (from ? from[row] : 0) + Σᵢ a[row · row_stride + i · step] · b[i].
template <int ROWS>
NF_INLINE void multiply_rows(
    const float* a, int64_t row_stride, int64_t step, const Floats* b, int64_t depth, const Floats* from, Floats* to) {
  Floats sum[ROWS][TILE_VECTORS];
  for (int row = 0; row < ROWS; ++row)
    for (int v = 0; v < TILE_VECTORS; ++v) sum[row][v] = from ? from[row * TILE_VECTORS + v] : Floats{};
  product<MultiplyAdd>(sum, a, row_stride, step, b, depth);
  for (int row = 0; row < ROWS; ++row)
    for (int v = 0; v < TILE_VECTORS; ++v) to[row * TILE_VECTORS + v] = sum[row][v];
}

static void multiply(
    const float* a, int64_t row_stride, int64_t step, int64_t rows, const Floats* b, int64_t depth, const Floats* from,
    Floats* to) {
  int64_t row = 0;
  for (; row + TILE_ROWS <= rows; row += TILE_ROWS)
    multiply_rows<TILE_ROWS>(
        a + row * row_stride, row_stride, step, b, depth, from ? from + row * TILE_VECTORS : nullptr,
        to + row * TILE_VECTORS);
  for (; row < rows; ++row)
    multiply_rows<1>(
        a + row * row_stride, row_stride, step, b, depth, from ? from + row * TILE_VECTORS : nullptr,
        to + row * TILE_VECTORS);
}
