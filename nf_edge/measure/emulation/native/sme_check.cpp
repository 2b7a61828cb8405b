// Checks whether a processor computes SMOPA correctly: SME's outer product of int8 vectors, added to an int32 tile.
// int8 kernels for SME use it. Prints "WRONG of ALL"; if WRONG is not 0, the emulator has a fault.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <vector>

namespace {

// Bytes of a vector in streaming mode.
size_t vector_bytes() {
  uint64_t bytes;
  asm(".arch armv9-a+sme\n rdsvl %0, #1" : "=r"(bytes));
  return bytes;
}

// tile[i][j] = sum over k < 4 of a[4 i + k] b[4 j + k]. a and b are one vector each; the tile is square.
void outer_product(const int8_t* a, const int8_t* b, int32_t* tile, uint64_t rows) {
  asm volatile(
      ".arch armv9-a+sme\n"
      "smstart\n"
      "zero {za}\n"
      "ptrue p0.b\n"
      "ptrue p1.s\n"
      "ld1b {z0.b}, p0/z, [%[a]]\n"
      "ld1b {z1.b}, p0/z, [%[b]]\n"
      "smopa za0.s, p0/m, p0/m, z0.b, z1.b\n"
      "mov w12, #0\n"
      "rdsvl x13, #1\n"
      "1: st1w {za0h.s[w12, 0]}, p1, [%[tile]]\n"
      "add %[tile], %[tile], x13\n"
      "add w12, w12, #1\n"
      "cmp x12, %[rows]\n"
      "b.lo 1b\n"
      "smstop\n"
      : [tile] "+r"(tile)
      : [a] "r"(a), [b] "r"(b), [rows] "r"(rows)
      // Entering and leaving streaming mode clears all vectors.
      : "memory", "cc", "x12", "x13", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12",
        "v13", "v14", "v15", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26", "v27", "v28",
        "v29", "v30", "v31");
}

} // namespace

int main() {
  const size_t bytes = vector_bytes(), rows = bytes / 4;
  std::vector<int8_t> a(bytes), b(bytes);
  for (size_t i = 0; i < bytes; ++i) {
    a[i] = static_cast<int8_t>(i * 37 + 11);
    b[i] = static_cast<int8_t>(i * 53 + 7);
  }
  std::vector<int32_t> tile(rows * rows);
  outer_product(a.data(), b.data(), tile.data(), rows);
  size_t wrong = 0;
  for (size_t i = 0; i < rows; ++i) {
    for (size_t j = 0; j < rows; ++j) {
      int32_t sum = 0;
      for (size_t k = 0; k < 4; ++k) {
        sum += a[4 * i + k] * b[4 * j + k];
      }
      wrong += tile[i * rows + j] != sum;
    }
  }
  std::printf("%zu of %zu\n", wrong, rows * rows);
  return 0;
}
