// Quantizes rows to int8 at run time, with one scale per row.

static void quantize_rows(
    const float* rows, int64_t row_stride, int64_t count, int64_t size, int8_t* to, float* scales) {
  for (int64_t i = 0; i < count; ++i, rows += row_stride, to += size) {
    float largest = 0;
    for (int64_t c = 0; c < size; ++c) {
      const float magnitude = rows[c] < 0 ? -rows[c] : rows[c];
      largest = magnitude > largest ? magnitude : largest;
    }
    scales[i] = largest / 127.0f;
    const float inverse = largest > 1e-30f ? 127.0f / largest : 0.0f;
    // Adding 1.5 · 2²³ rounds to the nearest integer, ties to even.
    const float shifter = 12582912.0f;
    for (int64_t c = 0; c < size; ++c) to[c] = static_cast<int8_t>(rows[c] * inverse + shifter - shifter);
  }
}
